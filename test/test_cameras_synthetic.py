"""The synthetic scene: its truth about what it draws."""
from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.core import segment_instances, SegmentationSettings
import numpy as np
import pytest

TIMES_S = [0.0, 1.7, 3.4, 10.1]
SIZES = [(640, 480), (1280, 720), (97, 61)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('t_s', TIMES_S)
def test_all_parts_of_the_truth_agree(size, t_s):
    seen = SyntheticScene(*size, seed=3).at(t_s)
    count = len(seen.class_ids)
    assert seen.frame.shape == (*size[::-1], 3)
    assert np.unique(seen.labels).tolist() == list(range(count + 1))
    np.testing.assert_array_equal(seen.mask, np.array([0, *seen.class_ids])[seen.labels])
    assert len(set(seen.track_ids.tolist())) == count
    assert seen.oriented_boxes.shape == (count, 5)
    for label, (x, y, *_) in enumerate(seen.oriented_boxes, 1):
        rows, columns = np.nonzero(seen.labels == label)
        assert rows.min() <= y <= rows.max() + 1
        assert columns.min() <= x <= columns.max() + 1


@pytest.mark.parametrize('t_s', TIMES_S)
def test_the_mask_lies_on_the_frame(t_s):
    seen = SyntheticScene(320, 240, seed=3).at(t_s)
    empty = SyntheticScene(320, 240, seed=3, objects=()).at(t_s)
    drawn = (seen.frame != empty.frame).any(axis=2)
    assert drawn.any()
    assert np.count_nonzero(drawn != (seen.mask > 0)) < 0.01 * np.count_nonzero(drawn)


def test_a_seed_is_one_scene():
    first, again, other = (SyntheticScene(160, 120, seed).at(2.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.frame, again.frame)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.frame != other.frame).any()


def test_objects_move_turn_touch_and_hide_each_other():
    scene = SyntheticScene(640, 480)
    moments = [(scene.at(t_s), scene.whole_areas(t_s)) for t_s in np.arange(0, 20, 0.25)]
    touching = hidden = 0
    angles = {}
    for seen, whole in moments:
        left, right = seen.labels[:, :-1], seen.labels[:, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
        areas = np.bincount(seen.labels.ravel(), minlength=len(seen.class_ids) + 1)[1:]
        hidden += any(area < whole[track] for area, track in
                      zip(areas, seen.track_ids.tolist(), strict=True))
        for track, box in zip(seen.track_ids.tolist(), seen.oriented_boxes, strict=True):
            angles.setdefault(track, []).append(box[4])
    assert touching > 5
    assert hidden > 5
    assert max(np.ptp(a) for a in angles.values()) > 0.2  # radians
    # Objects that are alone are found as they are.
    seen = SyntheticScene(640, 480, objects=['aeroplane']).at(3.0)
    found = segment_instances(seen.mask, SegmentationSettings())
    np.testing.assert_array_equal(found.labels, seen.labels)
