"""Zones: how far a point is inside a polygon, and how much of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .view import step_of, View

_Points = npt.NDArray[np.float64]


class Zone:
    """
    A polygon in the image.

    Parameters
    ----------
    corners : ndarray of shape (K, 2)
        x and y in pixels; pixel (x, y) covers [x, x + 1) x [y, y + 1).
    shape : tuple of int
        Rows and columns of the frame.

    Attributes
    ----------
    inside : ndarray of shape (H, W), uint8
        1 where the middle of a pixel is inside.

    """

    def __init__(self, corners: _Points, shape: tuple[int, int]) -> None:
        # Sixteenths of pixels, from whose middle OpenCV counts.
        fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
        self.inside = np.zeros(shape, np.uint8)
        cv2.fillPoly(self.inside, [fixed], 1, shift=4)
        # Drawn once: a look-up for each track is all that a frame costs. The distance is to the
        # nearest pixel of the other side; the edge lies half a pixel before it.
        within, beyond = (cv2.distanceTransform(np.pad(side, 1, mode='edge'), cv2.DIST_L2, 5)
                          for side in (self.inside, 1 - self.inside))
        largest = float(sum(shape))  # a zone of the whole frame has no edge
        self._depth = np.where(self.inside, np.minimum(within[1:-1, 1:-1], largest) - 0.5,
                               0.5 - np.minimum(beyond[1:-1, 1:-1], largest))

    def depth(self, points: _Points) -> _Points:
        """Return how many pixels points of shape (N, 2) are inside, negative outside."""
        height, width = self.inside.shape
        columns = points[:, 0].astype(np.intp).clip(0, width - 1)
        rows = points[:, 1].astype(np.intp).clip(0, height - 1)
        return self._depth[rows, columns].astype(np.float64)


class Shares:
    """
    The share of every mask in each of several zones, for one pass over the label image.

    Parameters
    ----------
    zones : sequence of Zone
        At least one.
    shape : tuple of int
        Rows and columns of the frame.

    """

    def __init__(self, zones: Sequence[Zone], shape: tuple[int, int]) -> None:
        step = step_of(shape)
        cells = np.stack([z.inside[::step, ::step].ravel() for z in zones], axis=1)
        # Where the same zones overlap is one area: counted once, however many zones there are.
        self._member, area = np.unique(cells, axis=0, return_inverse=True)
        self._area = area.reshape(-1).astype(np.intp)

    def of(self, view: View) -> _Points:
        """Return the shares, (N, zones)."""
        areas = len(self._member)
        table = np.bincount(view.labels * areas + self._area[view.index],
                            minlength=(view.count + 1) * areas).reshape(-1, areas)[1:]
        return (table @ self._member) / np.maximum(view.sizes, 1)[:, None]


def floor_depth(corners: _Points, points: _Points) -> _Points:
    """
    Return how far points are inside a polygon, negative outside, in its units.

    Parameters
    ----------
    corners : ndarray of shape (K, 2)
        The polygon.
    points : ndarray of shape (N, 2)
        NaN where a point is not known, and so is its depth.

    """
    start, end = corners, np.roll(corners, -1, axis=0)
    x, y = points[:, 0, None], points[:, 1, None]
    # Even-odd rule: a ray to the right crosses the outline an odd number of times.
    crosses = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(end[:, 1] == start[:, 1], 1, end[:, 1] - start[:, 1])
    at = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / rise
    inside = (crosses & (x < at)).sum(axis=1) % 2 == 1
    distance = distance_to(start, end, points)
    return np.where(inside, distance, -distance)


def distance_to(start: _Points, end: _Points, points: _Points) -> _Points:
    """Return the distance of points (N, 2) to the nearest of the segments from start to end."""
    way = end - start
    relative = points[:, None] - start
    along = (relative * way).sum(axis=2) / (way * way).sum(axis=1)
    away = relative - along.clip(0, 1)[..., None] * way
    return np.asarray(np.sqrt((away * away).sum(axis=2)).min(axis=1))
