"""Instances of a network: measured, oriented and chosen as the settings say."""

import math

from instseg_ros.core import Instances, SegmentationSettings, Segmenter
from instseg_ros.core.segmentation import network_instances
from instseg_ros.core.segmentation.oriented_boxes import oriented_box
import numpy as np
import pytest


@pytest.fixture
def found():
    """Give a slanted bar, a piece that belongs to it, a dot and a block."""
    labels = np.zeros((120, 160), np.uint16)
    for k in range(60):
        labels[20 + k // 2:30 + k // 2, 20 + k] = 1
    labels[58:64, 92:97] = 1
    labels[5:8, 150:153] = 2
    labels[60:100, 110:150] = 3
    areas = np.bincount(labels.ravel())[1:]
    return Instances(
        labels, np.array([1, 1, 3], np.uint8), areas, np.array([0.9, 0.6, 0.4]),
        np.array([(20, 20, 97, 64), (150, 5, 153, 8), (110, 60, 150, 100)], np.int32),
        np.array([(50, 50, 80, 60, 0.0)] * 3))


def chosen(found, **settings):
    return network_instances(found, SegmentationSettings(**settings))


def test_boxes_are_fitted_and_scores_kept(found):
    instances = chosen(found)
    assert len(instances) == 3  # an automatic size_threshold drops none
    assert instances.scores.tolist() == [0.9, 0.6, 0.4]
    for k in range(3):
        expected = oriented_box((found.labels == k + 1).view(np.uint8))
        np.testing.assert_allclose(instances.oriented_boxes[k], expected)
    np.testing.assert_allclose(instances.oriented_boxes[2], [130, 80, 40, 40, 0], atol=1e-6)
    # Down to the right, with the piece that something in front cut off.
    assert instances.oriented_boxes[0, 4] == pytest.approx(-math.atan(0.5), abs=0.05)


@pytest.mark.parametrize(('settings', 'kept'), [
    ({'size_threshold': 9}, [1, 2, 3]), ({'size_threshold': 10}, [1, 3]),
    ({'ignored_classes': (1,)}, [3]), ({'min_score': 0.6}, [1, 2]), ({'min_score': 1.0}, [])])
def test_filters(found, settings, kept):
    instances = chosen(found, **settings)
    assert instances.scores.tolist() == found.scores[np.array(kept, int) - 1].tolist()
    expected = np.zeros_like(found.labels)
    for k, label in enumerate(kept, 1):
        expected[found.labels == label] = k
    np.testing.assert_array_equal(instances.labels, expected)
    assert instances.labels.dtype == np.uint16
    assert instances.areas.tolist() == np.bincount(expected.ravel())[1:].tolist()
    assert instances.oriented_boxes.shape == (len(kept), 5)


@pytest.mark.parametrize('memory', [False, True])
def test_segmenter_takes_them(found, memory):
    segmenter = Segmenter(SegmentationSettings(memory=memory))
    for k in range(3):
        instances = segmenter.update(found, k * 10**8)
        np.testing.assert_array_equal(instances.labels, found.labels)
        assert instances.scores.tolist() == found.scores.tolist()
