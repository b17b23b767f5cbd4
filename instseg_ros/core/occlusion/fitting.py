"""Fitting: where remembered shapes lie in a merged instance, and who shows in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .shapes import Shape

CELLS = 16           # that the size of an object has where shapes are fitted
REACH, REACH_S = 0.15, 2.5   # sizes, sizes per s: how far from the forecast a shape is looked for
ANCHOR = 0.1         # of its area that a shape loses at the end of that reach
SHARED = 0.4         # worth of a pixel that another shape covers too


@dataclass
class Placed:
    """
    A shape laid over a crop, in cells.

    Attributes
    ----------
    shape : Shape
    mask : ndarray of shape (h, w), uint8
        1 on the object.
    corner : ndarray of shape (2,), int64
        x and y of its first cell.
    offset : ndarray of shape (2,), int64
        x and y from the forecast.
    cover : ndarray of the crop's shape, uint8
        1 where it lies.

    """

    shape: Shape
    mask: npt.NDArray[np.uint8]
    corner: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    cover: npt.NDArray[np.uint8]

    @property
    def area(self) -> int:
        return max(1, cv2.countNonZero(self.mask))


def fit(worth: npt.NDArray[np.float32], shapes: Sequence[Sequence[Shape]],
        boxes: npt.NDArray[np.float64], origin: npt.NDArray[np.int64], step: int, far: list[int]
        ) -> list[Placed]:
    """
    Lay one shape of each object where it covers the most.

    Parameters
    ----------
    worth : ndarray of shape (h, w), float32
        For each cell of the crop what covering it is worth: 1 on the merged instance, 0 where
        nothing is known, -1 on background.
    shapes : sequence of (sequence of Shape)
        How each object looked.
    boxes : ndarray of shape (K, 4), float64
        Forecast of each object's box, pixels.
    origin : ndarray of shape (2,), int64
        x and y of the crop's first pixel.
    step : int
        Side of a cell in pixels.
    dt : float
        Seconds since the last frame.

    """
    forecasts = [[shape.placed(box, origin, step) for shape in own]
                 for own, box in zip(shapes, boxes, strict=True)]
    placed = [_laid(own[0], *forecast[0], np.zeros(2, np.int64), worth.shape)
              for own, forecast in zip(shapes, forecasts, strict=True)]
    # Two rounds are enough, as the forecast is near; the shape of the first one stays.
    for again in (False, True):
        for k, own in enumerate(shapes):
            others = [p.cover for j, p in enumerate(placed) if j != k]
            open_worth = np.where((np.add.reduce(others) > 0) & (worth > 0), np.float32(SHARED),
                                  worth) if others else worth
            choices = [i for i, shape in enumerate(own) if not again or shape is placed[k].shape]
            best = max((_best(open_worth, *forecasts[k][i], far[k]) + (i,) for i in choices),
                       key=lambda found: found[0])
            mask, corner = forecasts[k][best[2]]
            placed[k] = _laid(own[best[2]], mask, corner + best[1], best[1], worth.shape)
    return placed


def _best(worth: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8],
          corner: npt.NDArray[np.int64], far: int) -> tuple[float, npt.NDArray[np.int64]]:
    """Return the most that a mask can cover, as a share of its area, and its offset there."""
    window = np.zeros((mask.shape[0] + 2 * far, mask.shape[1] + 2 * far), np.float32)
    there, here = common(corner - far, window.shape, worth.shape)
    window[here] = worth[there]     # beyond the frame nothing is known
    score = cv2.matchTemplate(window, mask.astype(np.float32), cv2.TM_CCORR)
    steps = (np.arange(-far, far + 1) / far)**2
    score = score / max(1, cv2.countNonZero(mask)) - ANCHOR * (steps[:, None] + steps)
    y, x = divmod(int(score.argmax()), 2 * far + 1)
    return float(score[y, x]), np.array([x - far, y - far])


def _laid(shape: Shape, mask: npt.NDArray[np.uint8], corner: npt.NDArray[np.int64],
          offset: npt.NDArray[np.int64], frame: tuple[int, ...]) -> Placed:
    return Placed(shape, mask, corner, offset, stamped(mask, corner, frame))


def common(corner: npt.NDArray[np.int64], size: tuple[int, ...], frame: tuple[int, ...]
           ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a patch at `corner` (x, y) lies in a frame, and which part of it does."""
    there, here = [], []
    for start, length, limit in zip(corner.tolist()[::-1], size, frame, strict=True):
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        there.append(slice(low, high))
        here.append(slice(low - start, max(high, low) - start))
    return (there[0], there[1]), (here[0], here[1])


def stamped(mask: npt.NDArray[np.uint8], corner: npt.NDArray[np.int64], shape: tuple[int, ...]
            ) -> npt.NDArray[np.uint8]:
    """Return an image of `shape` with the mask at `corner` (x, y), clipped."""
    image = np.zeros(shape, np.uint8)
    there, here = common(corner, mask.shape, shape)
    image[there] = mask[here]
    return image
