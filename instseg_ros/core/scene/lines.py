"""Lines: who has crossed one, and in which direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .zones import distance_to

FORWARD, BACKWARD = 0, 1

_Points = npt.NDArray[np.float64]


def crossings(line: _Points, before: _Points, now: _Points) -> npt.NDArray[np.int64]:
    """
    Return how often straight steps cross a line from its left to its right, less those back.

    Parameters
    ----------
    line : ndarray of shape (K, 2)
        Its points, x and y; it ends at the first and the last.
    before, now : ndarray of shape (N, 2)
        Where each step starts and ends; a step from or to NaN crosses nothing.

    Returns
    -------
    ndarray of shape (N,), int64
        1 forward, -1 backward, 0 not at all or there and back again; left and right are those of
        the screen, seen from the first point of the line to the last.

    """
    start, end = line[:-1], line[1:]
    # A point on the line belongs to its right: each step ends on one side.
    was, there = (_side(start, end, p) >= 0 for p in (before, now))
    a, b = before[:, None], now[:, None]
    # The ends of the line on both sides of the step: it does not pass by the line.
    first, last = (_cross(b - a, p - a) >= 0 for p in (start, end))
    return ((first != last) * (there.astype(np.int64) - was)).sum(axis=1)


def clearance(line: _Points, points: _Points) -> _Points:
    """Return how far points of shape (N, 2) are from a line, NaN where a point is not known."""
    return distance_to(line[:-1], line[1:], points)


def _side(start: _Points, end: _Points, points: _Points) -> _Points:
    """Return (N, segments): positive on the right of a segment, as seen on the screen."""
    return _cross(end - start, points[:, None] - start)


def _cross(a: _Points, b: _Points) -> _Points:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
