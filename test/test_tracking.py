import cv2
from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.core import Instances, segment_instances, SegmentationSettings
from instseg_ros.core import Tracker, TrackingSettings
from instseg_ros.core.tracking import kalman
from instseg_ros.core.tracking.footprints import contacts, Footprints
from instseg_ros.core.tracking.fragments import fragments
from instseg_ros.core.tracking.matching import (assign, buffered_iou, camera_motion,
                                                camera_shift, common_shift, emergence,
                                                mask_overlap)
from instseg_ros.core.tracking.measurement import edge_doubt, Measurement
from instseg_ros.core.tracking.track_table import TrackTable
import numpy as np
import pytest

FRAME_NS = 50_000_000
EVERYTHING = SegmentationSettings(dist_threshold=0, size_threshold=1)


def drawn(*boxes, shape=(120, 200), shift=(0, 0)):
    """Return a class mask with boxes (x, y, w, h[, class])."""
    mask = np.zeros(shape, np.uint8)
    for x, y, w, h, *kind in boxes:
        x, y = round(x + shift[0]), round(y + shift[1])
        mask[max(y, 0):max(y + h, 0), max(x, 0):max(x + w, 0)] = kind[0] if kind else 15
    return mask


def seen(*boxes, **options):
    return segment_instances(drawn(*boxes, **options), EVERYTHING)


def by_place(instances, ids):
    """Return ids from left to right."""
    order = np.argsort(instances.boxes[:, 0], kind='stable')
    return np.asarray(ids)[order].tolist()


def run(tracker, scenes, start=0, step=FRAME_NS):
    """Return ids from left to right for every scene."""
    return [by_place(s, tracker.update(s, start + i * step)) for i, s in enumerate(scenes)]


def test_an_id_is_given_after_confirmation_and_kept():
    tracker = Tracker(TrackingSettings(confirm_frames=3))
    other = (150, 70, 20, 40)
    ids = run(tracker, [seen(other)] + [seen((10 + 4 * i, 20, 20, 40), other) for i in range(6)])
    assert ids == [[1], [0, 1], [0, 1], [2, 1], [2, 1], [2, 1], [2, 1]]


def test_what_is_seen_first_has_an_id_at_once():
    tracker = Tracker(TrackingSettings(confirm_frames=3))
    both = seen((20, 20, 20, 40), (90, 20, 20, 40))
    assert run(tracker, [seen(), seen((20, 20, 20, 40)), both]) == [[], [1], [1, 0]]
    tracker.reset()
    assert sorted(tracker.update(both, 3 * FRAME_NS).tolist()) == [2, 3]


def test_what_a_lamp_post_cuts_in_two_shows_its_id_once_and_no_other():
    frames = []
    for x in range(10, 120, 5):
        mask = drawn((x, 40, 60, 30))
        mask[:, 85:91] = 0   # the lamp post
        frames.append(segment_instances(mask, EVERYTHING))
    tracker = Tracker(TrackingSettings())
    for i, frame in enumerate(frames):
        ids = tracker.update(frame, i * FRAME_NS)
        assert sorted(ids.tolist()) == [0] * (len(frame) - 1) + [1]
    assert max(len(frame) for frame in frames) == 2


def test_one_frame_is_enough_when_settings_say_so():
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    assert tracker.update(seen((5, 5, 9, 9)), 0).tolist() == [1]


def test_empty_frames_have_no_ids_and_objects_come_back():
    tracker = Tracker(TrackingSettings())
    ids = run(tracker, [seen((50, 20, 20, 40))] * 3 + [seen()] * 4 + [seen((50, 20, 20, 40))])
    assert ids == [[1], [1], [1], [], [], [], [], [1]]
    assert tracker.update(seen(), 10 * FRAME_NS).dtype == np.int64


def test_a_lost_object_is_given_up_in_time_not_in_frames():
    for step, back in ((FRAME_NS, 1), (8 * FRAME_NS, 2)):
        tracker = Tracker(TrackingSettings(max_lost_s=0.5, confirm_frames=1))
        scenes = [seen((50, 20, 20, 40))] * 2 + [seen()] * 3 + [seen((50, 20, 20, 40))]
        assert run(tracker, scenes, step=step)[-1] == [back]


