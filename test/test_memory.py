from dataclasses import fields

import cv2
from instseg_ros.core import Instances, segment_instances, SegmentationSettings, Segmenter
from instseg_ros.core.occlusion import ShapeMemory
from instseg_ros.core.occlusion.dividing import divided, Division, share_out
from instseg_ros.core.occlusion.fitting import fit, showing
from instseg_ros.core.occlusion.memory import GONE_S, SETTLED_FRAMES
from instseg_ros.core.occlusion.shapes import Laid
import numpy as np
import pytest

FRAME_NS = 50_000_000
PLAIN = SegmentationSettings(dist_threshold=0, memory=True)


def street(*people, shape=(160, 240)):
    """Return a mask of people (x, foot y, class): a head, a body."""
    mask = np.zeros(shape, np.uint8)
    for x, foot, *kind in people:
        x, kind = round(x), kind[0] if kind else 15
        mask[foot - 60:foot, max(x - 11, 0):max(x + 11, 0)] = kind
        mask[foot - 76:foot - 60, max(x - 6, 0):max(x + 6, 0)] = kind
    return mask


def passing(i):
    """Two people walking towards each other and past, one nearer than the other."""
    return street((30 + 5 * i, 120), (210 - 5 * i, 128))


def run(segmenter, masks):
    return [segmenter.update(mask, i * FRAME_NS) for i, mask in enumerate(masks)]


def same(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def described(labels):
    """Return the instances of a label image, all persons."""
    count, boxes = int(labels.max()), []
    for k in range(1, count + 1):
        ys, xs = np.nonzero(labels == k)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    return Instances(labels, np.full(count, 15, np.uint8), np.bincount(labels.ravel())[1:],
                     np.full(count, 0.5), np.array(boxes, np.int32), np.ones((count, 5)))


def check(found):
    """Check that labels are dense, and areas and boxes those of the labels."""
    labels = found.labels
    assert labels.dtype == np.uint16
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(found) + 1))
    assert np.array_equal(np.bincount(labels.ravel())[1:], found.areas)
    assert ((found.scores > 0) & (found.scores <= 1)).all()
    assert np.array_equal(found.boxes, described(labels).boxes)


def test_people_who_pass_each_other_stay_two_while_both_can_be_seen():
    results = run(Segmenter(PLAIN), [passing(i) for i in range(37)])
    alone = [len(segment_instances(passing(i), PLAIN)) for i in range(37)]
    melted = [i for i, n in enumerate(alone) if n == 1 and abs(2 * (i - 18) * 5) >= 10]
    assert len(melted) >= 4
    assert all(len(results[i]) == 2 for i in melted)


def test_the_parts_are_the_blob_and_well_described():
    for i, result in enumerate(run(Segmenter(PLAIN), [passing(i) for i in range(37)])):
        assert np.array_equal(result.labels > 0, passing(i) > 0)
        check(result)
        assert (result.oriented_boxes[:, 2] >= result.oriented_boxes[:, 3]).all()


def test_off_means_exactly_the_single_frame_result():
    settings = PLAIN.changed(memory=False)
    for i, result in enumerate(run(Segmenter(settings), [passing(i) for i in range(37)])):
        assert same(result, segment_instances(passing(i), settings))


def test_switching_it_off_and_on_while_running():
    segmenter = Segmenter(PLAIN)
    for i in range(17):
        segmenter.update(passing(i), i * FRAME_NS)
    segmenter.settings = PLAIN.changed(memory=False)
    assert len(segmenter.update(passing(17), 17 * FRAME_NS)) == 1
    segmenter.settings = PLAIN
    assert len(segmenter.update(passing(17), 18 * FRAME_NS)) == 1


def test_a_blob_that_nobody_was_seen_to_enter_is_never_cut():
    masks = [street((100 + i, 120), (116 + i, 126)) for i in range(20)]
    assert all(len(r) == 1 for r in run(Segmenter(PLAIN), masks))


