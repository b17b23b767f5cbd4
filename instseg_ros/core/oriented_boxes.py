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
# Numbers held at a time by the search over all hulls.
_BLOCK = 1 << 18


def oriented_boxes(hulls: Sequence[Hull], areas: npt.NDArray[np.int64],
                   ) -> npt.NDArray[np.float64]:
    """
    Return the smallest rectangle around each set of pixels.

    One side of the smallest rectangle lies along an edge of the convex hull (Freeman and Shapira
    1975), so every edge of every hull is tried, many hulls at a time.

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
    boxes = np.empty((len(hulls), 5))
    sizes = np.array([len(hull) for hull in hulls], np.intp)
    order = np.argsort(sizes, kind='stable')
    every = np.concatenate(hulls)[:, 0] if len(hulls) else np.empty((0, 2))
    starts = np.cumsum(sizes) - sizes
    start = 0
    while start < len(order):
        # Hulls of about the same size go together, each filled up with its last point.
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * sizes[order[stop]] ** 2 <= _BLOCK:
            stop += 1
        chosen = order[start:stop]
        which = np.minimum(np.arange(sizes[chosen[-1]]), sizes[chosen, None] - 1)
        points = every[starts[chosen, None] + which].astype(np.float64)
        boxes[chosen] = _smallest(points, areas[chosen])
        start = stop
    return boxes


def _smallest(points: npt.NDArray[np.float64], areas: npt.NDArray[np.int64],
              ) -> npt.NDArray[np.float64]:
    """Return the rectangles of M hulls of K points each, (M, K, 2)."""
    edges = points[:, np.arange(1, points.shape[1] + 1) % points.shape[1]] - points
    dx, dy = edges[..., 0], edges[..., 1]
    wide, high = np.abs(dx), np.abs(dy)
    length = np.hypot(dx, dy)
    # A point alone, or one given twice, has no direction: the box is upright.
    length[length == 0] = np.inf
    # Directions are the same every quarter turn: turn them to within 45 degrees of upright, and
    # those in between counter-clockwise on the screen, where y points down.
    cos = np.maximum(wide, high) / length
    sin = np.where(wide > high, dy * np.sign(dx),
                   np.where(wide == high, -wide, -dx * np.sign(dy))) / length
    cos[cos == 0] = 1
    along = points @ np.stack([cos, sin], axis=1)
    across = points @ np.stack([-sin, cos], axis=1)
    low, high = along.min(axis=1), along.max(axis=1)
    left, right = across.min(axis=1), across.max(axis=1)
    outer = np.abs(cos) + np.abs(sin)  # What a pixel's corners add to the way over its centre.
    size = (high - low + outer) * (right - left + outer)
    best = size.min(axis=1, keepdims=True)
    turned = np.where(size <= best * (1 + _SAME_AREA), np.round(np.abs(sin), 9), np.inf)
    # Of +a and -a, equal in area and turn, the counter-clockwise one.
    turned -= np.where(sin < 0, 1e-10, 0)
    at = (np.arange(len(points)), turned.argmin(axis=1))
    cos, sin, outer = cos[at], sin[at], outer[at]
    low, high, left, right = low[at], high[at], left[at], right[at]
    width, height = high - low, right - left
    # (width + margin) * (height + margin) = area.
    half = (width + height) / 2
    margin = np.sqrt(np.maximum(half ** 2 - width * height + areas, 0)) - half
    # A mask enlarged from a coarser grid reaches over the border by up to half a pixel of that
    # grid. An area that is smaller still tells nothing: it is no rectangle.
    margin = np.where(margin < -outer / 2, np.minimum(-outer - margin, outer / 2),
                      np.minimum(margin, outer))
    along_centre, across_centre = (low + high) / 2, (left + right) / 2
    # y points down in pixels, so counter-clockwise on the screen is the other way round.
    theta = np.arctan2(-sin, cos)
    upright = height > width
    theta = np.where(upright, np.where(theta > 0, theta - math.pi / 2, theta + math.pi / 2), theta)
    width, height = np.where(upright, height, width), np.where(upright, width, height)
    return np.stack([along_centre * cos - across_centre * sin + 0.5,
                     along_centre * sin + across_centre * cos + 0.5,
                     np.maximum(width + margin, 1), np.maximum(height + margin, 1), theta], axis=1)


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
