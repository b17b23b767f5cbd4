"""Class names that hold where nobody says others."""

from __future__ import annotations

from collections.abc import Mapping

# The PASCAL VOC classes of the networks at hand; the place in the list is the class id.
VOC_CLASSES = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
    'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
    'train', 'tvmonitor')
VOC_NAMES: Mapping[int, str] = dict(enumerate(VOC_CLASSES))
