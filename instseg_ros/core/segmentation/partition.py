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
        the full grid shows behind a neighbour, go to the neighbour that they touch most.

    """
    x0, y0, x1, y1 = component.box
    inside, shape = component.inside, (y1 - y0, x1 - x0)
    cells = parts.part_of.astype(np.min_scalar_type(len(parts))).take(parts.graph.labels)
    labels = upsampled(cells, shape)
    labels *= inside
    found: dict[int, Component] = {}
    orphans: list[Component] = []
    for k in range(1, len(parts) + 1):
        rows, columns = _place((cells == k).view(np.uint8), shape)
        pixels = (labels[rows, columns] == k).view(np.uint8)
        pieces = _pieces(pixels, x0 + columns.start, y0 + rows.start)
        if pieces and pieces[-1].area >= min_area:
            found[k] = pieces.pop()
        orphans += pieces
    if not found:
        return [(1, component)]
    if sum(piece.area for piece in (*found.values(), *orphans)) < component.area:
        orphans += _pieces((labels < inside).view(np.uint8), x0, y0)
    if orphans:
        for k, box in _adopt(orphans, labels, (x0, y0)).items():
            left, top, right, bottom = _around(box, found[k].box)
            pixels = (labels[top - y0:bottom - y0, left - x0:right - x0] == k).view(np.uint8)
            found[k] = _pieces(pixels, left, top)[-1]
    return list(found.items())


def _pieces(pixels: npt.NDArray[np.uint8], left: int, top: int) -> list[Component]:
    """Return the 8-connected pieces of a crop whose first pixel is at left, top; largest last."""
    contours, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                           offset=(left, top))
    if hierarchy is None:
        return []
    if len(contours) == 1:
        x, y, w, h = cv2.boundingRect(contours[0])
        return [Component(cv2.countNonZero(pixels), (x, y, x + w, y + h), contours)]
    return sorted(from_contours(contours, hierarchy, 1), key=lambda piece: piece.area)


def _adopt(orphans: list[Component], labels: npt.NDArray[Any], corner: tuple[int, int],
           ) -> dict[int, tuple[int, int, int, int]]:
    """
    Give each orphan the label that it touches most.

    Returns
    -------
    dict of int to (int, int, int, int)
        Of each label that got some, the box around them.

    """
    boxes: dict[int, tuple[int, int, int, int]] = {}
    for orphan in orphans:
        orphan.paint(labels, 0, corner)
    while orphans:
        later = []
        for orphan in orphans:
            x0, y0, x1, y1 = orphan.box
            left, top = max(x0 - corner[0] - 1, 0), max(y0 - corner[1] - 1, 0)
            near = labels[top:y1 - corner[1] + 1, left:x1 - corner[0] + 1]
            pixels = np.zeros(near.shape, np.uint8)
            orphan.paint(pixels, 1, (corner[0] + left, corner[1] + top))
            touched = np.bincount((near * cv2.dilate(pixels, _NEIGHBOURS)).ravel())
            touched[0] = 0
            if not touched.any():
                later.append(orphan)
                continue
            k = int(touched.argmax())
            orphan.paint(labels, k, corner)
            boxes[k] = _around(orphan.box, boxes.get(k, orphan.box))
        orphans = later
    return boxes


def _around(one: tuple[int, int, int, int], other: tuple[int, int, int, int],
            ) -> tuple[int, int, int, int]:
    """Return the box around two boxes."""
    return (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]),
            max(one[3], other[3]))


def _place(cells: npt.NDArray[np.uint8], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return where the pixels of the non-zero cells are."""
    x, y, w, h = cv2.boundingRect(cells)

    def first(cell: int, cells: int, pixels: int) -> int:
        return -((cells - 2 * cell * pixels) // (2 * cells))

    (rows, columns), (height, width) = cells.shape, shape
    return (slice(first(y, rows, height), first(y + h, rows, height)),
            slice(first(x, columns, width), first(x + w, columns, width)))


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
