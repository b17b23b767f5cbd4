"""Where frames and masks come from. No ROS; a driver is imported when its source is chosen."""

from .camera import Camera, CameraError, CameraSettings, Capture, EndOfStream, open_camera
from ..core.class_names import VOC_CLASSES

__all__ = ['Camera', 'CameraError', 'CameraSettings', 'Capture', 'EndOfStream', 'VOC_CLASSES',
           'open_camera']
