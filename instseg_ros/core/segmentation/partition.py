"""Partition: every pixel of a component gets one of its parts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .components import Component, from_contours
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
    cells = parts.part_of.astype(np.min_scalar_type(len(parts))).take(parts.graph.labels)
    labels = upsampled(cells, shape)
    labels *= inside
    found: dict[int, Component] = {}
    for k in range(1, len(parts) + 1):
        rows, columns = _place((cells == k).view(np.uint8), shape)
        pixels = (labels[rows, columns] == k).view(np.uint8)
        part = _largest_piece(pixels, x0 + columns.start, y0 + rows.start)
        if part and part.area >= min_area:
            found[k] = part
    if not found:
        return [(1, component)]
    if sum(part.area for part in found.values()) < component.area:
        # Orphan fragments, and what is too small, go to the neighbours that grow over them.
        labels[:] = 0
        for k, part in found.items():
            part.paint(labels, k, (x0, y0))
        free = labels < inside
        x, y, w, h = cv2.boundingRect(free.view(np.uint8))
        near = np.s_[max(y - 1, 0):y + h + 1, max(x - 1, 0):x + w + 1]
        grow(labels[near], inside[near], w * h)
        for k in np.unique(labels[free]).tolist():
            left, top, right, bottom = found[k].box
            left, top = min(left - x0, x), min(top - y0, y)
            right, bottom = max(right - x0, x + w), max(bottom - y0, y + h)
            pixels = (labels[top:bottom, left:right] == k).view(np.uint8)
            grown = _largest_piece(pixels, x0 + left, y0 + top)
            assert grown
            found[k] = grown
    return list(found.items())


def _place(cells: npt.NDArray[np.uint8], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return where the pixels of the non-zero cells are."""
    x, y, w, h = cv2.boundingRect(cells)

    def first(cell: int, cells: int, pixels: int) -> int:
        return -((cells - 2 * cell * pixels) // (2 * cells))

    (rows, columns), (height, width) = cells.shape, shape
    return (slice(first(y, rows, height), first(y + h, rows, height)),
            slice(first(x, columns, width), first(x + w, columns, width)))


def _largest_piece(pixels: npt.NDArray[np.uint8], left: int, top: int) -> Component | None:
    """Return the largest 8-connected piece of a crop whose first pixel is at left, top."""
    contours, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                           offset=(left, top))
    if hierarchy is None:
        return None
    if len(contours) == 1:
        x, y, w, h = cv2.boundingRect(contours[0])
        return Component(cv2.countNonZero(pixels), (x, y, x + w, y + h), contours)
    return max(from_contours(contours, hierarchy, 1), key=lambda piece: piece.area)


def grow(labels: npt.NDArray[Any], inside: npt.NDArray[np.uint8], steps: int) -> None:
    """
    Let labels grow over their component, a pixel a step, where no other label is yet.

    Parameters
    ----------
    labels : ndarray of shape (h, w), uint8 or uint16
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