@pytest.mark.parametrize('split', [1, 2, 6])
def test_one_object_that_fell_in_two_for_a_moment_heals(split):
    whole, torn = street((100, 120)), street((100, 120))
    torn[85:88] = 0
    results = run(Segmenter(PLAIN), [whole] * 6 + [torn] * split + [whole] * 10)
    assert [len(r) for r in results[-10:]] == [1] * 10


def test_an_object_whose_pixels_are_gone_is_forgotten():
    meeting = [street((60 + 5 * min(i, 10), 120), (150 - 2 * min(i, 10), 126)) for i in range(14)]
    gone = [street((110, 120))] * 20
    results = run(Segmenter(PLAIN), meeting + gone)
    assert len(results[13]) == 2
    assert [len(r) for r in results[-8:]] == [1] * 8


def test_touching_classes_never_share_an_instance():
    masks = [street((30 + 5 * i, 120), (210 - 5 * i, 128, 7)) for i in range(37)]
    for mask, result in zip(masks, run(Segmenter(PLAIN), masks), strict=True):
        classes = np.concatenate([[0], result.class_ids])
        assert np.array_equal(classes[result.labels], mask)
        assert np.array_equal(np.unique(result.class_ids), [7, 15])
        assert len(result) <= len(segment_instances(mask, PLAIN))


def test_two_who_were_seen_as_one_are_two_once_they_part():
    masks = [street((100 - 3 * max(0, i - 5), 120), (118 + 3 * max(0, i - 5), 126))
             for i in range(14)]
    results = run(Segmenter(PLAIN), masks)
    assert [len(r) for r in results[:6]] == [1] * 6
    assert [len(r) for r in results[-6:]] == [2] * 6


def test_nobody_is_cut_in_two_once_the_other_is_out_of_sight():
    """One walks behind the other and on with them: one blob, of the size of one, is one."""
    masks = [street((60 + 4 * i, 124), (160 - 4 * i if i < 12 else 60 + 4 * i, 124))
             for i in range(40)]
    assert [len(r) for r in run(Segmenter(PLAIN), masks)[16:]] == [1] * 24


def test_a_jump_of_time_or_of_size_forgets():
    for stamp, mask in ((-1, passing(17)), (10**10, passing(17)),
                        (17 * FRAME_NS, passing(17)[:, :200])):
        segmenter = Segmenter(PLAIN)
        run(segmenter, [passing(i) for i in range(17)])
        assert same(segmenter.update(mask, stamp), segment_instances(mask, PLAIN))


def test_empty_masks_are_fine():
    segmenter = Segmenter(PLAIN)
    empty = np.zeros((160, 240), np.uint8)
    assert [len(r) for r in run(segmenter, [empty, passing(0), empty, empty])] == [0, 2, 0, 0]


def melted(i):
    return len(segment_instances(passing(i), PLAIN)) == 1 and abs(2 * (i - 18) * 5) >= 10


def test_they_must_have_been_seen_apart_often_enough():
    first = next(i for i in range(37) if melted(i))
    for frames in range(1, 6):
        segmenter = Segmenter(PLAIN)
        for i in range(first - frames, first):
            segmenter.update(passing(i), i * FRAME_NS)
        found = segmenter.update(passing(first), first * FRAME_NS)
        assert len(found) == (2 if frames >= SETTLED_FRAMES else 1)


@pytest.mark.parametrize('touching, apart, count', [
    (2 * SETTLED_FRAMES, 0, 1), (1, SETTLED_FRAMES - 1, 1), (1, SETTLED_FRAMES, 2)])
def test_what_the_splitter_cuts_was_not_seen_apart(touching, apart, count):
    """Only a gap says that two are two: a cut may be wrong."""
    labels = np.zeros((160, 240), np.uint16)
    memory = ShapeMemory()
    for i in range(touching + apart):
        labels[40:120, 60:90], labels[40:120, 90:120] = 1, 2
        if i >= touching:
            labels[40:120, 88:90] = 0
        memory.update(described(labels), i * FRAME_NS)
    labels[40:120, 60:120] = 1
    assert len(memory.update(described(labels), (i + 1) * FRAME_NS)) == count


