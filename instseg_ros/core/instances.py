"""Instances: the label image of one frame and what is known of each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Instances:
    """
    The instances of one frame. Label ``k`` of the image is entry ``k - 1`` of every array.

    Attributes
    ----------
    labels : ndarray of shape (H, W), uint16
        0 background, 1..N dense.
    class_ids : ndarray of shape (N,), uint8
        Class of each instance.
    areas : ndarray of shape (N,), int64
        Pixels of each instance.
    scores : ndarray of shape (N,), float64
        How likely the instance is one whole object, in (0, 1]; of a network's own instances what
        the network says.
    boxes : ndarray of shape (N, 4), int32
        x0, y0, x1, y1 in pixels, x1 and y1 exclusive.
    oriented_boxes : ndarray of shape (N, 5), float64
        cx, cy, w, h in pixels and theta in radians, counter-clockwise as seen on the screen;
        w >= h, theta in (-pi/2, pi/2]. Pixel (x, y) covers [x, x + 1) x [y, y + 1).

    """

    labels: npt.NDArray[np.uint16]
    class_ids: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.int32]
    oriented_boxes: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.class_ids)
