"""
Watershed basins: the parts of a component that are wide, parted where it is narrow.

The distance of every pixel to the outline of its component has a peak in the middle of each wide
part. Steepest ascent leads every cell to one peak: the cells of one peak are a basin (of the
distance turned upside down), and basins meet at necks.

References
----------
Beucher and Lantuejoul: Use of watersheds in contour detection, 1979. Vincent and Soille:
Watersheds in digital spaces, PAMI 1991. Borgefors: Distance transformations in digital images,
CVGIP 1986 (``cv2.distanceTransform``).

"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from . import algorithm
from .components import Component, Hull
from .cut_criterion import Contact, Region
from .region_graph import RegionGraph, shapes

_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Steps of a cell in which distances are compared: plateaus of the digital distance are flat.
_LEVELS = 64


class _Grid(NamedTuple):
    """The cells of a component: their rows and columns, and its contours drawn on them."""

    shape: tuple[int, int]
    contours: list[Hull]


def _grid(component: Component) -> _Grid:
    """Return the grid of a component: cells are pixels if it has not more than ``grid_cells``."""
    x0, y0, x1, y1 = component.box
    width, height = x1 - x0, y1 - y0
    scale = math.sqrt(max(component.area / algorithm.ALGORITHM.grid_cells, 1))
    rows, columns = round(height / scale) or 1, round(width / scale) or 1
    if component.pixels is None:
        # As of upsampled: cell of the middle of each pixel.
        factors = np.array([columns / width, rows / height])
        shift = (0.5 - np.array([x0, y0])) * factors
        return _Grid((rows, columns), [(contour * factors + shift).astype(np.int32)
                                       for contour in component.contours])
    cells = cv2.resize(component.pixels * 255, (columns, rows), interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours(cells, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return _Grid((rows, columns), list(contours))


def distance_map(component: Component) -> npt.NDArray[np.float32]:
    """
    Return the distance to the outline, on a grid that has about 1500 cells in the component.

    The outline is drawn on the grid. So the time does not depend on the size of the picture;
    necks of any width stay, and so do gaps, as two outlines side by side.

    Parameters
    ----------
    component : Component
        Where to measure.

    Returns
    -------
    ndarray of shape (h' + 2, w' + 2), float32
        In cells, framed by zeros: half a cell on the outline.

    """
    distances, _ = _distance_maps([component])
    return distances


def _distance_maps(components: Sequence[Component],
                   ) -> tuple[npt.NDArray[np.float32], list[tuple[slice, slice]]]:
    """Return distance maps on one sheet, framed by zeros, and where each is without its frame."""
    grids = [_grid(component) for component in components]
    shape, places = _atlas([grid.shape for grid in grids])
    drawn = np.zeros(shape, np.uint8)
    for (_, contours), (rows, columns) in zip(grids, places, strict=True):
        corner = columns.start, rows.start
        cv2.drawContours(drawn, contours, -1, 2, cv2.FILLED, offset=corner)
        cv2.drawContours(drawn, contours, -1, 1, 1, offset=corner)
    distances: npt.NDArray[Any] = cv2.distanceTransform(drawn >> 1, cv2.DIST_L2, 5)
    distances[drawn > 0] += np.float32(0.5)
    return distances, places


def samples(count: int, size: int) -> npt.NDArray[np.intp]:
    """Return the indices of ``count`` samples spread evenly, and symmetrically, over ``size``."""
    return np.arange(size, 2 * count * size, 2 * size, dtype=np.intp) // (2 * count)


def upsampled(cells: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the cell of each pixel: (h', w') enlarged to (h, w)."""
    rows, columns = (samples(*sizes) for sizes in zip(shape, cells.shape, strict=True))
    return cells.take(columns, axis=1).take(rows, axis=0)


