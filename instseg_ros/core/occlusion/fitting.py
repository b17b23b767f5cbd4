"""Fitting: where remembered shapes lie in a merged instance, and which of them show."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .shapes import Laid

ANCHOR = 0.1         # of its area that a shape loses at the end of its reach
SHARED = 0.4         # worth of a cell that another shape covers too
STAYS, RETURNS = 0.15, 0.25  # share of a shape that it alone must explain to be shown (again)
# The same for the share of its outline along that of the merged instance. Of shapes with less than
# 0.05 there 60 % were a piece of another object (moving camera), with more than 0.4 it was 12 %.
OUTLINE_STAYS, OUTLINE_RETURNS = 0.04, 0.12
KERNEL = np.ones((3, 3), np.uint8)

Worth = npt.NDArray[np.float32]


def fit(worth: Worth, forecast: Sequence[Laid], reach: Sequence[int]) -> list[tuple[int, int]]:
    """
    Move shapes to where together they cover the most.

    Parameters
    ----------
    worth : ndarray of shape (h, w), float32
        What it is worth to cover a cell: 1 on the merged instance, -1 on background, 0 where
        something else may hide the object.
    forecast : sequence of Laid
        The shapes, where they are expected.
    reach : sequence of int
        How far from there each is looked for, in cells.

    Returns
    -------
    list of (int, int)
        Offset of each, x and y in cells.

    """
    offsets = [(0, 0)] * len(forecast)
    covers = [one.cover(worth.shape) for one in forecast]
    # Two rounds are enough, as the forecasts are near.
    for _ in range(2):
        for k, one in enumerate(forecast):
            others, open_worth = covers[:k] + covers[k + 1:], worth
            if others:
                open_worth = np.where((np.bitwise_or.reduce(others) > 0) & (worth > 0),
                                      np.float32(SHARED), worth)
            offsets[k] = _best_offset(open_worth, one, reach[k])
            covers[k] = one.moved(*offsets[k]).cover(worth.shape)
    return offsets


def _best_offset(worth: Worth, one: Laid, reach: int) -> tuple[int, int]:
    """Return the offset at which a shape covers the most, those near the forecast preferred."""
    height, width = one.mask.shape
    window = Laid(np.zeros((height + 2 * reach, width + 2 * reach), np.uint8),
                  one.x - reach, one.y - reach)
    there, here = window.common(worth.shape)
    open_worth = np.zeros(window.mask.shape, np.float32)   # beyond the frame nothing is known
    open_worth[here] = worth[there]
    score = cv2.matchTemplate(open_worth, one.mask.astype(np.float32), cv2.TM_CCORR)
    away = (np.arange(-reach, reach + 1) / reach)**2
    score -= (ANCHOR * one.area * (away[:, None] + away)).astype(np.float32)
    y, x = divmod(int(score.argmax()), 2 * reach + 1)
    return x - reach, y - reach


def showing(worth: Worth, covers: Sequence[npt.NDArray[np.uint8]], areas: Sequence[int],
            visible: Sequence[bool]) -> list[int]:
    """
    Return which shapes show: their outline is seen, and they explain what no other one does.

    Parameters
    ----------
    worth : ndarray of shape (h, w), float32
        As in :func:`fit`.
    covers : sequence of ndarray of shape (h, w), uint8
        Where the shapes lie.
    areas : sequence of int
        Cells of each shape.
    visible : sequence of bool
        Which of them were seen in the last frame.

    """
    beside = cv2.dilate((worth < 0).view(np.uint8), KERNEL)
    shown = []
    for k, cover in enumerate(covers):
        outline = cover - cv2.erode(cover, KERNEL)
        least = OUTLINE_STAYS if visible[k] else OUTLINE_RETURNS
        if np.count_nonzero(outline & beside) >= least * np.count_nonzero(outline):
            shown.append(k)
    while len(shown) > 1:
        times = np.add.reduce([covers[k] for k in shown])
        alone = np.where(times == 1, worth, np.float32(0))
        margin = [float((alone * covers[k]).sum()) / areas[k] - (STAYS if visible[k] else RETURNS)
                  for k in shown]
        worst = int(np.argmin(margin))
        if margin[worst] >= 0:
            break
        shown.pop(worst)
    return shown
