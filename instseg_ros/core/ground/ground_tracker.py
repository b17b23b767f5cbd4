"""Tracks on the floor: from instances with track ids to places, speeds and sizes in metres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .camera_model import CameraModel
from .contact import ContactEdges, ContactFinder
from .floor import FloorView, Noise, Pose
from .objects import footprint, measure, Measured
from .tracks import MetricTracks
from ..settings import setting, Settings

if TYPE_CHECKING:
    from ..instances import Instances


@dataclass(frozen=True)
class GroundSettings(Settings):
    """Settings of the ground stage; the fields say what each means."""

    camera_height: float = setting(
        0.0, "Height of the camera over the floor; 0: the camera's pose comes from TF",
        unit='m', low=0, high=100)
    camera_tilt: float = setting(
        0.0, 'How far it looks down from level; counts with camera_height', unit='degrees',
        low=-90, high=90)
    camera_roll: float = setting(
        0.0, 'How far it is turned clockwise, seen from behind it; 180 is upside down; counts '
        'with camera_height', unit='degrees', low=-180, high=180)
    horizontal_fov: float = setting(
        0.0, 'Horizontal field of view of a camera without calibration, an approximation (66: '
        'the Raspberry Pi AI Camera); 0: the camera must be calibrated', unit='degrees',
        low=0, high=170)
    ground_frame: str = setting(
        'base_footprint', 'TF frame whose z = 0 is the floor; results are given in it')
    fixed_frame: str = setting(
        'odom', 'TF frame that does not move with the robot: velocities are relative to it')
    tf_timeout: float = setting(
        0.2, 'How long a frame waits for its transforms', unit='s', low=0, high=10)
    max_distance: float = setting(
        15.0, 'What is farther away is left out', unit='m', low=0.1, high=1000)
    flat_classes: str = setting(
        '', "Names of classes that lie flat on the floor, separated by commas; '*': all")
    outline_noise: float = setting(
        1.5, 'Standard deviation of the outlines of masks', unit='px', low=0.1, high=100)
    tilt_noise: float = setting(
        0.5, "Standard deviation of the camera's direction", unit='degrees', low=0, high=45)
    height_noise: float = setting(
        0.01, "Standard deviation of the camera's height", unit='m', low=0, high=10)
    acceleration: float = setting(
        0.8, 'How fast velocities change: standard deviation of the change in one second',
        unit='m/s', low=0.01, high=100)
    max_lost_s: float = setting(
        2.0, 'How long the speed and height of an unseen track are remembered; a target that is '
        'unseen for longer is lost', unit='s', low=0, high=60)
    target: str = setting(
        '', 'What to follow on ground/target: a track id, or the name of a class for the nearest '
        'of it; empty: nothing')

    @property
    def noise(self) -> Noise:
        """Return what is uncertain."""
        return Noise(self.outline_noise, math.radians(self.tilt_noise), self.height_noise)

    def camera_pose(self) -> Pose:
        """Return the camera's pose over the floor as it is declared here."""
        return Pose.of_camera(self.camera_height, math.radians(self.camera_tilt),
                              math.radians(self.camera_roll))

    def lies_flat(self, name: str) -> bool:
        """Return whether objects of a class lie flat on the floor."""
        names = {n.strip().lower() for n in self.flat_classes.split(',')}
        return '*' in names or bool(name) and name.lower() in names


@dataclass(frozen=True)
class GroundObjects:
    """
    The N instances of a frame on the floor; NaN for those that are nowhere on it.

    Attributes
    ----------
    instances : Instances
    ids : ndarray of shape (N,), int64
        Track ids, 0 while unconfirmed.
    measured : Measured
        What this frame alone says.
    edges : ContactEdges
        Contact edges.
    view : FloorView
        The camera over the floor.
    max_distance : float
        What is farther away has no place here, in metres.
    positions, velocities : ndarray of shape (N, 2), float64
        In metres and metres per second, along the axes of the ground frame; a velocity is that
        over the fixed frame. NaN velocities for what has no id.
    covariances : ndarray of shape (N, 4, 4), float64
        Of x, y and their velocities.

    """

    instances: Instances
    ids: npt.NDArray[np.int64]
    measured: Measured
    edges: ContactEdges
    view: FloorView
    max_distance: float
    positions: npt.NDArray[np.float64]
    velocities: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]

    @cached_property
    def placed(self) -> npt.NDArray[np.intp]:
        """Rows of the objects that have a place on the floor."""
        return np.flatnonzero(np.isfinite(self.positions[:, 0]))

    def contact(self, k: int) -> npt.NDArray[np.float64]:
        """Return the points (K, 2) where object ``k`` is seen to touch the floor."""
        rows = slice(*np.searchsorted(self.edges.owners, [k, k + 1]))
        points, ranges = self.edges.points[rows], self.edges.ranges[rows]
        return points[ranges <= ranges.min(initial=np.inf) + self.measured.widths[k]]

    def footprint(self, k: int) -> npt.NDArray[np.float64]:
        """Return the polygon (P, 2) that object ``k`` covers on the floor, counter-clockwise."""
        measured, flat = self.measured, bool(self.measured.flat[k])
        hides = measured.cut[k] or measured.hidden[k] or flat
        # Filtered and measured position differ; the contact edge goes with the object.
        shift = self.positions[k] - measured.positions[k]
        contact = np.zeros((0, 2)) if hides else self.contact(k) + shift
        return footprint(self.positions[k], measured.boxes[k], flat, contact)


