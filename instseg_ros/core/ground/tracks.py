"""Tracks in metres: place, speed and size of what has an id, filtered over real time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_START_SPEED = 1.5     # m/s: standard deviation of the speed of what nobody saw move yet
_UNLIKELY = 9.21       # squared standard deviations: one in a hundred of true positions is farther
_HEIGHT_FLOOR = 0.03   # metres: how well a height can be known, since people bend and step
_HEIGHT_FORGETS = 0.02  # part of the knowledge of a height that is lost with each frame


class MetricTracks:
    """
    A Kalman filter of constant velocity on the floor for each track id.

    White-noise acceleration (Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to
    Tracking and Navigation*, 2001, section 6.2.2), with whole covariances: what a camera says of
    a distance is far less sure than what it says of a bearing. A position that is unlikely
    counts for less, by as much as makes it likely.

    Attributes
    ----------
    ids : ndarray of shape (T,), int64
        In rising order.
    states : ndarray of shape (T, 4), float64
        x, y in metres and their velocities in metres per second, in a frame that does not move.
    covariances : ndarray of shape (T, 4, 4), float64
    heights : ndarray of shape (T, 2), float64
        Remembered height in metres and its standard deviation; NaN, inf where it was never seen.
    seen_ns : ndarray of shape (T,), int64
        Stamp of the last frame that had the track.

    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every track."""
        self.ids = np.zeros(0, np.int64)
        self.states = np.zeros((0, 4))
        self.covariances = np.zeros((0, 4, 4))
        self.heights = np.zeros((0, 2))
        self.seen_ns = np.zeros(0, np.int64)
        self._now_ns = 0

    def rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """Return the row of each id, -1 where there is none."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.intp)
        at = np.minimum(self.ids.searchsorted(ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, at, -1)

    def predict(self, stamp_ns: int, acceleration: float, max_lost_s: float) -> None:
        """
        Move every track to the time of a frame; forget those unseen for longer.

        Parameters
        ----------
        stamp_ns : int
            Time of the frame. One before the last makes everything start anew.
        acceleration : float
            How much velocities change, in m/s per square root of a second.
        max_lost_s : float
            In seconds.

        """
        if len(self.ids) and stamp_ns < self._now_ns:
            self.reset()
        dt = (stamp_ns - self._now_ns) / 1e9
        self._now_ns = stamp_ns
        self._keep(stamp_ns - self.seen_ns <= max_lost_s * 1e9)
        if not len(self.ids):
            return
        move = np.eye(4)
        move[0, 2] = move[1, 3] = dt
        change = np.zeros((4, 4))
        change[[0, 1], [0, 1]] = dt ** 3 / 3
        change[[0, 1, 2, 3], [2, 3, 0, 1]] = dt ** 2 / 2
        change[[2, 3], [2, 3]] = dt
        self.states = self.states @ move.T
        self.covariances = move @ self.covariances @ move.T + change * acceleration ** 2

    def _keep(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> None:
        self.ids, self.seen_ns = self.ids[rows], self.seen_ns[rows]
        self.states, self.covariances = self.states[rows], self.covariances[rows]
        self.heights = self.heights[rows]

    def correct(self, ids: npt.NDArray[np.int64], positions: npt.NDArray[np.float64],
                noise: npt.NDArray[np.float64]) -> None:
        """
        Take in where tracks were seen in the frame predicted to; new ids begin here.

        Parameters
        ----------
        ids : ndarray of shape (M,), int64
            No id twice.
        positions : ndarray of shape (M, 2), float64
            x, y in metres.
        noise : ndarray of shape (M, 2, 2), float64
            Covariance of the positions.

        """
        rows = self.rows(ids)
        known, = np.nonzero(rows >= 0)
        at = rows[known]
        if len(at):
            p = self.covariances[at]
            error = positions[known] - self.states[at, :2]
            spread = p[:, :2, :2] + noise[known]
            unlikely = np.einsum('ni,ni->n', error,
                                 np.linalg.solve(spread, error[:, :, None])[..., 0]) / _UNLIKELY
            # As if the noise were so large that the position is just likely.
            spread += (np.maximum(unlikely, 1) - 1)[:, None, None] * spread
            gain = p[:, :, :2] @ np.linalg.inv(spread)
            self.states[at] += (gain @ error[:, :, None])[..., 0]
            p = p - gain @ p[:, :2]
            self.covariances[at] = (p + p.transpose(0, 2, 1)) / 2
        self.seen_ns[at] = self._now_ns
        new, = np.nonzero(rows < 0)
        if not len(new):
            return
        covariances = np.zeros((len(new), 4, 4))
        covariances[:, :2, :2] = noise[new]
        covariances[:, [2, 3], [2, 3]] = _START_SPEED ** 2
        self.ids = np.concatenate([self.ids, ids[new]])
        self.states = np.concatenate(
            [self.states, np.column_stack([positions[new], np.zeros((len(new), 2))])])
        self.covariances = np.concatenate([self.covariances, covariances])
        self.heights = np.concatenate([self.heights, np.tile([np.nan, np.inf], (len(new), 1))])
        self.seen_ns = np.concatenate([self.seen_ns, np.full(len(new), self._now_ns)])
        self._keep(np.argsort(self.ids, kind='stable'))

    def learn_heights(self, ids: npt.NDArray[np.int64], heights: npt.NDArray[np.float64],
                      noise: npt.NDArray[np.float64]) -> None:
        """Remember heights (M,) of known ids with standard deviations (M,); inf says nothing."""
        use = np.isfinite(noise) & np.isfinite(heights)
        at = self.rows(ids[use])
        old, weight = self.heights[at, 0], self.heights[at, 1] ** -2 * (1 - _HEIGHT_FORGETS)
        added = np.maximum(noise[use], 1e-3) ** -2
        total = weight + added
        mean = (np.where(weight > 0, old * weight, 0) + heights[use] * added) / total
        self.heights[at] = np.column_stack([mean, np.maximum(total ** -0.5, _HEIGHT_FLOOR)])
