"""
What the messages of the pipeline are, for programs with and without ROS.

Topics, encodings of images, instances as detections, and which messages belong together.
"""

from .definitions import typestore

__all__ = ['typestore']
