"""Recordings (rosbag2): reading, writing, processing and comparing them. No ROS."""

from .bag import Bag, RecordingError, Topic

__all__ = ['Bag', 'RecordingError', 'Topic']