def test_crossing_boxes_keep_their_ids_through_the_blob():
    tracker = Tracker(TrackingSettings())
    scenes = [seen((10 + 5 * i, 20, 20, 40), (170 - 5 * i, 28, 20, 50)) for i in range(33)]
    assert any(len(s) == 1 for s in scenes)
    ids = run(tracker, scenes)
    assert sorted(ids[3]) == [1, 2]
    assert ids[-1] == ids[3][::-1], 'each is on the other side now'
    assert {i for frame in ids for i in frame} == {1, 2}


def test_dropped_frames_and_changing_rates_do_not_matter():
    tracker = Tracker(TrackingSettings())
    times = np.cumsum(np.random.default_rng(1).choice([0.03, 0.1, 0.2], 25))
    for t in times:
        frame = seen((10 + 40 * t, 20, 18, 40), (180 - 35 * t, 70, 18, 30))
        ids = tracker.update(frame, round(t * 1e9))
    assert sorted(ids.tolist()) == [1, 2]


def test_a_pushed_camera_renumbers_nobody():
    tracker = Tracker(TrackingSettings())
    boxes = [(20, 20, 12, 30), (70, 60, 16, 24), (120, 15, 14, 40), (150, 80, 20, 16)]
    before = run(tracker, [seen(*boxes)] * 4)[-1]
    assert run(tracker, [seen(*boxes, shift=(25, -12))], start=4 * FRAME_NS)[-1] == before


def test_a_class_that_flickers_keeps_its_id():
    tracker = Tracker(TrackingSettings())
    ids = run(tracker, [seen((50, 20, 40, 30, 7 if i != 4 else 6)) for i in range(8)])
    assert ids[2:] == [[1]] * 6


@pytest.mark.parametrize(('stamp_ns', 'cause'), [
    (0, 'time went back by 0.500 s'), (20_500_000_000, 'no frame for 20.000 s')])
def test_jumps_of_time_start_anew_and_say_so(stamp_ns, cause):
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    box = seen((50, 20, 20, 40))
    assert tracker.update(box, 500_000_000).tolist() == [1]
    assert tracker.reset_cause == ''
    assert tracker.update(box, stamp_ns).tolist() == [2]
    assert tracker.reset_cause == cause
    assert tracker.update(box, stamp_ns + FRAME_NS).tolist() == [2]
    assert tracker.reset_cause == ''


def test_ids_are_never_used_again_and_belong_to_one_tracker():
    one, other = (Tracker(TrackingSettings(confirm_frames=1)) for _ in range(2))
    box = seen((50, 20, 20, 40))
    assert one.update(box, 0).tolist() == [1]
    one.reset()
    assert one.update(box, FRAME_NS).tolist() == [2]
    assert other.update(box, 0).tolist() == [1]


def test_masks_of_another_size_start_anew():
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    tracker.update(seen((5, 5, 20, 20)), 0)
    assert tracker.update(seen((5, 5, 20, 20), shape=(60, 60)), FRAME_NS).tolist() == [2]
    assert 'masks changed' in tracker.reset_cause


def test_somebody_leaving_does_not_hand_the_id_to_somebody_entering():
    tracker = Tracker(TrackingSettings())
    out = [seen((150 + 6 * i, 20, 20, 40)) for i in range(10)]
    back = [seen((190 - 6 * i, 70, 20, 40)) for i in range(5)]
    ids = run(tracker, out + back)
    assert ids[-1] == [2]


def test_retuned_masks_keep_their_ids():
    tracker = Tracker(TrackingSettings(retune_frames=5))
    tracker.follow(SegmentationSettings(dist_threshold=0.5))
    whole, shrunken = seen((50, 20, 40, 60)), seen((62, 38, 16, 24))
    assert run(tracker, [whole] * 4)[-1] == [1]
    tracker.follow(SegmentationSettings(dist_threshold=0.1))
    ids = run(tracker, [shrunken] * 3 + [seen()] + [whole], start=4 * FRAME_NS)
    assert ids == [[1], [1], [1], [], [1]]


def test_parts_made_by_retuning_get_no_ids_while_it_is_tolerated():
    tracker = Tracker(TrackingSettings(retune_frames=6))
    whole, parts = seen((50, 20, 60, 30)), seen((50, 20, 35, 30), (86, 20, 24, 30))
    run(tracker, [whole] * 4)
    tracker.tolerate()
    ids = run(tracker, [parts] * 4 + [whole] * 2, start=4 * FRAME_NS)
    assert ids == [[1, 0]] * 4 + [[1]] * 2


