"""A camera over a floor: pixels to points on the floor and back, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
import math

import numpy as np
import numpy.typing as npt

from .camera_model import CameraModel

# Rays flatter than this meet the floor 600 times the camera's height away, or never.
_FLATTEST = 1 / 600
_STEP = 0.5  # pixels to either side, for derivatives


@dataclass(frozen=True)
class Pose:
    """
    Where a frame stands in another: ``point_there = rotation @ point_here + translation``.

    Attributes
    ----------
    rotation : ndarray of shape (3, 3), float64
    translation : ndarray of shape (3,), float64
        In metres.

    """

    rotation: npt.NDArray[np.float64]
    translation: npt.NDArray[np.float64]

    @classmethod
    def identity(cls) -> Pose:
        """Return the pose of a frame in itself."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, translation: npt.ArrayLike, quaternion: npt.ArrayLike) -> Pose:
        """Return the pose of a geometry_msgs/Transform; the quaternion is x, y, z, w."""
        x, y, z, w = np.array(quaternion, np.float64) / np.linalg.norm(
            np.array(quaternion, np.float64))
        return cls(np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]),
            np.array(translation, np.float64))

    @classmethod
    def of_camera(cls, height: float, tilt: float, roll: float = 0.0) -> Pose:
        """
        Return the pose of an optical frame over the floor below it (REP 103).

        The floor's frame has x forward, y to the left, z up, and its origin below the camera.

        Parameters
        ----------
        height : float
            Of the camera over the floor, in metres.
        tilt : float
            How far the camera looks down from level, in radians.
        roll : float
            How far it is turned clockwise about its line of sight, as seen from behind it, in
            radians; pi is upside down.

        """
        c, s = math.cos(tilt), math.sin(tilt)
        forward, right, down = np.array([c, 0, -s]), np.array([0, -1.0, 0]), np.array([-s, 0, -c])
        c, s = math.cos(roll), math.sin(roll)
        return cls(np.column_stack([c * right + s * down, c * down - s * right, forward]),
                   np.array([0, 0, height]))

    def __matmul__(self, other: Pose) -> Pose:
        """Return the pose of the other's frame where this one's pose is given."""
        return Pose(self.rotation @ other.rotation, self.at(other.translation))

    def inverse(self) -> Pose:
        """Return the pose the other way round."""
        return Pose(self.rotation.T, -self.rotation.T @ self.translation)

    def at(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return points of shape (..., 3), given here, as they are there."""
        return points @ self.rotation.T + self.translation


@dataclass(frozen=True)
class Noise:
    """
    What is uncertain, as standard deviations.

    Attributes
    ----------
    pixels : float
        Of an outline, in pixels.
    tilt : float
        Of the camera's direction about each axis, in radians.
    height : float
        Of the camera over the floor, in metres.

    """

    pixels: float
    tilt: float
    height: float


class FloorView:
    """
    A camera and its pose over the floor, which is z = 0 of the frame the pose is given in.

    Parameters
    ----------
    camera : CameraModel
    pose : Pose
        Of the camera's optical frame.

    """

    def __init__(self, camera: CameraModel, pose: Pose) -> None:
        self.camera = camera
        self.pose = pose

    @property
    def height(self) -> float:
        """Height of the camera over the floor, in metres."""
        return float(self.pose.translation[2])

    @cached_property
    def forward(self) -> npt.NDArray[np.float64]:
        """Where the camera looks along the floor, a unit vector (2,): the top if straight down."""
        ahead = self.pose.rotation[:2, 2]
        if np.hypot(*ahead) < 0.02:
            ahead = -self.pose.rotation[:2, 1]
        return ahead / np.hypot(*ahead)

    def on_floor(self, directions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """
        Return where directions meet the floor.

        Parameters
        ----------
        directions : ndarray of shape (N, 3)
            From the camera, in the frame of the floor.

        Returns
        -------
        ndarray of shape (N, 2), float64
            x, y in metres; NaN for those that do not, or almost 600 camera heights away.

        """
        down = -directions[:, 2]
        with np.errstate(invalid='ignore'):
            meets = down > _FLATTEST * np.hypot(directions[:, 0], directions[:, 1])
            meets &= down > 0
        meets &= self.height > 0
        points = np.full((len(directions), 2), np.nan)
        points[meets] = self.pose.translation[:2] + directions[meets, :2] * (
            self.height / down[meets])[:, None]
        return points

    def axes(self, bearings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """
        Return the directions away from the camera, and to the left of that, at bearings.

        Parameters
        ----------
        bearings : ndarray of shape (N,)
            Radians to the left of ``forward``.

        Returns
        -------
        ndarray of shape (N, 2, 2), float64
            Unit vectors as columns.

        """
        c, s = np.cos(bearings), np.sin(bearings)
        x, y = self.forward.tolist()
        away_x, away_y = x * c - y * s, y * c + x * s
        return np.stack([away_x, -away_y, away_y, away_x], axis=-1).reshape(-1, 2, 2)

    def directions(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the rays of pixels (N, 2) in the frame of the floor, (N, 3)."""
        return self.camera.rays(pixels) @ self.pose.rotation.T

    def to_floor(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the floor points (N, 2) of pixels (N, 2); NaN at the horizon and above."""
        return self.on_floor(self.directions(pixels))

    def to_pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """
        Return where points are seen.

        Parameters
        ----------
        points : array_like of shape (N, 2) or (N, 3)
            In the frame of the floor, in metres; on the floor where there is no z.

        Returns
        -------
        ndarray of shape (N, 2), float64
            Pixels, also outside of the image; NaN for what is behind the camera.

        """
        points = np.array(points, np.float64)
        if points.shape[-1] == 2:
            points = np.column_stack([points, np.zeros(len(points))])
        return self.camera.pixels(self.pose.inverse().at(points))

    def pixel_covariance(self, pixels: npt.ArrayLike, noise: float) -> npt.NDArray[np.float64]:
        """
        Return the covariance of floor points from the noise of their pixels.

        Parameters
        ----------
        pixels : array_like of shape (N, 2)
            x, y.
        noise : float
            Standard deviation of x and y, in pixels.

        Returns
        -------
        ndarray of shape (N, 2, 2), float64
            In square metres, to first order; NaN where there is no point.

        """
        pixels = np.array(pixels, np.float64).reshape(-1, 2)
        x, y = np.array([_STEP, 0]), np.array([0, _STEP])
        around = self.to_floor(np.concatenate([pixels + x, pixels - x, pixels + y, pixels - y]))
        right, left, below, above = around.reshape(4, -1, 2)
        jacobian = np.stack([right - left, below - above], axis=2) / (2 * _STEP)
        return jacobian @ jacobian.transpose(0, 2, 1) * noise ** 2

    def pose_covariance(self, points: npt.NDArray[np.float64], noise: Noise
                        ) -> npt.NDArray[np.float64]:
        """
        Return the covariance of floor points from the noise of the camera's pose.

        Unlike that of pixels it is the same in every frame, so no filter takes it away.

        Parameters
        ----------
        points : ndarray of shape (N, 2)
            x, y in metres.
        noise : Noise
            Its ``tilt`` and ``height`` count.

        Returns
        -------
        ndarray of shape (N, 2, 2), float64

        """
        x, y = (points - self.pose.translation[:2]).T
        h = max(self.height, 1e-9)
        # A ray q = (x, y, -h) turned by a small w is q + w x q; it meets the floor at
        # (q + w x q) h / (h - (w x q)_z). Columns: turns about x, y and z, and height.
        jacobian = np.zeros((len(points), 2, 4))
        jacobian[:, 0, 0], jacobian[:, 1, 0] = x * y / h, h + y * y / h
        jacobian[:, 0, 1], jacobian[:, 1, 1] = -h - x * x / h, -x * y / h
        jacobian[:, 0, 2], jacobian[:, 1, 2] = -y, x
        jacobian[:, 0, 3], jacobian[:, 1, 3] = x / h, y / h
        variances = np.array([noise.tilt, noise.tilt, noise.tilt, noise.height]) ** 2
        return np.einsum('nij,j,nkj->nik', jacobian, variances, jacobian)
