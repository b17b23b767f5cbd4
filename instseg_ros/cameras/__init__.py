"""Where frames and masks come from. No ROS; a driver is imported when its source is chosen."""

from .camera import Camera, CameraSettings, Capture, open_camera
from ..core.class_names import VOC_CLASSES
from ..errors import CameraError, EndOfStream, SourceError

__all__ = ['Camera', 'CameraError', 'CameraSettings', 'Capture', 'EndOfStream', 'SourceError',
           'VOC_CLASSES', 'open_camera']
