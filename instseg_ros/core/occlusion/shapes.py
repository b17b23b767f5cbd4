"""Shapes: how an object looked when it was last seen apart from the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from ..instances import Instances

Boxes = npt.NDArray[np.float64]


class Shape:
    """
    The pixels of one instance, and where they lay in the box of its track.

    Parameters
    ----------
    instances : Instances
        The frame.
    column : int
        Which instance.
    box : ndarray of shape (4,), float64
        x0, y0, x1, y1 of its track, pixels.

    Attributes
    ----------
    area : int
        Pixels.
    corner : ndarray of shape (2,), float64
        x and y of the first pixel, relative to the centre of the track's box.
    extent : ndarray of shape (2,), float64
        Width and height.
    size : float
        Square root of the area of the track's box.

    """

    def __init__(self, instances: Instances, column: int, box: Boxes) -> None:
        x0, y0, x1, y1 = instances.boxes[column].tolist()
        # Of most shapes nobody ever asks for more than their size.
        self._crop, self._label = instances.labels[y0:y1, x0:x1].copy(), column + 1
        self.area = int(instances.areas[column])
        left, top, right, bottom = box.tolist()
        self.corner = np.array([x0 - (left + right) / 2, y0 - (top + bottom) / 2])
        self.extent = np.array([x1 - x0, y1 - y0], np.float64)
        self.size = ((right - left) * (bottom - top))**0.5

    @cached_property
    def mask(self) -> npt.NDArray[np.uint8]:
        """Return the crop, (h, w), 1 on the object."""
        return (self._crop == self._label).view(np.uint8)

    def laid(self, box: Boxes, step: int, origin: npt.NDArray[np.int64] | int = 0) -> Laid:
        """
        Return the shape, scaled and moved with the box of its track, in cells.

        Parameters
        ----------
        box : ndarray of shape (4,), float64
            Where the track is now, pixels.
        step : int
            Side of a cell in pixels.
        origin : ndarray of shape (2,), int64
            x and y of the first cell, pixels.

        """
        left, top, right, bottom = box.tolist()
        scale = ((right - left) * (bottom - top))**0.5 / self.size
        corner = (scale * self.corner + ((left + right) / 2, (top + bottom) / 2) - origin) / step
        width, height = (max(1, round(v)) for v in (scale / step * self.extent).tolist())
        mask = self.mask if self.mask.shape == (height, width) else cv2.resize(
            self.mask, (width, height), interpolation=cv2.INTER_NEAREST)
        return Laid(mask.view(np.uint8), *np.rint(corner).astype(int).tolist())


@dataclass(frozen=True)
class Laid:
    """
    A mask on a grid of cells, partly outside of it perhaps.

    Attributes
    ----------
    mask : ndarray of shape (h, w), uint8
        1 on the object.
    x, y : int
        Its first cell.

    """

    mask: npt.NDArray[np.uint8]
    x: int
    y: int

    @cached_property
    def area(self) -> int:
        """Cells, seen or not; at least 1."""
        return max(1, cv2.countNonZero(self.mask))

    def moved(self, x: int, y: int) -> Laid:
        """Return the mask `x` and `y` cells on."""
        return Laid(self.mask, self.x + x, self.y + y)

    def common(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where it lies on a grid of a shape (H, W), and which part of it does."""
        height, width = self.mask.shape
        x0, x1 = min(max(self.x, 0), shape[1]), max(min(self.x + width, shape[1]), 0)
        y0, y1 = min(max(self.y, 0), shape[0]), max(min(self.y + height, shape[0]), 0)
        x1, y1 = max(x0, x1), max(y0, y1)
        return ((slice(y0, y1), slice(x0, x1)),
                (slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x)))

    def cover(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Return a grid of a shape (H, W), 1 under the mask."""
        grid = np.zeros(shape, np.uint8)
        there, here = self.common(shape)
        grid[there] = self.mask[here]
        return grid