class GroundTracker:
    """
    Places instances on the floor and follows them there.

    Attributes
    ----------
    settings : GroundSettings
        Read at every frame.

    """

    def __init__(self, settings: GroundSettings) -> None:
        self.settings = settings
        self._finder = ContactFinder()
        self._tracks = MetricTracks()
        self._frames: tuple[str, str | None] | None = None

    def update(self, instances: Instances, ids: npt.NDArray[np.int64], stamp_ns: int,
               camera: CameraModel, pose: Pose, moved: Pose | None = None,
               names: Mapping[int, str] | None = None) -> GroundObjects:
        """
        Return where the instances of a frame stand, and how they move.

        Parameters
        ----------
        instances : Instances
            Of an image of the camera's size.
        ids : ndarray of shape (N,), int64
            Their track ids, 0 while unconfirmed.
        stamp_ns : int
            Time of the frame.
        camera : CameraModel
            For this image, or one of the same picture at another size.
        pose : Pose
            Of the camera's optical frame over the floor: z = 0 of the ground frame.
        moved : Pose, optional
            Of the ground frame in the fixed frame; None where that is not known, and velocities
            are relative to the robot. When this changes, tracks start anew.
        names : mapping of int to str, optional
            Names of the classes.

        Raises
        ------
        CalibrationError
            The image has other proportions than those the camera is calibrated for.

        """
        settings, tracks, names = self.settings, self._tracks, names or {}
        height, width = instances.labels.shape
        view = FloorView(camera.resized(width, height), pose)
        # Only the part of the ground frame's motion along the floor of the fixed one counts.
        frames = settings.ground_frame, settings.fixed_frame if moved else None
        if frames != self._frames:
            tracks.reset()
            self._frames = frames
        moved = moved or Pose.identity()
        turn, shift = moved.rotation[:2, :2], moved.translation[:2]
        back = np.linalg.inv(turn)
        flat = np.array([settings.lies_flat(names.get(c, '')) for c in
                         instances.class_ids.tolist()], bool)
        tracks.predict(stamp_ns, settings.acceleration, settings.max_lost_s)
        rows = np.where(ids > 0, tracks.rows(ids), -1)
        known = np.full((len(ids), 2), np.nan)
        known[rows >= 0] = tracks.heights[rows[rows >= 0]]
        edges = self._finder.find(instances, view)
        measured = measure(instances, edges, view, settings.noise, flat, known)
        with np.errstate(invalid='ignore'):
            there = np.hypot(*(measured.positions - pose.translation[:2]).T) <= (
                settings.max_distance)
        there &= np.isfinite(measured.noise[:, 0, 0])
        followed, = np.nonzero(there & (ids > 0))
        guessed = (measured.cut | measured.hidden)[:, None, None]
        tracks.correct(ids[followed], measured.positions[followed] @ turn.T + shift,
                       turn @ measured.noise[followed] @ turn.T)
        tracks.learn_heights(ids[followed], measured.heights[followed],
                             measured.height_noise[followed])
        positions = np.where(there[:, None], measured.positions, np.nan)
        velocities = np.full((len(ids), 2), np.nan)
        covariances = np.full((len(ids), 4, 4), np.nan)
        covariances[:, :2, :2] = np.where(there[:, None, None], measured.noise, np.nan)
        if len(followed):
            at = tracks.rows(ids[followed])
            positions[followed] = (tracks.states[at, :2] - shift) @ back.T
            velocities[followed] = tracks.states[at, 2:] @ back.T
            both = np.kron(np.eye(2), back)
            covariances[followed] = both @ tracks.covariances[at] @ both.T
        stays = view.pose_covariance(positions, settings.noise) + measured.bias
        covariances[:, :2, :2] += np.where(guessed, measured.noise, 0) + stays
        return GroundObjects(instances, ids, measured, edges, view, settings.max_distance,
                             positions, velocities, covariances)
