"""Oriented boxes: the smallest rotated rectangle around the pixels of an instance."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt


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
    points = np.concatenate(contours)[:, 0, :].astype(np.float32)
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    # Angles are taken from the corners: OpenCV 4 and 5 disagree on minAreaRect's own.
    (ax, ay), (bx, by), (dx, dy) = corners[0], corners[1], corners[3]
    w, h = math.hypot(bx - ax, by - ay), math.hypot(dx - ax, dy - ay)
    edge = (bx - ax, by - ay) if w >= h else (dx - ax, dy - ay)
    theta = math.atan2(-edge[1], edge[0]) if max(w, h) > 0 else 0.0
    if theta <= -math.pi / 2:
        theta += math.pi
    elif theta > math.pi / 2:
        theta -= math.pi
    cx, cy = (float(v) + 0.5 for v in corners.mean(axis=0))
    return cx, cy, max(w, h) + 1, min(w, h) + 1, theta
