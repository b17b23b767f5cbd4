"""
Oriented boxes: the smallest rotated rectangle around the pixels of an instance.

OpenCV's ``minAreaRect`` changed between 4 and 5 (range of the angle, order of the sides), and
its choice between equal rectangles is not defined, so the rectangles are found here.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
import numpy as np
import numpy.typing as npt

from .components import Hull

# Rectangles whose areas differ by less than this part are equal: the least turned one is taken.
_SAME_AREA = 1e-6
_TURN = 2 * math.pi
_QUARTER = math.pi / 2
_QUARTERS = np.array([[1], [2], [3]]) * _QUARTER


def oriented_boxes(hulls: Sequence[Hull], areas: npt.NDArray[np.int64],
                   ) -> npt.NDArray[np.float64]:
    """
    Return the smallest rectangle around each set of pixels.

    One side of the smallest rectangle lies along an edge of the convex hull (Freeman and Shapira
    1975), so every edge is tried, of all hulls together; the points farthest from it are found
    by their directions (rotating calipers).

    The border of the object lies about where the outermost pixels are, within a pixel: where
    exactly is chosen so that the rectangle has the area of the pixels, if that range allows. So
    a rectangle keeps its size at every angle, also when its mask was enlarged from a coarser
    grid.

    Parameters
    ----------
    hulls : sequence of ndarray of shape (K, 1, 2), int32
        Convex hulls through the centres of the pixels, x and y, as ``cv2.convexHull`` gives them.
    areas : ndarray of shape (N,), int64
        Pixels of each set.

    Returns
    -------
    ndarray of shape (N, 5), float64
        In the canonical form of :class:`~.instances.Instances`; sides of at least one pixel.

    """
    if not len(hulls):
        return np.empty((0, 5))
    sizes = np.array([len(hull) for hull in hulls])
    last = sizes.cumsum() - 1
    starts = last - sizes + 1
    # x + iy.
    points = np.concatenate(hulls).astype(np.float64).view(np.complex128).ravel()
    edges = np.empty_like(points)
    edges[:-1] = points[1:]
    edges[last] = points[starts]
    edges -= points
    edges[edges == 0] = 1  # A single pixel lies flat.
    # The edges of all hulls in the order of their directions. The point where an edge starts is
    # the farthest in every direction between its normal and that of the edge before.
    angles = np.arctan2(edges.imag, edges.real)
    owner = np.arange(len(hulls)).repeat(sizes)
    base = owner * (2 * _TURN)
    keys = base + angles
    order = keys.argsort(kind='stable')
    points, along, angles, keys = points[order], edges[order], angles[order], keys[order]
    wanted = keys + _QUARTERS
    wanted -= (wanted > keys[last][owner]) * _TURN
    far = keys.searchsorted(wanted)
    # The corner where an edge and its left neighbour meet, and the way from there to the one
    # across, seen along the edge.
    np.conjugate(along, out=along)
    along /= np.abs(along)
    others = points[far]
    others *= along
    corners, sides = points * along, others[0] - others[2]
    corners.real = others[2].real
    np.subtract(others[1].imag, corners.imag, out=sides.imag)
    outer = np.abs(along.real) + np.abs(along.imag)  # Corners reach over the centre of a pixel.
    size = (sides.real + outer) * (sides.imag + outer)
    best = np.minimum.reduceat(size, starts)
    best *= 1 + _SAME_AREA
    # At most 45 degrees from upright; of equals the least turned, then the counter-clockwise one.
    equal, = (size <= best[owner]).nonzero()
    tilts = angles[equal]
    quarters = np.floor(tilts / _QUARTER + (0.5 + 1e-9))
    tilts -= quarters * _QUARTER
    turned = np.abs(tilts)
    turned += 1e-6 * (tilts > 0)
    turned += base[equal]
    first = turned.argsort(kind='stable')[owner[equal].searchsorted(np.arange(len(hulls)))]
    at, odd, tilt = equal[first], quarters[first] % 2, tilts[first]
    outer, sides = outer[at], sides[at]
    centre = (corners[at] + sides / 2) / along[at] + (0.5 + 0.5j)
    width, height = sides.real, sides.imag
    wider = width - height
    # (width + margin) * (height + margin) = area.
    margin = np.sqrt(wider ** 2 / 4 + areas) - (width + height) / 2
    # A mask enlarged from a coarser grid reaches over the border by up to half a pixel of that
    # grid. An area that is smaller still tells nothing: it is no rectangle.
    margin += outer / 2
    margin = np.minimum(np.abs(margin), np.maximum(margin, outer)) - outer / 2
    # Along the longer side, of equal ones the one nearer to level, y pointing up; half a turn
    # changes nothing: (-90, 90] degrees, rounding counted as 90.
    taller = np.where(odd, wider, -wider) > 1e-6
    theta = taller * np.where(tilt > -1e-12, _QUARTER, -_QUARTER) - tilt
    boxes = np.array([centre.real, centre.imag, np.maximum(width, height) + margin,
                      np.minimum(width, height) + margin, np.minimum(theta, _QUARTER)])
    np.maximum(boxes[2:4], 1, out=boxes[2:4])
    return boxes.T


def oriented_box(region: npt.NDArray[np.uint8]) -> tuple[float, float, float, float, float]:
    """
    Return the smallest rectangle around the non-zero pixels.

    Parameters
    ----------
    region : ndarray of shape (H, W), uint8
        At least one pixel is non-zero.

    Returns
    -------
    cx, cy, w, h, theta : float
        In pixels and radians, in the canonical form of :class:`~.instances.Instances`.

    """
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours))
    area = np.array([np.count_nonzero(region)], np.int64)
    cx, cy, w, h, theta = oriented_boxes([hull], area)[0].tolist()
    return cx, cy, w, h, theta
