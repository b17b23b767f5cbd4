"""Shapes: how objects looked when each was seen apart from the others."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from ..instances import Instances

KEPT = 1             # shapes that are kept of an object: a walking person's legs open and close
STEP_S = 0.15        # s from one to the next


@dataclass(frozen=True)
class Shape:
    """
    The pixels of an object in one frame.

    Attributes
    ----------
    mask : ndarray of shape (h, w), uint8
        1 on the object.
    corner : ndarray of shape (2,), float64
        x and y of the first pixel's corner, relative to the centre of the track's box, pixels.
    size : float
        Square root of the area of the track's box at that time, pixels.

    """

    mask: npt.NDArray[np.uint8]
    corner: npt.NDArray[np.float64]
    size: float

    @classmethod
    def of(cls, instances: Instances, column: int, box: npt.NDArray[np.float64]) -> Shape:
        """Return the shape of an instance, seen when its track had a box (4,)."""
        x0, y0 = instances.boxes[column, :2].tolist()
        mask = pixels(instances, column)
        low, high = box[:2], box[2:]
        return cls(mask, (x0, y0) - (low + high) / 2, float(np.sqrt(np.prod(high - low))))

    def placed(self, box: npt.NDArray[np.float64], origin: npt.NDArray[np.int64], step: int
               ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """
        Return the mask and the x, y of its corner where the track's box now is `box`.

        Both in cells of `step` pixels from `origin` on.
        """
        scale = float(np.sqrt(np.prod(box[2:] - box[:2]))) / self.size
        corner = np.rint(((box[:2] + box[2:]) / 2 + scale * self.corner - origin) / step)
        height, width = self.mask.shape
        size = max(1, round(width * scale / step)), max(1, round(height * scale / step))
        mask = self.mask if size == (width, height) else cv2.resize(
            self.mask, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(mask, np.uint8), corner.astype(np.int64)


@dataclass
class Appearance:
    """
    What is remembered of an object beside its track.

    Attributes
    ----------
    shapes : list of Shape
        The newest first.
    seen_s : float
        Time of the newest shape, s.

    """

    shapes: list[Shape] = field(default_factory=list)
    seen_s: float = -np.inf
    against_s: float = 0.0
    _kept_s: float = -np.inf

    def learn(self, shape: Shape, now_s: float, forget: bool = False) -> None:
        """Take in how it looks now; of the shapes before, some are kept a while."""
        if forget:
            self.shapes.clear()
        if self.shapes and now_s - self._kept_s < STEP_S:
            self.shapes[0] = shape
        else:
            self.shapes = [shape, *self.shapes[:KEPT - 1]]
            self._kept_s = now_s
        self.seen_s = now_s


def pixels(instances: Instances, column: int) -> npt.NDArray[np.uint8]:
    """Return the crop of an instance, 1 on it."""
    x0, y0, x1, y1 = instances.boxes[column].tolist()
    return (instances.labels[y0:y1, x0:x1] == column + 1).view(np.uint8)


def centred_box(instances: Instances, column: int) -> npt.NDArray[np.float64]:
    """Return the box of an instance, moved to have its centre of mass in the middle."""
    box = instances.boxes[column].astype(np.float64)
    moments = cv2.moments(pixels(instances, column), binaryImage=True)
    mass = np.array([moments['m10'], moments['m01']]) / moments['m00'] + 0.5
    return box + np.tile(mass - (box[2:] - box[:2]) / 2, 2)