def test_a_camera_that_turns_by_the_width_of_a_person_each_frame():
    def seen(i):
        matrix = np.array([[1.0, 0, 15 * i], [0, 1, 0]])
        return cv2.warpAffine(passing(i), matrix, (800, 160), flags=cv2.INTER_NEAREST)

    first = next(i for i in range(37) if melted(i))
    assert len(run(Segmenter(PLAIN), [seen(i) for i in range(first + 1)])[-1]) == 2


def test_somebody_unknown_in_the_blob_is_no_third_part():
    memory, labels = ShapeMemory(), np.zeros((160, 240), np.uint16)
    labels[60:120, 40:60], labels[60:120, 66:86] = 1, 2
    for i in range(SETTLED_FRAMES):
        memory.update(described(labels), i * FRAME_NS)
    labels[60:120, 40:190] = 1
    assert len(memory.update(described(labels), SETTLED_FRAMES * FRAME_NS)) == 2


def test_a_camera_that_turns_and_comes_nearer():
    """Everything moves, and grows by 2 % a frame: forecasts and shapes grow too."""
    def seen(i):
        matrix = np.array([[1.02**i, 0, 3 * i], [0, 1.02**i, -0.5 * i]])
        return cv2.warpAffine(passing(i), matrix, (560, 340), flags=cv2.INTER_NEAREST)

    masks = [seen(i) for i in range(30)]
    counts = [len(r) for r in run(Segmenter(PLAIN), masks)]
    ones = [i for i in range(30) if len(segment_instances(masks[i], PLAIN)) == 1
            and abs(2 * (i - 18) * 5) >= 20]
    assert ones and all(counts[i] == 2 for i in ones)


def test_a_late_frame_is_divided_and_changes_nothing():
    first = next(i for i in range(37) if melted(i))
    plain, shaken = Segmenter(PLAIN), Segmenter(PLAIN)
    for i in range(37):
        expected = plain.update(passing(i), i * FRAME_NS)
        assert same(shaken.update(passing(i), i * FRAME_NS), expected)
        late = shaken.update(passing(max(i - 1, 0)), (i - 1) * FRAME_NS if i else 0)
        if i == first + 1:
            assert len(late) == 2


def test_who_changes_class_is_another_object():
    segmenter, kinds = Segmenter(PLAIN), (15, 7)
    for i in range(40):
        mask = street((60 + 3 * min(i, 12), 120, kinds[i >= 8]), (150 - 3 * min(i, 12), 126))
        found = segmenter.update(mask, i * FRAME_NS)
        assert same(found, segment_instances(mask, PLAIN)) or i < 8


def test_parts_below_the_size_threshold_are_not_cut_off():
    first, smallest = next(i for i in range(37) if melted(i)), 1
    for count in (2, 1):
        memory = ShapeMemory()
        for i in range(first + 1):
            found = memory.update(segment_instances(passing(i), PLAIN), i * FRAME_NS, smallest)
        assert len(found) == count
        smallest = int(found.areas.min()) + 1


def test_several_pieces_of_two_objects_become_two():
    memory = ShapeMemory()
    first = next(i for i in range(37) if melted(i))
    for i in range(first):
        memory.update(segment_instances(passing(i), PLAIN), i * FRAME_NS)
    one = segment_instances(passing(first), PLAIN)
    labels = one.labels.copy()
    labels[90:][labels[90:] > 0] = 2
    labels[92:94][labels[92:94] > 0] = 3
    found = memory.update(described(labels), first * FRAME_NS)
    assert len(found) == 2
    assert np.array_equal(found.labels > 0, one.labels > 0)
    check(found)


def test_who_is_hidden_is_remembered_longer_than_who_is_gone():
    """Two pass each other so slowly that one is hidden for longer than that."""
    masks = [street((100 + i / 4, 120), (140 - i / 4, 128)) for i in range(120)]
    counts = [len(r) for r in run(Segmenter(PLAIN), masks)]
    assert counts.count(1) * FRAME_NS > GONE_S * 1e9
    assert len(segment_instances(masks[-1], PLAIN)) == 1
    assert counts[-1] == 2


