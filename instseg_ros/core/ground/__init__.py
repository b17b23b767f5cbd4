"""From pixels to metres: where instances stand on the floor, and how they move there."""

from .camera_model import CalibrationError, CameraModel
from .contact import ContactEdges, ContactFinder
from .floor import FloorView, Noise, Pose
from .ground_tracker import GroundObjects, GroundSettings, GroundTracker

__all__ = ['CalibrationError', 'CameraModel', 'ContactEdges', 'ContactFinder', 'FloorView',
           'GroundObjects', 'GroundSettings', 'GroundTracker', 'Noise', 'Pose']
