"""Recordings (rosbag2): reading, writing, processing and comparing them. No ROS."""

from .bag import Bag, Topic
from ..errors import RecordingError

__all__ = ['Bag', 'RecordingError', 'Topic']
