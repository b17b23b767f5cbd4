"""Lines: who has crossed one, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .zones import distance_to, stacked

_Points = npt.NDArray[np.float64]


class Lines:
    """
    Several lines, for one pass over all of them.

    Parameters
    ----------
    lines : sequence of ndarray of shape (K, 2)
        The points of each, x and y; it ends at the first and the last.

    """

    def __init__(self, lines: Sequence[_Points]) -> None:
        points = stacked(lines)[:, None]
        self._start, self._end = points[:, :, :-1], points[:, :, 1:]

    def crossings(self, before: _Points, now: _Points) -> npt.NDArray[np.int64]:
        """
        Return how often straight steps cross each line from left to right, less those back.

        Parameters
        ----------
        before, now : ndarray of shape (lines, N, 2)
            Where each step starts and ends; a step from or to NaN crosses nothing.

        Returns
        -------
        ndarray of shape (lines, N), int64
            1 forward, -1 backward, 0 not at all or there and back again; left and right are
            those of the screen, seen from the first point of the line to the last.

        """
        # A point on the line belongs to its right: each step ends on one side.
        way, a, b = self._end - self._start, before[:, :, None], now[:, :, None]
        was, there = (_cross(way, p - self._start) >= 0 for p in (a, b))
        # The ends of the line on both sides of the step: it does not pass by the line.
        first, last = (_cross(b - a, p - a) >= 0 for p in (self._start, self._end))
        return np.asarray(((first != last) * (there.astype(np.int64) - was)).sum(axis=2))

    def clearance(self, points: _Points) -> _Points:
        """Return how far points of shape (lines, N, 2) are from each line; NaN where one is."""
        return distance_to(self._start, self._end, points)


def _cross(a: _Points, b: _Points) -> _Points:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
