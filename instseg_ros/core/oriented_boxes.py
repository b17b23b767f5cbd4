"""
Oriented boxes: the smallest rotated rectangle around the pixels of an instance.

OpenCV's ``minAreaRect`` changed between 4 and 5 (range of the angle, order of the sides), and
its choice between equal rectangles is not defined, so the rectangles are found here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .components import Hull

# Rectangles whose areas differ by less than this part are equal: the least turned one is taken.
_SAME_AREA = 1e-6


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
    points = np.concatenate(hulls)[:, 0].astype(np.float64)
    following = np.arange(1, len(points) + 1)
    following[starts + sizes - 1] = starts
    edges = points[following] - points
    # The edges of a hull in the order of their directions, one full turn; the point where an edge
    # starts is the farthest in all directions between this edge's normal and the one before.
    turn = 2 * math.pi
    angles = np.arctan2(edges[:, 1], edges[:, 0]) % turn
    order = np.lexsort((angles, owner))
    points, edges, angles = points[order], edges[order], angles[order]
    cos, sin = _within_45_degrees(edges)
    rank = owner * (2 * turn)
    ends = starts + sizes
    sides = []
    for quarters in (1, 2, 3):
        wanted = (angles + quarters * math.pi / 2) % turn + rank
        farthest = np.searchsorted(angles + rank, wanted)
        sides.append(points[np.where(farthest == ends[owner], starts[owner], farthest)])
    # The edge itself is the fourth side. Measured along cos, sin and across:
    corners = np.stack([points, *sides])
    along = corners[..., 0] * cos + corners[..., 1] * sin
    across = corners[..., 1] * cos - corners[..., 0] * sin
    low, high, left, right = along.min(0), along.max(0), across.min(0), across.max(0)
    outer = cos + np.abs(sin)  # What a pixel's corners add to the way over its centre.
    size = (high - low + outer) * (right - left + outer)
    best = np.minimum.reduceat(size, starts)[owner] * (1 + _SAME_AREA)
    # Of +a and -a, equal in area and turn, the counter-clockwise one.
    turned = np.where(size <= best, np.round(np.abs(sin), 9) - 1e-10 * (sin < 0), np.inf)
    at = np.lexsort((turned, owner))[starts]
    return _boxes(low[at], high[at], left[at], right[at], cos[at], sin[at], outer[at], areas)


def _within_45_degrees(edges: npt.NDArray[np.float64],
                       ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """
    Return cosine and sine of directions, turned by quarters to at most 45 degrees.

    In between, the counter-clockwise one on the screen, where y points down. No direction, the
    edge of a single pixel, is upright.
    """
    dx, dy = edges.T
    wide, high = np.abs(dx), np.abs(dy)
    length = np.hypot(dx, dy)
    length[length == 0] = np.inf
    cos = np.maximum(wide, high) / length
    sin = np.where(wide > high, dy * np.sign(dx),
                   np.where(wide == high, -wide, -dx * np.sign(dy))) / length
    cos[cos == 0] = 1
    return cos, sin


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
    # y points down in pixels, so counter-clockwise on the screen is the other way round.
    theta = np.arctan2(-sin, cos)
    upright = height > width
    theta = np.where(upright, theta - np.copysign(math.pi / 2, theta - 1e-300), theta)
    return np.stack([x * cos - y * sin + 0.5, x * sin + y * cos + 0.5,
                     np.maximum(np.maximum(width, height) + margin, 1),
                     np.maximum(np.minimum(width, height) + margin, 1), theta], axis=1)


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
