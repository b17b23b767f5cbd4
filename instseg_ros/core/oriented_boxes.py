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
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(hulls)), sizes)
    x, y = np.concatenate(hulls)[:, 0].T.astype(np.float64)
    following = np.arange(1, len(x) + 1)
    following[starts + sizes - 1] = starts
    dx, dy = x[following] - x, y[following] - y
    angles = np.arctan2(dy, dx)
    angles[angles < 0] += _TURN
    # The edges of all hulls in the order of their directions. The point where an edge starts is
    # the farthest in every direction between its normal and that of the edge before.
    keys = angles + owner * (2 * _TURN)
    order = np.argsort(keys, kind='stable')
    x, y, dx, dy, angles, keys = (v[order] for v in (x, y, dx, dy, angles, keys))
    wanted = angles + np.array([[1], [2], [3]]) * (_TURN / 4)
    wanted[wanted >= _TURN] -= _TURN
    far = np.searchsorted(keys, (wanted + owner * (2 * _TURN)).ravel()).reshape(3, -1)
    far = np.where(far == (starts + sizes)[owner], starts[owner], far)
    # Where the other three sides are, along an edge and across it.
    dx[(dx == 0) & (dy == 0)] = 1
    length = np.hypot(dx, dy)
    dx, dy = dx / length, dy / length
    low, high = x[far[2]] * dx + y[far[2]] * dy, x[far[0]] * dx + y[far[0]] * dy
    left, right = y * dx - x * dy, y[far[1]] * dx - x[far[1]] * dy
    outer = np.abs(dx) + np.abs(dy)  # What a pixel's corners add to the way over its centre.
    size = (high - low + outer) * (right - left + outer)
    best = np.minimum.reduceat(size, starts)[owner] * (1 + _SAME_AREA)
    # At most 45 degrees from upright; of equals the least turned, then the counter-clockwise one.
    tilt = (angles + _TURN / 8 + 1e-9) % (_TURN / 4) - _TURN / 8
    turned = np.where(size <= best, np.abs(tilt) + 1e-6 * (tilt > 0), 1)
    at = np.argsort(turned + 2 * owner, kind='stable')[starts]
    return _boxes(low[at], high[at], left[at], right[at], dx[at], dy[at], outer[at], areas)


def _boxes(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64],
           left: npt.NDArray[np.float64], right: npt.NDArray[np.float64],
           cos: npt.NDArray[np.float64], sin: npt.NDArray[np.float64],
           outer: npt.NDArray[np.float64], areas: npt.NDArray[np.int64],
           ) -> npt.NDArray[np.float64]:
    """Return rectangles through the outermost centres as canonical boxes of about ``areas``."""
    width, height = high - low, right - left
    # (width + margin) * (height + margin) = area.
    half = (width + height) / 2
    margin = np.sqrt(np.maximum(half ** 2 - width * height + areas, 0)) - half
    # A mask enlarged from a coarser grid reaches over the border by up to half a pixel of that
    # grid. An area that is smaller still tells nothing: it is no rectangle.
    margin = np.where(margin < -outer / 2, np.minimum(-outer - margin, outer / 2),
                      np.minimum(margin, outer))
    x, y = (low + high) / 2, (left + right) / 2
    # The longer side; of equal ones, the one nearer to upright, in between counter-clockwise on
    # the screen, where y points down.
    swap = height > width + 1e-6
    swap |= (height > width - 1e-6) & ((np.abs(sin) > np.abs(cos) + 1e-9)
                                       | (np.abs(sin - cos) < 1e-9))
    theta = np.where(swap, np.arctan2(-cos, -sin), np.arctan2(-sin, cos))
    # Half a turn changes nothing: (-90, 90] degrees, rounding counted as 90.
    theta = np.where(theta <= 1e-12 - math.pi / 2, theta + math.pi, theta)
    theta = np.where(theta > math.pi / 2 + 1e-12, theta - math.pi, theta)
    return np.stack([x * cos - y * sin + 0.5, x * sin + y * cos + 0.5,
                     np.maximum(np.maximum(width, height) + margin, 1),
                     np.maximum(np.minimum(width, height) + margin, 1),
                     np.minimum(theta, math.pi / 2)], axis=1)


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
