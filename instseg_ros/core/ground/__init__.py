"""From pixels to metres: where instances stand on the floor, and how they move there."""

from .camera_model import CameraModel
from .contact import ContactEdges, ContactFinder
from .floor import FloorView, Noise, Pose
from .free_space import free_space
from .ground_tracker import GroundObjects, GroundSettings, GroundTracker
from .poses import camera_pose, motion
from .target import Target
from .transforms import TransformTree

__all__ = ['CameraModel', 'ContactEdges', 'ContactFinder', 'FloorView', 'GroundObjects',
           'GroundSettings', 'GroundTracker', 'Noise', 'Pose', 'Target', 'TransformTree',
           'camera_pose', 'free_space', 'motion']