def basins(distance: npt.NDArray[np.float32],
           ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """
    Label every cell by the peak that steepest ascent leads to.

    Each cell points to its highest neighbour; following the pointers doubles the step each time
    (pointer jumping), so it ends after the logarithm of the longest way. Height and index go
    together through one dilation: the index, in the low bits, also decides between equals, so
    plateaus need no care.

    Parameters
    ----------
    distance : ndarray of shape (h, w), float32
        Framed by zeros.

    Returns
    -------
    labels : ndarray of shape (h, w), int64
        1..n where ``distance`` is not 0 and in the cells around; 0 elsewhere.
    peaks : ndarray of shape (n + 1,), int64
        Where the peak of each label is in the flat image; 0 for label 0.

    """
    # The digital distance map has ripples; a little smoothing removes most of the tiny basins.
    heights = np.rint(cv2.GaussianBlur(distance, (3, 3), 0) * _LEVELS)
    size = 1 << distance.size.bit_length()
    keys = np.arange(distance.size, dtype=np.float64).reshape(distance.shape)
    keys += heights * size
    keys *= distance > 0
    up = cv2.dilate(keys, _NEIGHBOURS).astype(np.intp).ravel()
    up &= size - 1
    up[0] = 0  # Where cells far outside lead to.
    here = np.arange(len(up))
    peaks, = (up == here).nonzero()
    while ((further := up.take(up)) != up).any():
        up = further
    here[peaks] = np.arange(len(peaks))
    return here.take(up).reshape(distance.shape), peaks


def saddles(distance: npt.NDArray[np.float32], labels: npt.NDArray[np.integer],
            ) -> list[tuple[float, int, int]]:
    """
    Return the highest saddle between every two labels that touch, highest first.

    Parameters
    ----------
    distance : ndarray of shape (h, w), float32
        As for :func:`basins`.
    labels : ndarray of shape (h, w), int
        As from :func:`basins`.

    Returns
    -------
    list of (saddle, label, label)
        The first label is the smaller.

    """
    heights, width = distance.ravel(), labels.shape[1]
    inside = np.where(distance > 0, labels, 0)
    # Cells beside a larger label, and the eight around each.
    image = inside.astype(np.float32)
    cells, = ((cv2.dilate(image, _NEIGHBOURS) > image) & (inside > 0)).ravel().nonzero()
    around = np.add.outer(cells, [-width - 1, -width, 1 - width, -1, 1, width - 1, width,
                                  width + 1])
    inside = inside.ravel()
    own, others = inside[cells], inside[around]
    one, other = (others > own[:, None]).nonzero()
    if not len(one):
        return []
    height = np.minimum(heights[cells[one]], heights[around[one, other]])
    pair = own[one] << 32 | others[one, other]
    order = pair.argsort(kind='stable')
    pair, height = pair[order], height[order]
    change, = (pair[1:] != pair[:-1]).nonzero()
    first = np.concatenate([[0], change + 1])
    found = zip(np.maximum.reduceat(height, first).tolist(), pair[first].tolist(), strict=True)
    return [(s, p >> 32, p & 0xFFFFFFFF) for s, p in sorted(found, key=lambda f: (-f[0], f[1]))]


def _without_shallow(peaks: list[float], meetings: list[tuple[float, int, int]]) -> list[int]:
    """Return the basin that each one belongs to after shallow ones joined their neighbours."""
    parent = list(range(len(peaks)))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for saddle, a, b in meetings:
        a, b = find(a), find(b)
        if a != b and saddle >= algorithm.ALGORITHM.shallow * min(peaks[a], peaks[b]):
            low, high = (a, b) if peaks[a] < peaks[b] else (b, a)
            parent[low] = high
    return [find(node) for node in range(len(peaks))]


def _atlas(shapes: Sequence[tuple[int, int]],
           ) -> tuple[tuple[int, int], list[tuple[slice, slice]]]:
    """Return the shape of a sheet, and where on it each image has its place, framed."""
    # About a square; a whole number of the widest images, so that nearly alike ones fill it.
    widest = max(w for _, w in shapes) + 1
    area = sum((h + 1) * (w + 1) for h, w in shapes)
    width = widest * max(round(math.sqrt(area) / widest), 1)
    places: dict[int, tuple[slice, slice]] = {}
    top, bottom, left = 1, 1, 0
    for k in sorted(range(len(shapes)), key=lambda k: -shapes[k][0]):
        h, w = shapes[k]
        if left + w + 1 > width:
            top, left = bottom, 0
        places[k] = slice(top, top + h), slice(left + 1, left + 1 + w)
        left += w + 1
        bottom = max(bottom, top + h + 1)
    return (bottom, width + 1), [places[k] for k in range(len(shapes))]


def basin_graphs(components: Sequence[Component]) -> list[RegionGraph]:
    """Return the basins of each component."""
    if not components:
        return []
    distances, places = _distance_maps(components)
    owners = np.zeros(distances.shape, np.int32)
    for k, place in enumerate(places):
        owners[place] = k
    labels, tops = basins(distances)
    peaks = distances.ravel()[tops].tolist()
    owner = owners.ravel()[tops].tolist()
    meetings = saddles(distances, labels)
    parent = _without_shallow(peaks, meetings)
    # Number the basins of each component from 1.
    numbers = [0] * len(parent)
    regions: list[list[Region]] = [[] for _ in components]
    for top, shape in shapes(np.array(parent)[labels] * (distances > 0)).items():
        regions[owner[top]].append(Region(peaks[top], *shape))
        numbers[top] = len(regions[owner[top]])
    numbers = [numbers[top] for top in parent]
    numbered = np.array(numbers, np.uint16)[labels]
    contacts: list[dict[tuple[int, int], Contact]] = [{} for _ in components]
    for saddle, a, b in meetings:
        one, other = sorted((numbers[a], numbers[b]))
        if one != other:
            contacts[owner[a]].setdefault((one, other), Contact(saddle))
    return [RegionGraph(distances[place], numbered[place], found, meeting,
                        component.area / sum(region.area for region in found))
            for place, found, meeting, component in zip(places, regions, contacts, components,
                                                        strict=True)]
