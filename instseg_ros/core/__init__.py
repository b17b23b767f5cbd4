"""
Class masks to instances to tracks: numpy and OpenCV, no ROS.

>>> import numpy as np
>>> from instseg_ros.core import SegmentationSettings, segment_instances
>>> mask = np.zeros((60, 100), np.uint8)
>>> mask[10:40, 10:30] = 15
>>> mask[20:50, 60:90] = 15
>>> instances = segment_instances(mask, SegmentationSettings())
>>> len(instances), instances.class_ids.tolist()
(2, [15, 15])
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

from .settings import Settings
from ..errors import SettingsError

if TYPE_CHECKING:
    from .instances import Instances
    from .occlusion import Segmenter
    from .segmentation import segment_instances, SegmentationSettings
    from .tracking import Tracker, TrackingSettings

__all__ = ['Instances', 'SegmentationSettings', 'Segmenter', 'Settings', 'SettingsError',
           'Tracker', 'TrackingSettings', 'segment_instances']

# SciPy's optimiser alone takes half a second to import. A capture process needs none of this, and
# so is back sooner after it died.
_WHEN_ASKED_FOR = {
    'Instances': 'instances', 'Segmenter': 'occlusion', 'SegmentationSettings': 'segmentation',
    'Tracker': 'tracking', 'TrackingSettings': 'tracking', 'segment_instances': 'segmentation'}


def __getattr__(name: str) -> Any:
    """Import what is imported only when it is asked for."""
    if name in _WHEN_ASKED_FOR:
        return getattr(import_module(f'.{_WHEN_ASKED_FOR[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
