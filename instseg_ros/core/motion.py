"""Motion: where objects will be, from where and when they were seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# In object sizes (square root of the area) and seconds, so that one set of numbers fits a person
# near the camera, one far away, and a nucleus. Tuned on drawn scenes, checked on real ones.
SEEN_NOISE = 0.04      # sizes: how much the centre of a mask trembles
START_SPEED = 2.0      # sizes / s: a walking person covers about 1.7, a car in town 2 to 4
SPEED_CHANGE = 1.2     # sizes / s per square root of a second


class Motion:
    """
    A Kalman filter of constant velocity for many points at once, with real time steps.

    The two axes are independent and equally uncertain, so that one 2x2 covariance a point is
    enough (white-noise acceleration model: Bar-Shalom, Li, Kirubarajan, *Estimation with
    Applications to Tracking and Navigation*, 2001, section 6.2.2).

    Attributes
    ----------
    position, velocity : ndarray of shape (T, 2), float64
        x, y in pixels and pixels per second.
    covariance : ndarray of shape (T, 3), float64
        Of position, of position with velocity, of velocity; per axis.

    """

    def __init__(self) -> None:
        self.position = np.zeros((0, 2))
        self.velocity = np.zeros((0, 2))
        self.covariance = np.zeros((0, 3))

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.position)

    def predict(self, dt: float, sizes: npt.NDArray[np.float64]) -> None:
        """Move every point `dt` seconds on; `sizes` (T,) in pixels."""
        self.position += self.velocity * dt
        a, b, c = self.covariance.T
        q = (SPEED_CHANGE * sizes) ** 2
        self.covariance = np.stack([a + 2 * b * dt + c * dt**2 + q * dt**3 / 3,
                                    b + c * dt + q * dt**2 / 2, c + q * dt], axis=1)

    def correct(self, rows: npt.NDArray[np.intp], seen: npt.NDArray[np.float64],
                sizes: npt.NDArray[np.float64], doubt: npt.NDArray[np.float64]) -> None:
        """
        Take in where points were seen.

        Parameters
        ----------
        rows : ndarray of shape (M,), intp
            Which points.
        seen : ndarray of shape (M, 2), float64
            x, y in pixels.
        sizes, doubt : ndarray of shape (M,), float64
            Sizes in pixels; factor on the usual noise, 1 for a plain view.

        """
        a, b, c = self.covariance[rows].T
        noise = (SEEN_NOISE * sizes * doubt) ** 2 + 1e-6
        gain, speed_gain = a / (a + noise), b / (a + noise)
        error = seen - self.position[rows]
        self.position[rows] += gain[:, None] * error
        self.velocity[rows] += speed_gain[:, None] * error
        self.covariance[rows] = np.stack(
            [(1 - gain) * a, (1 - gain) * b, c - speed_gain * b], axis=1)

    def add(self, seen: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> None:
        """Append points at rest at `seen` (M, 2)."""
        zero = np.zeros(len(seen))
        fresh = np.stack([(SEEN_NOISE * sizes) ** 2, zero, (START_SPEED * sizes) ** 2], axis=1)
        self.position = np.concatenate([self.position, seen])
        self.velocity = np.concatenate([self.velocity, np.zeros_like(seen)])
        self.covariance = np.concatenate([self.covariance, fresh])

    def keep(self, rows: npt.NDArray) -> None:
        """Forget every point but `rows` (indices or a boolean mask)."""
        self.position = self.position[rows]
        self.velocity = self.velocity[rows]
        self.covariance = self.covariance[rows]
