"""The calibrated camera: pixels to rays of sight and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
import math

import cv2
import numpy as np
import numpy.typing as npt

from ...errors import CalibrationError

# Distortion models of sensor_msgs/CameraInfo, with the numbers of coefficients they may have.
DISTORTION_MODELS = {'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14),
                     'equidistant': (0, 4)}
# A pixel whose ray comes back farther away than this is outside of what was calibrated: there the
# polynomials turn round.
_LARGEST_RETURN = 0.5
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-9)
# OpenCV 5 has both in one function; the few iterations that 4 makes by default are not enough.
_undistort = getattr(cv2, 'undistortPointsIter', cv2.undistortPoints)


class CameraModel:
    """
    A camera with a lens: the model of sensor_msgs/CameraInfo, which is OpenCV's.

    Pixels are x, y with the centre of the first pixel at (0, 0), as OpenCV counts them. Rays are
    unit vectors in the optical frame of REP 103: z forward, x right, y down.

    Parameters
    ----------
    width, height : int
        Size of the image that ``matrix`` speaks of, in pixels.
    matrix : array_like of 9 floats or of shape (3, 3)
        K: focal lengths and principal point, in pixels.
    distortion : sequence of float
        D, in OpenCV's order.
    model : str
        One of :data:`DISTORTION_MODELS`; '' is ``plumb_bob``.

    Raises
    ------
    CalibrationError
        There is no focal length, the model is unknown, or it has another number of coefficients.

    """

    def __init__(self, width: int, height: int, matrix: npt.ArrayLike,
                 distortion: Sequence[float] = (), model: str = 'plumb_bob') -> None:
        model = model or 'plumb_bob'
        self.width, self.height = int(width), int(height)
        self.matrix = np.array(matrix, np.float64).reshape(3, 3)
        self.distortion = np.array(distortion, np.float64).ravel()
        self.model = model
        if model not in DISTORTION_MODELS:
            raise CalibrationError(f'distortion_model: expected one of '
                                   f'{", ".join(DISTORTION_MODELS)}, got {model!r}')
        if len(self.distortion) not in DISTORTION_MODELS[model]:
            counts = ' or '.join(map(str, DISTORTION_MODELS[model][1:]))
            raise CalibrationError(f'd: expected {counts} coefficients of {model}, '
                                   f'got {len(self.distortion)}')
        if not (self.matrix[0, 0] > 0 and self.matrix[1, 1] > 0
                and np.isfinite(self.matrix).all() and np.isfinite(self.distortion).all()):
            raise CalibrationError('k: expected focal lengths above 0, got '
                                   f'{self.matrix[0, 0]:g} and {self.matrix[1, 1]:g}')
        if self.width < 1 or self.height < 1:
            raise CalibrationError(f'expected a width and a height, got {width} and {height}')

    @classmethod
    def from_field_of_view(cls, width: int, height: int, degrees: float) -> CameraModel:
        """Return a pinhole camera of a horizontal field of view: an approximation."""
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        return cls(width, height, [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1])

    def resized(self, width: int, height: int) -> CameraModel:
        """
        Return the model of the same picture at another size.

        Raises
        ------
        CalibrationError
            The picture has other proportions, so it shows something else.

        """
        if (width, height) == (self.width, self.height):
            return self
        x, y = width / self.width, height / self.height
        if abs(x / y - 1) > 0.02:
            raise CalibrationError(
                f'expected a picture of the proportions of {self.width}x{self.height}, for which '
                f'the camera is calibrated, got {width}x{height}; calibrate at that size')
        # Centres of pixels are whole numbers, so the picture begins at -0.5.
        scale = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])
        return CameraModel(width, height, scale @ self.matrix, self.distortion.tolist(),
                           self.model)

    def rays(self, pixels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """
        Return the direction in which each pixel looks.

        Parameters
        ----------
        pixels : array_like of shape (N, 2)
            x, y; fractions and pixels outside of the image are allowed.

        Returns
        -------
        ndarray of shape (N, 3), float64
            Unit vectors; NaN where the calibration says nothing.

        """
        pixels = np.array(pixels, np.float64).reshape(-1, 2)
        if not len(pixels):
            return np.zeros((0, 3))
        points = pixels.reshape(-1, 1, 2)
        if self.model == 'equidistant':
            rays = self._fisheye_rays(pixels)
        else:
            if self.distortion.any():
                flat = _undistort(points, self.matrix, self.distortion, R=None, P=None,
                                  criteria=_CRITERIA)[:, 0]
            else:
                inverse = np.linalg.inv(self.matrix)
                flat = pixels @ inverse[:2, :2].T + inverse[:2, 2]
            rays = np.column_stack([flat, np.ones(len(flat))])
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        if self.distortion.any():
            back = self.pixels(rays)
            off = ~(np.abs(back - pixels).max(axis=1) < _LARGEST_RETURN)
            rays[off] = np.nan
        return rays

    def _fisheye_rays(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Invert theta (1 + k1 theta^2 + ...) by Newton; cv2.fisheye ends at 90 degrees."""
        inverse = np.linalg.inv(self.matrix)
        flat = pixels @ inverse[:2, :2].T + inverse[:2, 2]
        distance = np.hypot(flat[:, 0], flat[:, 1])
        k = self.distortion if len(self.distortion) else np.zeros(4)
        theta = np.minimum(distance, math.pi)
        for _ in range(20):
            square = theta ** 2
            value = theta * (1 + square * (k[0] + square * (k[1] + square * (
                k[2] + square * k[3]))))
            slope = 1 + square * (3 * k[0] + square * (5 * k[1] + square * (
                7 * k[2] + square * 9 * k[3])))
            theta = np.clip(theta - (value - distance) / np.maximum(slope, 0.05), 0, math.pi)
        scale = np.sin(theta) / np.maximum(distance, 1e-12)
        return np.column_stack([flat * scale[:, None], np.cos(theta)])

    def pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """
        Return where points are seen.

        Parameters
        ----------
        points : array_like of shape (N, 3)
            In the optical frame, in any unit.

        Returns
        -------
        ndarray of shape (N, 2), float64
            x, y; NaN for what is behind the camera.

        """
        points = np.array(points, np.float64).reshape(-1, 3)
        if not len(points):
            return np.zeros((0, 2))
        if self.model == 'equidistant':
            across = np.hypot(points[:, 0], points[:, 1])
            theta = np.arctan2(across, points[:, 2])
            square = theta ** 2
            k = self.distortion if len(self.distortion) else np.zeros(4)
            bent = theta * (1 + square * (k[0] + square * (k[1] + square * (
                k[2] + square * k[3]))))
            flat = points[:, :2] * (bent / np.maximum(across, 1e-12))[:, None]
            return flat @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        with np.errstate(invalid='ignore'):
            behind = ~(points[:, 2] > 1e-9)
        points[behind] = 0, 0, 1
        seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), self.matrix,
                                    self.distortion if len(self.distortion) else None)
        pixels = seen.reshape(-1, 2)
        pixels[behind] = np.nan
        return pixels

    @cached_property
    def ray_table(self) -> npt.NDArray[np.float32]:
        """Rays of all pixels, ndarray of shape (height * width, 3): looked up at every frame."""
        y, x = np.mgrid[:self.height, :self.width]
        return self.rays(np.column_stack([x.ravel(), y.ravel()])).astype(np.float32)