@pytest.mark.parametrize('changes', [{'size_threshold': 500}, {'ignored_classes': (15,)}])
def test_what_the_segmentation_excludes_cannot_come_back(changes):
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    tracker.follow(SegmentationSettings())
    small, large = (20, 20, 10, 20), (100, 20, 40, 60, 7)
    run(tracker, [seen(small, large)] * 3)
    tracker.follow(SegmentationSettings(**changes))
    run(tracker, [seen(large)] * 2, start=3 * FRAME_NS)
    tracker.follow(SegmentationSettings())
    tracker.tolerate(0)
    assert run(tracker, [seen(small, large)], start=5 * FRAME_NS)[-1] == [3, 1]


def boxes(*rows):
    """Return instances without masks, each an upright box of x, y, w, h."""
    x, y, w, h = np.array(rows, float).T
    return Instances(np.zeros((0, 0), np.uint16), np.full(len(x), 15, np.uint8),
                     (w * h).astype(np.int64), np.ones(len(x)),
                     np.stack([x, y, x + w, y + h], 1),
                     np.stack([x + w / 2, y + h / 2, h, w, x * 0 + np.pi / 2], 1))


def test_overlapping_boxes_without_masks_are_followed():
    tracker = Tracker(TrackingSettings())
    ids = [tracker.update(boxes((10 + 4 * i, 20, 30, 60), (90 - 4 * i, 24, 30, 70)),
                          i * FRAME_NS).tolist() for i in range(20)]
    assert ids[1:] == [[1, 2]] * 19


@pytest.mark.parametrize(('fps', 'missing'), [(10, 0), (19, 0.3), (30, 0)])
def test_a_drawn_street_has_few_wrong_ids(fps, missing):
    tracker, dice = Tracker(TrackingSettings()), np.random.default_rng(0)
    scene = SyntheticScene(320, 240, seed=5, objects=4)
    given, switches, shown = {}, 0, 0
    for i in range(6 * fps):
        if dice.random() < missing:
            continue
        moment = scene.at(i / fps)
        ids = tracker.update(whole_instances(moment), round(i * 1e9 / fps))
        for true, found in zip(moment.track_ids.tolist(), ids.tolist(), strict=True):
            if found:
                shown += 1
                switches += given.setdefault(true, found) != found
                given[true] = found
    assert shown > 10 * fps * (1 - missing)
    assert switches <= 2


def whole_instances(moment):
    areas = np.bincount(moment.labels.ravel(), minlength=len(moment.class_ids) + 1)[1:]
    oriented = moment.oriented_boxes
    boxes = []
    for k in range(len(areas)):
        ys, xs = np.nonzero(moment.labels == k + 1)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    return Instances(moment.labels, moment.class_ids, areas, np.ones(len(areas)),
                     np.array(boxes, np.int32).reshape(-1, 4), oriented)


def test_the_drawn_street_is_a_function_of_seed_and_time():
    one, other = SyntheticScene(160, 120, seed=2), SyntheticScene(160, 120, seed=2)
    other.at(9.0)
    a, b = one.at(3.3), other.at(3.3)
    assert np.array_equal(a.frame, b.frame)
    assert np.array_equal(a.labels, b.labels)
    assert a.mask.dtype == np.uint8
    assert set(np.unique(a.labels)) <= set(range(len(a.class_ids) + 1))
    assert np.array_equal(a.mask > 0, a.labels > 0)
    assert len(a.oriented_boxes) == len(a.class_ids)
    assert not np.array_equal(a.labels, SyntheticScene(160, 120, seed=3).at(3.3).labels)


@pytest.mark.parametrize('wrong', [{'width': 4}, {'objects': ['unicorn']}, {'objects': 300}])
def test_an_impossible_street_is_refused(wrong):
    with pytest.raises(ValueError, match='expected'):
        SyntheticScene(**wrong)


