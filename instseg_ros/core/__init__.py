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

from .instances import Instances
from .memory import Segmenter
from .segmentation import segment_instances, SegmentationSettings
from .settings import Settings, SettingsError
from .tracking import Tracker, TrackingSettings

__all__ = ['Instances', 'SegmentationSettings', 'Segmenter', 'Settings', 'SettingsError',
           'Tracker', 'TrackingSettings', 'segment_instances']
