"""
Segmentation: from a class mask to instances, in the order of the steps of :mod:`.segment`.

``docs/method.md`` explains the method with pictures.
"""

from .class_masks import check_mask, NO_DATA
from .limits import MAX_INSTANCES
from .segment import segment_instances
from .settings import SegmentationSettings

__all__ = ['check_mask', 'MAX_INSTANCES', 'NO_DATA', 'segment_instances', 'SegmentationSettings']
