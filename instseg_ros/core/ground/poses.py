"""Where the camera is over the floor: from parameters, or from transforms."""

from __future__ import annotations

from collections.abc import Callable

from .floor import Pose
from .ground_tracker import GroundSettings
from ...errors import TransformError

Lookup = Callable[[str, str, int], Pose]  # target, source, stamp in ns; TransformError


def camera_pose(settings: GroundSettings, lookup: Lookup, frame_id: str, stamp_ns: int) -> Pose:
    """
    Return the pose of a camera's optical frame in the ground frame.

    Raises
    ------
    TransformError
        It is not known; says what to do.

    """
    if settings.camera_height:
        return settings.camera_pose()
    try:
        return lookup(settings.ground_frame, frame_id, stamp_ns)
    except TransformError as error:
        raise TransformError(
            f'expected a transform from {frame_id} to {settings.ground_frame}: {error}; publish '
            'it (robot_state_publisher, static_transform_publisher), or set camera_height and '
            'camera_tilt') from None


def motion(settings: GroundSettings, lookup: Lookup, stamp_ns: int) -> Pose:
    """
    Return the pose of the ground frame in the fixed frame.

    Raises
    ------
    TransformError
        It is not known; says what follows.

    """
    try:
        return lookup(settings.fixed_frame, settings.ground_frame, stamp_ns)
    except TransformError as error:
        raise TransformError(
            f'expected a transform from {settings.ground_frame} to {settings.fixed_frame}: '
            f'{error}; velocities are relative to the robot') from None
