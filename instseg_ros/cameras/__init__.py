"""Where frames and masks come from. No ROS; a driver is imported when its source is chosen."""

from .camera import Camera, CameraSettings, Capture, open_camera, VOC_CLASSES
from ..errors import CameraError, EndOfStream

__all__ = ['Camera', 'CameraError', 'CameraSettings', 'Capture', 'EndOfStream', 'VOC_CLASSES',
           'open_camera']
