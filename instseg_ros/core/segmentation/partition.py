"""Partition: every pixel of a component gets one of its parts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .components import Component
from .merging import Parts
from .watershed import upsampled

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def partition(parts: Parts, component: Component, min_area: int) -> list[tuple[int, Component]]:
    """
    Give every pixel of a component its part.

    Parameters
    ----------
    parts : Parts
        At most 65534.
    component : Component
        What they are parts of.
    min_area : int
        A part that turns out to have fewer pixels goes to its neighbours.

    Returns
    -------
    list of (int, Component)
        The parts that are left, at least one, each one 8-connected piece. Orphan fragments, which
        the full grid shows behind a neighbour, go to the neighbours.

    """
    x0, y0, x1, y1 = component.box
    inside, shape = component.inside, (y1 - y0, x1 - x0)
    cells = parts.part_of.astype(np.uint16).take(parts.graph.labels)
    labels = np.zeros(inside.shape, np.uint16)
    np.multiply(upsampled(cells, shape), inside[1:-1, 1:-1], out=labels[1:-1, 1:-1])
    found: dict[int, Component] = {}
    for k in range(1, len(parts) + 1):
        place = _place((cells == k).view(np.uint8), shape)
        crop = labels[place]
        count, pieces, stats, _ = cv2.connectedComponentsWithStats((crop == k).view(np.uint8))
        main = int(stats[1:, cv2.CC_STAT_AREA].argmax()) + 1 if count > 1 else 0
        large = main and stats[main, cv2.CC_STAT_AREA] >= max(min_area, 1)
        if large:
            found[k] = _component(pieces == main, x0 - 1 + place[1].start,
                                  y0 - 1 + place[0].start)
        if count > 2 or not large:
            crop[(pieces > 0) & (pieces != main if large else True)] = 0
    if not found:
        return [(1, component)]
    if sum(part.area for part in found.values()) < component.area:
        before = labels.copy()
        grow(labels, inside, inside.size)
        for k in np.unique(labels[labels != before]).tolist():
            found[k] = _component(labels == k, x0 - 1, y0 - 1)
    return list(found.items())


def _place(cells: npt.NDArray[np.uint8], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return where the pixels of the non-zero cells are, with a frame of one pixel."""
    x, y, w, h = cv2.boundingRect(cells)
    (top, bottom), (left, right) = (
        (-((count - 2 * first * size) // (2 * count)), -((count - 2 * last * size) // (2 * count)))
        for first, last, count, size in zip((y, x), (y + h, x + w), cells.shape, shape))
    return slice(top, bottom + 2), slice(left, right + 2)


def _component(pixels: npt.NDArray[np.bool_], left: int, top: int) -> Component:
    """Return the component of pixels in a crop whose first pixel is at left, top."""
    contours, _ = cv2.findContours(pixels.view(np.uint8), cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_SIMPLE)
    x, y, w, h = cv2.boundingRect(contours[0])
    crop = np.zeros((h + 2, w + 2), np.uint8)
    crop[1:-1, 1:-1] = pixels[y:y + h, x:x + w]
    return Component(cv2.countNonZero(crop), (x + left, y + top, x + left + w, y + top + h),
                     contours[0] + np.array([left, top], np.int32), crop, has_holes=True)


def grow(labels: npt.NDArray[np.uint16], inside: npt.NDArray[np.uint8], steps: int) -> None:
    """
    Let labels grow over their component, a pixel a step, where no other label is yet.

    Parameters
    ----------
    labels : ndarray of shape (h, w), uint16
        Changed in place; 0 where labels may grow.
    inside : ndarray of shape (h, w), uint8
        Labels grow where it is non-zero.
    steps : int
        Growing ends after so many steps, or when there is nothing left to grow over.

    """
    free = (inside != 0) & (labels == 0)
    for _ in range(steps):
        if not free.any():
            return
        grown: npt.NDArray[Any] = cv2.dilate(labels, _NEIGHBOURS)
        grown[~free] = 0
        if not grown.any():
            return
        labels += grown
        free &= grown == 0
