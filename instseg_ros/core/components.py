"""Components: the connected pieces of one class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

# OpenCV's stubs do not say of which dtype its results are: int32.
Hull = npt.NDArray[Any]
# Changes from pixel to pixel along the rows, for each pixel, that make a mask noisy.
_NOISE = 1 / 16


class Component(NamedTuple):
    """
    One 8-connected piece of a binary image.

    Attributes
    ----------
    area : int
        Pixels.
    box : tuple of int
        x0, y0, x1, y1; x1 and y1 exclusive.
    hull : ndarray of shape (K, 1, 2), int32
        Convex hull through the centres of the pixels, x and y.
    hull_area : float
        About how many pixels the hull covers.
    inside : ndarray of shape (y1 - y0 + 2, x1 - x0 + 2), uint8
        1 on the component, with a border of zeros.

    """

    area: int
    box: tuple[int, int, int, int]
    hull: Hull
    hull_area: float
    inside: npt.NDArray[np.uint8]


def hull_area(hull: Hull) -> float:
    """
    Return about how many pixels a convex hull through pixel centres covers.

    Area inside plus half of the boundary plus one: Pick's theorem, with the length of the
    boundary for the number of pixels on it.
    """
    return cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1


def components(binary: npt.NDArray[np.uint8], min_area: int) -> Iterator[Component]:
    """
    Yield the 8-connected components of at least ``min_area`` pixels.

    Following the borders and filling them takes a tenth of the time of labelling every pixel
    (0.14 ms instead of 1.7 ms for 640x480), but each border costs some memory: noise, with a
    border for every few pixels, is labelled.

    Parameters
    ----------
    binary : ndarray of shape (h, w), uint8
        Non-zero inside.
    min_area : int
        In pixels.

    """
    changes = np.count_nonzero(binary[:, 1:] != binary[:, :-1])
    return (_labelled if changes > binary.size * _NOISE else _outlined)(binary, min_area)


def _outlined(binary: npt.NDArray[np.uint8], min_area: int) -> Iterator[Component]:
    """Yield the components by their borders."""
    contours, hierarchy = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if hierarchy is None:
        return
    for contour, (_, _, hole, parent) in zip(contours, hierarchy[0].tolist(), strict=True):
        # What the border encloses is at most this, for any shape.
        if parent >= 0 or hull_area(contour) < min_area:
            continue
        x, y, w, h = cv2.boundingRect(contour)
        inside = np.zeros((h + 2, w + 2), np.uint8)
        cv2.drawContours(inside, [contour], 0, 1, cv2.FILLED, offset=(1 - x, 1 - y))
        if hole >= 0:
            inside[1:-1, 1:-1] &= binary[y:y + h, x:x + w]
            # Whatever lies in the holes is another component.
            _, pieces = cv2.connectedComponents(inside, connectivity=8)
            at_x, at_y = contour[0, 0].tolist()
            inside = (pieces == pieces[at_y - y + 1, at_x - x + 1]).view(np.uint8)
        area = cv2.countNonZero(inside)
        if area >= min_area:
            hull = cv2.convexHull(contour)
            yield Component(area, (x, y, x + w, y + h), hull, hull_area(hull), inside)


def _labelled(binary: npt.NDArray[np.uint8], min_area: int) -> Iterator[Component]:
    """Yield the components by labelling every pixel."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area) + 1
    for k, (x, y, w, h, area) in zip(large.tolist(), stats[large].tolist(), strict=True):
        inside = np.zeros((h + 2, w + 2), np.uint8)
        np.equal(pieces[y:y + h, x:x + w], k, out=inside[1:-1, 1:-1].view(np.bool_))
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE,
                                       offset=(x - 1, y - 1))
        hull = cv2.convexHull(contours[0])
        yield Component(area, (x, y, x + w, y + h), hull, hull_area(hull), inside)
