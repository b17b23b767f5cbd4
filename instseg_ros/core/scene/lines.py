"""Lines: who has crossed one, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .zones import distance_to

FORWARD, BACKWARD = 0, 1

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
        self._start = np.concatenate([line[:-1] for line in lines])
        self._end = np.concatenate([line[1:] for line in lines])
        self._first = np.cumsum([0] + [len(line) - 1 for line in lines[:-1]])

    def crossings(self, before: _Points, now: _Points) -> npt.NDArray[np.int64]:
        """
        Return how often straight steps cross each line from left to right, less those back.

        Parameters
        ----------
        before, now : ndarray of shape (N, 2)
            Where each step starts and ends; a step from or to NaN crosses nothing.

        Returns
        -------
        ndarray of shape (lines, N), int64
            1 forward, -1 backward, 0 not at all or there and back again; left and right are
            those of the screen, seen from the first point of the line to the last.

        """
        # A point on the line belongs to its right: each step ends on one side.
        way = self._end - self._start
        was, there = (_cross(way, p[:, None] - self._start) >= 0 for p in (before, now))
        # The ends of the line on both sides of the step: it does not pass by the line.
        step, a = (now - before)[:, None], before[:, None]
        first, last = (_cross(step, p - a) >= 0 for p in (self._start, self._end))
        found = (first != last) * (there.astype(np.int64) - was)
        return np.asarray(np.add.reduceat(found, self._first, axis=1).T)


def clearance(line: _Points, points: _Points) -> _Points:
    """Return how far points of shape (N, 2) are from a line, NaN where a point is not known."""
    return distance_to(line[:-1], line[1:], points)


def _cross(a: _Points, b: _Points) -> _Points:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
