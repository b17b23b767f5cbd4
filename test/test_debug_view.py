"""The debug view tells what the splitter really did."""

import cv2
from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.core.segmentation.debug_view import debug_view
import numpy as np
import pytest


@pytest.fixture
def mask():
    """Two touching discs, a person-like shape that is not cut, and a lone disc."""
    mask = np.zeros((200, 400), np.uint8)
    for x, r in ((60, 40), (130, 36)):
        cv2.circle(mask, (x, 70), r, 7, -1)
    cv2.ellipse(mask, (260, 110), (30, 50), 0, 0, 360, 15, -1)
    cv2.circle(mask, (260, 48), 20, 15, -1)
    cv2.circle(mask, (350, 150), 20, 15, -1)
    return mask


def test_images_have_the_size_of_the_mask(mask):
    view = debug_view(mask, SegmentationSettings())
    for image in (view.distance, view.cores, view.basins, view.merged):
        assert image.shape == (*mask.shape, 3) and image.dtype == np.uint8
        assert image[mask > 0].any()
    assert view.mosaic.dtype == np.uint8 and view.mosaic.shape[1] == 1280


@pytest.mark.parametrize('threshold', [0.0, 0.2, 0.5, 1.0])
def test_as_many_cuts_as_there_are_instances_more_than_components(mask, threshold):
    settings = SegmentationSettings(dist_threshold=threshold)
    instances = segment_instances(mask, settings)
    view = debug_view(mask, settings, instances)
    assert sum(reason.is_cut for reason in view.reasons) == len(instances) - 3


def test_reasons_give_neck_ratio_and_limit(mask):
    reason = debug_view(mask, SegmentationSettings()).reasons[0]
    assert reason.is_cut and reason.class_id == 7
    assert abs(reason.x - 96) < 8 and abs(reason.y - 70) < 12
    assert reason.cut.ratio < SegmentationSettings().dist_threshold
    for word in ('CUT', 'neck ratio', 'limit', 'class 7'):
        assert word in str(reason)


@pytest.mark.parametrize('shape', [(1, 1), (1, 30), (30, 1), (17, 90)])
@pytest.mark.parametrize('value', [0, 3, 255])
def test_any_mask_can_be_shown(shape, value):
    debug_view(np.full(shape, value, np.uint8), SegmentationSettings(erosion_iteration=1))


def test_noise_can_be_shown():
    noise = np.random.default_rng(0).integers(0, 3, (60, 80), np.uint8)
    debug_view(noise, SegmentationSettings(size_threshold=1))
