"""Partition: every pixel of a component gets one of its parts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .components import areas_within, Component
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
    left, top, right, bottom = component.box
    inside, shape = component.inside, (bottom - top, right - left)
    x0, y0 = left - 1, top - 1  # Where the frame around it begins.
    cells = parts.part_of.astype(np.min_scalar_type(len(parts))).take(parts.graph.labels)
    labels = np.zeros(inside.shape, cells.dtype)
    np.multiply(upsampled(cells, shape), inside[1:-1, 1:-1], out=labels[1:-1, 1:-1])
    found: dict[int, Component] = {}
    for k in range(1, len(parts) + 1):
        rows, columns = _place((cells == k).view(np.uint8), shape)
        crop = labels[rows, columns]
        pixels = (crop == k).view(np.uint8)
        part = _largest_piece(pixels, x0 + columns.start, y0 + rows.start)
        if part and part.area >= min_area:
            found[k] = part
        if k not in found or found[k].area < cv2.countNonZero(pixels):
            # Orphan fragments, and what is too small, go to the neighbours that grow over them.
            crop[pixels.view(np.bool_)] = 0
            if k in found:
                found[k].paint(labels, k, (x0, y0))
    if not found:
        return [(1, component)]
    free = np.less(labels, inside)
    x, y, w, h = cv2.boundingRect(free.view(np.uint8))
    if w:
        near = np.s_[y - 1:y + h + 1, x - 1:x + w + 1]
        grow(labels[near], inside[near], w * h)
        for k in np.unique(labels[free]).tolist():
            left, top, right, bottom = found[k].box
            left, top = min(left - x0, x), min(top - y0, y)
            right, bottom = max(right - x0, x + w), max(bottom - y0, y + h)
            pixels = (labels[top - 1:bottom + 1, left - 1:right + 1] == k).view(np.uint8)
            grown = _largest_piece(pixels, x0 + left - 1, y0 + top - 1)
            if grown:
                found[k] = grown
    return list(found.items())


def _place(cells: npt.NDArray[np.uint8], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return where the pixels of the non-zero cells are, with a frame of one pixel."""
    x, y, w, h = cv2.boundingRect(cells)

    def first(cell: int, cells: int, pixels: int) -> int:
        return -((cells - 2 * cell * pixels) // (2 * cells))

    (rows, columns), (height, width) = cells.shape, shape
    return (slice(first(y, rows, height), first(y + h, rows, height) + 2),
            slice(first(x, columns, width), first(x + w, columns, width) + 2))


def _largest_piece(pixels: npt.NDArray[np.uint8], left: int, top: int) -> Component | None:
    """
    Return the largest 8-connected piece of a crop, None of an empty one.

    The crop is framed by 0; its first pixel is at left, top.
    """
    contours, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                           offset=(left, top))
    if hierarchy is None:
        return None
    outer = (hierarchy[0, :, 3] < 0).nonzero()[0].tolist()
    contour = contours[outer[0]]
    if len(outer) > 1:
        # Drawing what can be the largest takes a tenth of the time of labelling every pixel.
        enclosed = areas_within([contours[k] for k in outer])
        all_pieces, largest = pixels, 0
        for area, k in sorted(zip(enclosed, outer, strict=True), reverse=True):
            if area <= largest:
                break
            piece = cv2.drawContours(np.zeros_like(all_pieces), contours, k, 1, cv2.FILLED,
                                     hierarchy=hierarchy, maxLevel=1, offset=(-left, -top))
            area = cv2.countNonZero(piece)  # Without its holes.
            if area > largest:
                contour, pixels, largest = contours[k], piece, area
    x, y, w, h = cv2.boundingRect(contour)
    framed = pixels[y - top - 1:y - top + h + 1, x - left - 1:x - left + w + 1]
    return Component(cv2.countNonZero(framed), (x, y, x + w, y + h), contour, framed)


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
