"""The scenes that the tracker is measured on do what they say."""

from pathlib import Path
import sys

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks'))
import tracking_scenes as scenes  # noqa: E402, I100

PHOTOS = Path(__file__).parent / 'masks' / 'coco_voc20'
BAR = np.ones((40, 20), np.uint8)


def thing(ahead, aside, class_id=scenes.PERSON, height=1.7):
    """Return something that stands; the camera is at 0, 0 and looks along x."""
    return scenes._Thing(class_id, BAR, height, np.array([ahead, -aside]), np.zeros(2), 0)


def view(things, x=0.0, heading=0.0):
    return scenes._seen(things, 0.0, np.array([x, 0.0]), heading, 0.02, 1.2)


def box_of(moment, track):
    label = moment.track_ids.tolist().index(track) + 1
    return cv2.boundingRect((moment.labels == label).view(np.uint8))


def silhouettes(monkeypatch):
    """Let every scene be of upright bars and wide ones."""
    shapes = {c: [BAR if c == scenes.PERSON else np.ones((20, 40), np.uint8)]
              for c in scenes.HEIGHTS}
    monkeypatch.setattr(scenes, 'silhouettes', lambda folder: shapes)


def test_who_is_driven_up_to_grows_and_leaves_at_the_side():
    far, near = (box_of(view([thing(10, 1)], x), 1) for x in (0.0, 5.0))
    assert near[3] == pytest.approx(2 * far[3], rel=0.03)
    assert near[0] + near[2] / 2 - 320 == pytest.approx(2 * (far[0] + far[2] / 2 - 320), rel=0.05)
    assert not len(view([thing(10, 1)], 10.0).track_ids)


def test_a_turn_shifts_everything_and_changes_no_size():
    before, after = (box_of(view([thing(10, 0)], heading=h), 1) for h in (0.0, 0.1))
    assert after[0] - before[0] == pytest.approx(scenes.FOCAL * np.tan(0.1), abs=2)
    assert after[3] == pytest.approx(before[3], abs=2)


def test_the_near_hides_the_far_whatever_their_order():
    for things in ([thing(5, 0), thing(9, 0.8)], [thing(9, 0.8), thing(5, 0)]):
        near = 1 if things[0].place[0] == 5 else 2
        both, alone = view(things), view([things[near - 1]])
        assert box_of(both, near) == box_of(alone, 1)
        hidden = np.count_nonzero(both.labels) - np.count_nonzero(alone.labels)
        whole = np.count_nonzero(view([things[2 - near]]).labels)
        assert 0 < hidden < 0.8 * whole


def test_posts_hide_and_are_no_objects():
    moment = view([thing(9, 0), thing(5, 0, class_id=0, height=1.0)])
    assert moment.track_ids.tolist() == [1]
    assert 0 < np.count_nonzero(moment.labels) < np.count_nonzero(view([thing(9, 0)]).labels)


@pytest.mark.parametrize('crowd', [False, True])
def test_a_drive_is_a_function_of_its_seed(monkeypatch, crowd):
    silhouettes(monkeypatch)
    one, same, other = (list(scenes.moving_camera(seed, 10, PHOTOS, 1.0, crowd=crowd))
                        for seed in (2, 2, 4))
    assert len(one) == 10
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a.labels, b.labels) for a, b in zip(one, other, strict=True))
    classes = {}
    for moment in one:
        assert len(np.unique(moment.track_ids)) == len(moment.track_ids) > 0
        assert np.unique(moment.labels).tolist() == list(range(len(moment.track_ids) + 1))
        for track, class_id in zip(moment.track_ids, moment.class_ids, strict=True):
            assert classes.setdefault(track, class_id) == class_id


def runs(present):
    """Return lengths of the gaps between two presences."""
    gaps, last = [], None
    for i, here in enumerate(present):
        if here:
            if last is not None and i > last + 1:
                gaps.append(i - last - 1)
            last = i
    return gaps


def test_gaps_last_1_to_20_frames():
    labels = np.zeros((40, 60), np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:40] = 1, 2
    always = [scenes.Moment(i / 10, labels, np.array([15, 7], np.uint8), np.array([4, 9]))
              for i in range(4000)]
    shown = list(scenes.with_gaps(iter(always), 1))
    gaps = [gap for track in (4, 9) for gap in runs([track in m.track_ids for m in shown])]
    assert len(gaps) > 50
    assert min(gaps) == 1
    assert 18 <= max(gaps) <= 20
    for moment in shown:
        for label, (track, class_id) in enumerate(zip(moment.track_ids, moment.class_ids,
                                                      strict=True), 1):
            assert np.array_equal(moment.labels == label, labels == (1 if track == 4 else 2))
            assert class_id == (15 if track == 4 else 7)


def test_cells_divide_vanish_and_return():
    moments = list(scenes.cells(3, 10, 12))
    first = moments[0].track_ids
    everyone = np.unique(np.concatenate([m.track_ids for m in moments]))
    daughters = everyone[everyone > first.max()]
    assert len(daughters) > 2
    gaps = [gap for track in everyone for gap in runs([track in m.track_ids for m in moments])]
    assert len(gaps) > 5
    assert max(gaps) <= 21


def large_and_small(t):
    labels = np.zeros((480, 640), np.uint16)
    labels[100:400, 200:360], labels[50:80, 500:518] = 1, 2
    return scenes.Moment(t, labels, np.array([15, 7], np.uint8), np.array([1, 2]))


def test_a_network_misses_the_small_and_is_wrong_for_a_while():
    seen, small, outlines = [0, 0], 0, []
    for seed in range(30):
        network = scenes.NetworkErrors(seed)
        masks = [network.mask(large_and_small(t)) for t in (0.0, 0.05, 20.0)]
        inside = [mask[100:400, 200:360] == 15 for mask in masks]
        seen[0] += inside[0].mean() > 0.5
        seen[1] += (masks[0][50:80, 500:518] == 7).mean() > 0.5
        small += np.count_nonzero((masks[0] > 0) & (large_and_small(0).labels == 0)) > 0
        if all(i.mean() > 0.5 for i in inside):
            outlines.append([np.count_nonzero(inside[0] != i) for i in inside[1:]])
        # Each pixel of the grid of 320x320 covers 2 by 1 or 2 of the frame.
        assert np.array_equal(masks[0][:, ::2], masks[0][:, 1::2])
    assert seen[0] > 2 * seen[1] + 5
    assert small > 20
    soon, later = np.mean(outlines, axis=0)
    assert 0 < soon < 0.6 * later


def test_outlines_of_a_network_are_off_as_far_as_was_measured():
    off = []
    for seed in range(20):
        mask = scenes.NetworkErrors(seed).mask(large_and_small(0.0)) == 15
        rows = mask[150:350, 120:440]
        if rows.mean() > 0.2:
            left = rows.argmax(axis=1) + 120 - 200
            off.append(np.std(left[np.abs(left) < 60]) / np.sqrt(300 * 160))
    assert 0.5 * scenes.OUTLINE < np.median(off) < 1.5 * scenes.OUTLINE
