"""Zones: how far a point is inside a polygon, and how much of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .view import step_of, View

_Points = npt.NDArray[np.float64]


class Depths:
    """
    How far points are inside polygons, for all of them at once.

    Parameters
    ----------
    zones : sequence of ndarray of shape (K, 2)
        The corners of each polygon; inside is what a ray leaves by an odd number of sides.

    """

    def __init__(self, zones: Sequence[_Points]) -> None:
        self._start = stacked(zones)[:, None]
        self._end = np.roll(self._start, -1, axis=2)
        rise = self._end[..., 1] - self._start[..., 1]
        self._slope = (self._end[..., 0] - self._start[..., 0]) / np.where(rise == 0, 1, rise)

    def of(self, points: _Points) -> _Points:
        """
        Return the depth of each point in its zone: (zones, N), negative outside.

        Parameters
        ----------
        points : ndarray of shape (zones, N, 2)
            In the units of the polygons; the depth is NaN where a point is NaN.

        """
        x, y = points[..., 0, None], points[..., 1, None]
        crosses = (self._start[..., 1] > y) != (self._end[..., 1] > y)
        at = self._start[..., 0] + (y - self._start[..., 1]) * self._slope
        inside = (crosses & (x < at)).sum(axis=2) % 2 == 1
        distance = distance_to(self._start, self._end, points)
        return np.where(inside, distance, -distance)


def stacked(polygons: Sequence[_Points]) -> _Points:
    """Return polygons of shape (K, 2) as one array, (polygons, largest K, 2)."""
    corners = max(len(p) for p in polygons)
    # Corners that are missing are the last one again: sides of no length change nothing.
    return np.stack([np.pad(p, ((0, corners - len(p)), (0, 0)), mode='edge') for p in polygons])


def distance_to(start: _Points, end: _Points, points: _Points) -> _Points:
    """
    Return the distance of points to the nearest of some segments.

    Parameters
    ----------
    start, end : ndarray of shape (..., 1, K, 2)
        Ends of the segments.
    points : ndarray of shape (..., N, 2)
        NaN where a point is not known, and so is its distance.

    Returns
    -------
    ndarray of shape (..., N)

    """
    # By coordinate: NumPy is slow along axes of two.
    sx, sy = start[..., 0], start[..., 1]
    wx, wy = end[..., 0] - sx, end[..., 1] - sy
    rx, ry = points[..., 0, None] - sx, points[..., 1, None] - sy
    length = wx * wx + wy * wy
    along = ((rx * wx + ry * wy) / np.where(length == 0, 1, length)).clip(0, 1)
    return np.asarray(np.sqrt(((rx - along * wx)**2 + (ry - along * wy)**2).min(axis=-1)))


class Shares:
    """
    The share of every mask in each of several polygons, for one pass over the label image.

    Parameters
    ----------
    zones : sequence of ndarray of shape (K, 2)
        The corners of each polygon, in pixels.
    shape : tuple of int
        Rows and columns of the frame.

    """

    def __init__(self, zones: Sequence[_Points], shape: tuple[int, int]) -> None:
        step = step_of(shape)
        cells = np.stack([drawn(z, shape)[::step, ::step].ravel() for z in zones], axis=1)
        # Where the same zones overlap is one area: counted once, however many zones there are.
        self._member, area = np.unique(cells, axis=0, return_inverse=True)
        self._area = area.reshape(-1).astype(np.intp)

    def of(self, view: View) -> _Points:
        """Return the shares, (zones, N)."""
        areas = len(self._member)
        table = np.bincount(view.labels * areas + self._area[view.index],
                            minlength=(view.count + 1) * areas).reshape(-1, areas)[1:]
        return np.asarray((table @ self._member).T / np.maximum(view.sizes, 1))


def drawn(corners: _Points, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a polygon in pixels as a mask of ``shape``: 1 inside and along its sides."""
    mask = np.zeros(shape, np.uint8)
    # In sixteenths of pixels, from whose middle OpenCV counts.
    cv2.fillPoly(mask, [np.rint((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask
