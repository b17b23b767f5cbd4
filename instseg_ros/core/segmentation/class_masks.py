"""Class masks: the pixels of each class by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .limits import without_specks
from .settings import SegmentationSettings

NO_DATA = 255


def check_mask(mask: npt.NDArray[np.uint8]) -> None:
    """Raise TypeError or ValueError when ``mask`` is no class mask, saying what was expected."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8:
        raise TypeError('mask: expected an ndarray of uint8, got '
                        f'{getattr(mask, "dtype", type(mask).__name__)}')
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f'mask: expected shape (H, W) with H, W >= 1, got {mask.shape}')


def classes(mask: npt.NDArray[np.uint8], settings: SegmentationSettings, min_area: int = 1,
            ) -> Iterator[tuple[int, npt.NDArray[np.uint8], int, int]]:
    """
    Yield each class id in ascending order, its pixels, and where they are.

    Classes that are never instances are left out, and so may be components of fewer pixels than
    ``min_area``.

    Yields
    ------
    class_id : int
    binary : ndarray of shape (h, w), uint8
        Non-zero on the pixels of the class, in the smallest box around them or the whole frame;
        valid until the next class.
    x, y : int
        The box's corner.

    """
    ignored = {0, NO_DATA, *settings.ignored_classes}
    left, top = cv2.countNonZero(mask), int(mask.max())
    if cv2.sumElems(mask)[0] == left * top:  # Most masks have one class.
        if top not in ignored:
            yield top, mask, 0, 0
        return
    mask = without_specks(mask, min_area)
    x0, y0, w, h = cv2.boundingRect(mask)
    mask = mask[y0:y0 + h, x0:x0 + w]
    left = cv2.countNonZero(mask)
    # 256 - class id, so that the largest is next; a histogram takes longer for a handful. Each
    # new image of a frame's size costs more than what is done with it: there are two.
    rest: npt.NDArray[Any] = np.negative(mask, order='C')
    binary = np.empty(mask.shape, np.uint8)
    while left:
        top = int(rest.max())
        np.equal(rest, top, out=binary.view(np.bool_))
        left -= cv2.countNonZero(binary)
        if left:
            cv2.threshold(rest, top - 1, 0, cv2.THRESH_TOZERO_INV, dst=rest)
        if 256 - top not in ignored:
            x, y, w, h = cv2.boundingRect(binary)
            yield 256 - top, binary[y:y + h, x:x + w], x0 + x, y0 + y


def opened(binary: npt.NDArray[np.uint8], settings: SegmentationSettings) -> npt.NDArray[Any]:
    """Return ``binary`` without what the settings' opening removes."""
    if not settings.opens:
        return binary
    side, times = settings.erosion_kernel, settings.erosion_iteration
    kernel, middle, other = np.ones((side, side), np.uint8), side // 2, side - 1 - side // 2
    # With its anchor on the other side, an even kernel takes back the shift of the erosion.
    # What lies outside of the crop is not inside.
    eroded = cv2.erode(binary, kernel, anchor=(middle, middle), iterations=times,
                       borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return cv2.dilate(eroded, kernel, anchor=(other, other), iterations=times)
