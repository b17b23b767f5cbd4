"""Instances over frames of another size."""

from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.core.drawing import draw_overlay, enlarge, OverlaySettings
import numpy as np
import pytest


def test_instances_of_a_small_mask_over_a_large_frame():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 5:20] = 15
    mask[20:30, 40:70] = 7
    # A frame that is not as wide: what was square is so no more.
    found = enlarge(segment_instances(mask, SegmentationSettings()), (160, 240))
    expected = segment_instances(np.repeat(np.repeat(mask, 4, 0), 2, 1), SegmentationSettings())
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.areas, expected.areas)
    assert found.oriented_boxes == pytest.approx(expected.oriented_boxes, abs=0.5)


def test_what_vanishes_in_a_small_frame_has_no_box():
    mask = np.zeros((60, 80), np.uint8)
    mask[11, 11:40] = 15
    found = enlarge(segment_instances(mask, SegmentationSettings()), (20, 15))
    assert found.boxes.tolist() == [[0, 0, 0, 0]]
    assert not found.labels.any()
    frame = np.full((15, 20, 3), 90, np.uint8)
    assert (draw_overlay(frame, found, ['1'], {}, OverlaySettings()) == frame).all()