def test_footprints_count_common_pixels_after_moving():
    labels = np.zeros((20, 30), np.uint16)
    labels[5:10, 5:10], labels[12:18, 20:26] = 1, 2
    prints, same = Footprints.of(labels, 2), np.ones((2, 2))
    moved = np.roll(labels, (2, 3), axis=(0, 1))
    shift = np.array([[3, 2], [3, 2.0]])
    assert prints.overlaps(same, shift, moved, 2).tolist() == [[25, 0], [0, 36]]
    assert prints.overlaps(same, np.array([[-99, 0], [0, 99.0]]), moved, 2).sum() == 0
    larger = cv2.resize(labels, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    assert prints.overlaps(2 * same, 0 * same, larger, 2).tolist() == [[25, 0], [0, 36]]


def test_contacts_are_the_share_of_a_side_along_another_object():
    labels = np.zeros((60, 80), np.uint16)
    labels[20:40, 10:30], labels[20:30, 30:60], labels[44:50, 30:60] = 1, 2, 3
    boxes = np.array([(10, 20, 30, 40), (30, 20, 60, 30), (30, 44, 60, 50.0)])
    assert contacts(labels, boxes, stride=1).tolist() == [
        [0, 0, 0.5, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert contacts(np.zeros((0, 0), np.uint16), boxes).tolist() == np.zeros((3, 4)).tolist()


def test_pairs_are_the_best_together_and_never_below_the_limit():
    rows, columns = assign(np.array([[0.9, 0.8, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.19]]), 0.2)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_people_walking_apart_are_not_a_pushed_camera():
    places = np.array([[20.0, 20], [60, 50], [100, 30]])
    everyone = np.ones((3, 3), bool)
    assert np.allclose(common_shift(places, places + (9, 4), everyone, 4.0), (9, 4))
    scattered = places + np.array([[9, 0], [-11, 3], [2, 17]])
    assert not common_shift(places, scattered, np.eye(3, dtype=bool), 4.0).any()


def filtered(boxes, dt=0.1, doubt=None):
    """Return state and covariance after boxes were measured one after the other."""
    state, covariance = kalman.begin(np.array([boxes[0]], float))
    for i, box in enumerate(boxes[1:], 1):
        state, covariance = kalman.predict(state, covariance, dt)
        state, covariance = kalman.correct(state, covariance, np.array([box], float),
                                           np.ones((1, 4)) if doubt is None else doubt[i][None])
    return state, covariance


def test_the_filter_learns_speed_and_coasts_through_a_gap():
    state, covariance = filtered([(3 * i, 50 - i, 3 * i + 20, 70 - i) for i in range(20)])
    state, _ = kalman.predict(state, covariance, 0.5)
    assert np.allclose(kalman.boxes_of(state), [[72, 26, 92, 46]], atol=1.0)


def test_of_what_is_half_hidden_the_other_edge_says_where_it_is():
    boxes = [(10 + 4 * i, 20, 50 + 4 * i, 60) for i in range(12)]
    hidden = [(x0, y0, min(x1, 74), y1) for x0, y0, x1, y1 in boxes]   # a wall at 74
    doubt = [np.where([0, 0, x1 == 74, 0], kalman.UNSEEN, 1) for _, _, x1, _ in hidden]
    state, _ = filtered(hidden, doubt=doubt)
    assert np.allclose(kalman.boxes_of(state), [boxes[-1]], atol=2)


@pytest.mark.parametrize(('covered', 'cut', 'seen', 'doubted'), [
    (0.0, False, (10, 10, 30, 50), [0, 0, 0, 0]), (0.0, False, (10, 10, 22, 50), [0, 0, 1, 0]),
    (0.9, False, (10, 10, 30, 50), [1, 0, 0, 0]), (0.0, True, (10, 10, 30, 50), [1, 0, 0, 0])])
def test_hidden_edges_are_doubted(covered, cut, seen, doubted):
    """The first edge lies along another object, or on the border; the third is inside."""
    box = np.array([seen], float)
    found = Measurement(np.zeros((60, 60), np.uint16), np.zeros(1, np.uint8), np.ones(1), box,
                        Footprints.none(), np.array([[covered, 0, 0, 0]]),
                        np.array([[cut, False, False, False]]))
    forecast, (_, covariance) = np.array([(10, 10, 30, 50.0)]), kalman.begin(box)
    doubt = edge_doubt(forecast, covariance, found, np.array([0]))
    assert (doubt > 1).tolist() == [[bool(d) for d in doubted]]


def test_buffered_boxes_overlap_when_they_nearly_touch():
    box, other = np.array([[10, 10, 20, 30.0]]), np.array([[22, 10, 32, 30.0]])
    assert buffered_iou(box, other, 0) == 0
    assert 0 < buffered_iou(box, other, 0.3) < buffered_iou(box, box, 0.3) == 1


@pytest.mark.parametrize('order', [[0, 1, 2, 3, 4, 6, 5, 7, 8, 9], [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]])
def test_a_late_or_repeated_frame_changes_no_id(order):
    scenes = [seen((10 + 6 * i, 20, 20, 40), (150 - 6 * i, 70, 20, 30)) for i in range(10)]
    straight, mixed = Tracker(TrackingSettings()), Tracker(TrackingSettings())
    expected = run(straight, scenes)
    found = {i: by_place(scenes[i], mixed.update(scenes[i], i * FRAME_NS)) for i in order}
    assert mixed.reset_cause == ''
    assert all(found[i] == expected[i] for i in found)


def test_a_late_frame_of_a_new_place_leaves_the_tracks_as_they_are():
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    run(tracker, [seen((50, 20, 20, 40))] * 4)
    assert tracker.update(seen((150, 20, 20, 40)), 2 * FRAME_NS).tolist() == [0]
    assert run(tracker, [seen((50, 20, 20, 40))], start=4 * FRAME_NS) == [[1]]


def test_who_grows_as_the_camera_nears_keeps_the_id():
    tracker = Tracker(TrackingSettings())
    scenes = [seen((100 - s // 2, 60 - s // 2, s, s)) for s in (16, 20, 25, 31, 39, 49, 61, 76)]
    assert run(tracker, scenes, step=100_000_000) == [[1]] * 8


def passing(places, wall, size=(24, 60), shape=(120, 240)):
    """Return frames in which a box goes from place to place behind a wall (x0, x1)."""
    frames = []
    for x in places:
        mask = drawn((x, 30, *size), shape=shape)
        mask[:, wall[0]:wall[1]] = 0
        frames.append(segment_instances(mask, EVERYTHING))
    return frames


def test_who_walks_behind_a_kiosk_comes_out_with_the_same_id():
    tracker = Tracker(TrackingSettings())
    ids = run(tracker, passing(range(10, 200, 6), (90, 130)), step=100_000_000)
    assert {i for frame in ids for i in frame} == {1}
    assert sum(not frame for frame in ids) >= 2


def test_the_largest_part_has_the_id():
    tracker = Tracker(TrackingSettings())
    for i, frame in enumerate(passing(range(10, 150, 8), (96, 102), size=(60, 30))):
        ids = tracker.update(frame, i * FRAME_NS)
        assert ids[frame.areas.argmax()] == 1
        assert len(frame) == 1 or frame.areas[1] != frame.areas[0]


def test_what_stays_in_a_followed_object_has_an_id_in_the_end():
    tracker = Tracker(TrackingSettings())
    whole, halves = seen((50, 20, 60, 40)), seen((50, 20, 32, 40), (84, 20, 26, 40))
    ids = run(tracker, [whole] * 4 + [halves] * 20)
    assert [frame[1] for frame in ids[4:13]] == [0] * 9
    assert ids[-1] == [1, 2]


def test_fragments_have_room_in_their_object_and_its_class():
    whole = Measurement.of(seen((50, 20, 60, 40)))
    table = TrackTable.begun(whole, np.arange(1))
    table.ids[:] = 1
    for other, expected in (((84, 20, 26, 40), True), ((84, 20, 26, 40, 7), False),
                            ((100, 20, 26, 40), False), ((66, 66, 26, 40), False)):
        found = seen((50, 20, 32, 40), other)
        main = np.flatnonzero(found.boxes[:, 0] == 50)
        fragment = fragments(table, Measurement.of(found), np.array([0]), main)[1]
        assert not fragment[main].any()
        assert fragment.any() == expected


def test_who_returns_is_about_as_large_as_before():
    tracker = Tracker(TrackingSettings(confirm_frames=1))
    ids = run(tracker, [seen((50, 20, 40, 40))] * 5 + [seen()] * 3
              + [seen((66, 36, 16, 16))] + [seen((50, 20, 40, 40))])
    assert ids[-2:] == [[2], [1]]


def test_a_strip_that_comes_out_matches_the_whole():
    table = TrackTable.begun(Measurement.of(seen((20, 10, 40, 80))), np.arange(1))
    table.covariance[:], only = 0, np.arange(1)
    at = np.array([[62, 12, 8, 76], [82, 12, 8, 76], [62, 12, 8, 8]])
    strips = [emergence(table, Measurement.of(seen(box)), only, 0.3, 3)[0, 0] for box in at]
    assert strips[0] == pytest.approx(76 / 80)
    assert strips[1] == 0
    assert strips[2] < 0.15
    table.covariance[:, 0, 0, 0] = 4**2
    assert emergence(table, Measurement.of(seen(at[1])), only, 0.3, 3)[0, 0] > 0.2
    assert not emergence(table, Measurement.of(boxes(at[0])), only, 0.3, 3).any(), 'no masks'


def test_who_goes_behind_a_kiosk_from_rest_comes_out_on_the_other_side():
    places = [*[50] * 8, *range(50, 140, 3)]
    tracker = Tracker(TrackingSettings())
    ids = run(tracker, passing(places, (76, 112), size=(26, 60)), step=100_000_000)
    assert {i for frame in ids for i in frame} == {1}
    assert any(not frame for frame in ids)


def test_a_strip_is_of_who_was_hidden_and_not_of_who_was_seen_a_moment_ago():
    tracker = Tracker(TrackingSettings())
    hidden, other, strip = (50, 30, 24, 60), (80, 29, 24, 62), (75, 29, 4, 62)
    ids = run(tracker, [seen(hidden, other)] * 4 + [seen(other)] * 2 + [seen(strip)])
    assert ids[4:] == [ids[0][1:], ids[0][1:], ids[0][:1]]


def test_a_fragment_is_not_who_comes_out_of_hiding():
    tracker = Tracker(TrackingSettings())
    hidden, whole = (104, 20, 24, 30), (40, 20, 60, 30)
    parts = (40, 20, 44, 30), (94, 20, 6, 30)
    ids = run(tracker, [seen(whole, hidden)] * 4 + [seen(whole)] * 2 + [seen(*parts)] * 2)
    assert ids[6:] == [[ids[0][0], 0]] * 2


@pytest.mark.parametrize(('seed', 'most'), [(0, 1), (9, 1), (17, 0)])
def test_clear_pairs_come_first(seed, most):
    """With all pairs in one stage there are 5, 3 and 4 switches."""
    tracker, scene = Tracker(TrackingSettings()), SyntheticScene(240, 180, seed=seed, objects=6)
    given, switches = {}, 0
    for i in range(60):
        moment = scene.at(i / 10)
        ids = tracker.update(whole_instances(moment), i * 100_000_000)
        for true, found in zip(moment.track_ids.tolist(), ids.tolist(), strict=True):
            if found:
                switches += given.setdefault(true, found) != found
                given[true] = found
    assert switches <= most


def test_only_what_is_about_as_large_votes_for_a_shift():
    places = np.array([(20, 20), (70, 60), (120, 15), (150, 70)])
    table = TrackTable.begun(Measurement.of(seen(*[(*p, 12, 12) for p in places])), np.arange(4))
    everyone = np.ones(4, bool)
    for side, expected in ((13, (24.5, 20.5)), (20, (0, 0))):
        found = Measurement.of(seen(*[(*(p + (24, 20)), side, side) for p in places]))
        shift = camera_shift(table, found, mask_overlap(table, found)[0], everyone)
        assert np.allclose(shift, expected)


def test_a_camera_that_drives_and_turns_is_told_from_people_who_walk():
    dice = np.random.default_rng(3)
    centres = dice.uniform((40, 40), (600, 440), (9, 2))
    boxes = np.concatenate([centres - (15, 30), centres + (15, 30)], axis=1)
    after = 1.1 * centres + (14, -9)
    after[0] += (60, 10)                       # one walks
    moved = np.concatenate([after - (16.5, 33), after + (16.5, 33)], axis=1)
    scale, shift = camera_motion(boxes, moved)
    assert scale == pytest.approx(1.1, abs=0.002)
    assert np.allclose(shift, (14, -9), atol=0.5)
    assert camera_motion(boxes[:3], moved[:3]) is None
    rolled = (centres - (320, 240)) @ [[0.9, 0.44], [-0.44, 0.9]] + (320, 240)
    assert camera_motion(boxes, np.concatenate([rolled - (15, 30), rolled + (15, 30)], 1)) is None
    assert camera_motion(boxes, boxes + 0.5) is None
    assert camera_motion(boxes, boxes + np.tile(dice.normal(0, 30, (9, 2)), 2)) is None


def test_who_is_hidden_while_the_camera_turns_keeps_the_id():
    around = [(30, 20, 20, 30), (90, 80, 20, 30), (150, 20, 20, 30), (210, 80, 20, 30)]
    turn = np.concatenate([np.zeros(6), np.arange(1, 10) * 8])
    tracker, ids = Tracker(TrackingSettings()), []
    for i, x in enumerate(turn):
        hidden = 6 <= i < len(turn) - 1
        shown = [*around, *([] if hidden else [(120, 50, 14, 26)])]
        frame = seen(*shown, shape=(120, 340), shift=(x, 0))
        ids.append(by_place(frame, tracker.update(frame, i * 100_000_000)))
    assert ids[-1] == ids[3]


def test_however_little_shows_it_says_no_more_than_the_whole():
    state, covariance = kalman.begin(np.array([[20, 10, 60, 90.0]]))
    free = np.where([0, 0, 1, 0], 1, kalman.UNSEEN)[None]
    boxes = np.array([[20, 10, 64, 90.0]]), np.array([[60, 10, 64, 14.0]])
    whole, strip = (kalman.correct(state, covariance, box, free)[0] for box in boxes)
    assert strip[0, 0, 0] == pytest.approx(whole[0, 0, 0], abs=0.3)


def test_who_shows_more_than_was_known_is_larger_at_once():
    state, covariance = kalman.begin(np.array([[20, 10, 28, 90.0]]))
    state, covariance = kalman.predict(state, covariance, 0.1)
    state, _ = kalman.correct(state, covariance, np.array([[20, 10, 60, 90.0]]), np.ones((1, 4)))
    assert np.allclose(kalman.boxes_of(state), [[20, 10, 60, 90]], atol=5)


def test_who_turns_back_behind_a_kiosk_keeps_the_id():
    places = [*range(10, 78, 4), *(78 + 4 * k for k in (1, 2, 3, 3, 2, 1)), *range(78, 30, -4)]
    tracker = Tracker(TrackingSettings())
    ids = run(tracker, passing(places, (90, 160)), step=100_000_000)
    assert {i for frame in ids for i in frame} == {1}


def test_a_blob_of_two_says_where_neither_is():
    tracker = Tracker(TrackingSettings())
    run(tracker, [seen((40, 20, 20, 40), (64, 20, 20, 40))] * 4 + [seen((40, 20, 44, 40))] * 2)
    boxes = tracker.tracks().boxes
    assert np.allclose(boxes[np.argsort(boxes[:, 0])], [[40, 20, 60, 60], [64, 20, 84, 60]],
                       atol=1)


def test_an_object_and_its_fragments_are_no_larger_than_it_was():
    table = TrackTable.begun(Measurement.of(seen((50, 20, 60, 40))), np.arange(1))
    table.ids[:] = 1
    found = seen((50, 20, 48, 40), (100, 20, 10, 18))
    main = np.flatnonzero(found.boxes[:, 0] == 50)
    for area, expected in ((2400, True), (1500, False)):
        table.areas[:] = area
        assert fragments(table, Measurement.of(found), np.array([0]), main)[1].any() == expected


def test_what_the_camera_does_moves_scales_and_speeds_up():
    table = TrackTable.begun(Measurement.of(seen((50, 20, 60, 40), (120, 20, 30, 30))),
                             np.arange(2))
    before = table.state.copy()
    table.carry(np.array([True, False]), 1.1, np.array([3.0, -2]), np.array([5.0, 0]))
    assert np.array_equal(table.state[1], before[1])
    assert np.allclose(table.state[0, :, 0], 1.1 * before[0, :, 0] + (3, -2))
    assert np.allclose(table.state[0, :, 1], before[0, :, 1] + (5, 0))
    assert np.allclose(table.state[0, :, 2], 1.1 * before[0, :, 2])
