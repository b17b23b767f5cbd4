"""
Segmentation: from a class mask to instances, in the order of the steps of :mod:`.segment`.

Instances that the network knows by itself take :mod:`.network_instances` instead.

``docs/method.md`` explains the method with pictures.
"""

from .class_masks import check_mask, NO_DATA
from .limits import MAX_INSTANCES
from .network_instances import network_instances
from .segment import segment_instances
from .settings import SegmentationSettings

__all__ = ['check_mask', 'MAX_INSTANCES', 'network_instances', 'NO_DATA', 'segment_instances',
           'SegmentationSettings']