@pytest.mark.parametrize('seconds, count', [(0.5 * GONE_S, 2), (1.5 * GONE_S, 1)])
def test_who_is_gone_with_nothing_in_front_is_soon_forgotten(seconds, count):
    memory, labels = ShapeMemory(), np.zeros((160, 240), np.uint16)
    gone = SETTLED_FRAMES + round(seconds * 1e9 / FRAME_NS)
    for i in range(gone):
        labels[60:120, 40:60] = 1
        labels[60:120, 80:100] = 2 if i < SETTLED_FRAMES else 0
        memory.update(described(labels), i * FRAME_NS)
    labels[60:120, 40:100] = 1
    assert len(memory.update(described(labels), gone * FRAME_NS)) == count


def test_divided_reuses_labels_and_keeps_them_dense():
    labels = np.zeros((20, 60), np.uint16)
    labels[2:18, 2:12], labels[2:18, 20:30], labels[2:18, 40:58] = 1, 2, 3
    found = described(labels)
    assert divided(found, []) is found
    left, right = np.zeros((20, 60), bool), np.zeros((20, 60), bool)
    left[2:18, 40:48], right[2:18, 48:58] = True, True
    more = divided(found, [Division([2], (0, 0), [left, right])])
    assert more.areas.tolist() == [160, 160, 128, 160]
    assert more.boxes[2:].tolist() == [[40, 2, 48, 18], [48, 2, 58, 18]]
    check(more)
    fewer = divided(found, [Division([0, 1], (0, 0), [(labels == 1) | (labels == 2)])])
    assert fewer.areas.tolist() == [320, 288]
    check(fewer)
    assert np.array_equal(found.labels, labels)


def test_every_pixel_goes_to_the_cover_in_front_or_to_the_nearest():
    blob = np.ones((1, 8), bool)
    front, back = np.zeros((1, 8), np.uint8), np.zeros((1, 8), np.uint8)
    front[0, 2:4], back[0, 3:5] = 1, 1
    parts = share_out(blob, [front, back])
    assert np.array_equal(parts[0][0], [1, 1, 1, 1, 0, 0, 0, 0])
    assert np.array_equal(parts[1], ~parts[0])


def test_shapes_are_fitted_beside_each_other():
    worth = np.full((12, 30), -1, np.float32)
    worth[2:10, 5:21] = 1
    square = np.ones((8, 8), np.uint8)
    assert fit(worth, [Laid(square, 6, 3), Laid(square, 11, 1)], [3, 3]) == [(-1, -1), (2, 1)]


def test_a_shape_without_an_outline_of_its_own_does_not_show():
    worth = np.full((24, 40), -1, np.float32)
    worth[2:22, 2:38] = 1
    covers = [Laid(np.ones(size, np.uint8), x, y).cover(worth.shape)
              for size, x, y in (((20, 16), 2, 2), ((10, 3), 23, 7), ((15, 3), 23, 7))]
    assert showing(worth, [covers[0], covers[1]], [320, 30], [True, True]) == [0]
    assert showing(worth, [covers[0], covers[2]], [320, 45], [True, True]) == [0, 1]
    assert showing(worth, [covers[0], covers[2]], [320, 45], [True, False]) == [0]


def test_who_explains_nothing_of_its_own_does_not_show():
    worth = np.full((12, 30), -1, np.float32)
    worth[2:10, 5:15] = 1
    large, small = Laid(np.ones((8, 10), np.uint8), 5, 2), Laid(np.ones((6, 5), np.uint8), 7, 3)
    covers = [one.cover(worth.shape) for one in (large, small)]
    assert showing(worth, covers, [80, 30], [True, True]) == [0]
    worth[3:9, 15:19] = 1
    covers[1] = Laid(small.mask, 14, 3).cover(worth.shape)
    assert showing(worth, covers, [80, 30], [True, True]) == [0, 1]
