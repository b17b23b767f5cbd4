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

from collections.abc import Iterable, Iterator, Sequence
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from . import algorithm
from .components import Component, Hull
from .cut_criterion import Contact, Region
from .region_graph import RegionGraph, shapes

_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Steps of a cell in which distances are compared: plateaus of the digital distance are flat. No
# figure tells 16 from 256.
_LEVELS = 64
# Cells of the components that are looked at together. With 10,000, a frame of 50 objects that
# touch has 115 page faults, as the C library gives its memory back each time; with 5000 none.
_TOGETHER = 5000


def _grid_shape(component: Component) -> tuple[int, int]:
    """Return how many cells a component's box has: pixels, if it has at most ``grid_cells``."""
    x0, y0, x1, y1 = component.box
    scale = math.sqrt(max(component.area / algorithm.ALGORITHM.grid_cells, 1))
    return round((y1 - y0) / scale) or 1, round((x1 - x0) / scale) or 1


def scaled_contours(component: Component, shape: tuple[int, int]) -> Sequence[Hull]:
    """Return the contours of a component in an image of the box that has another shape."""
    rows, columns = shape
    if component.pixels is None:
        # From border to border of both, which no flip changes.
        x0, y0, x1, y1 = component.box
        wide, high = (columns - 1) / max(x1 - x0 - 1, 1), (rows - 1) / max(y1 - y0 - 1, 1)
        change = np.array([[wide, 0, -x0 * wide], [0, high, -y0 * high]])
        return [cv2.transform(contour, change) for contour in component.contours]
    image = cv2.resize(component.pixels * 255, (columns, rows), interpolation=cv2.INTER_AREA)
    return cv2.findContours(image, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]


def distance_map(component: Component) -> npt.NDArray[np.float32]:
    """
    Return the distance to the outline, on a grid that has about 700 cells in the component.

    The outline is drawn with dots of half a cell, and of each cell the largest distance is taken.
    So the time does not depend on the size of the picture; necks of any width stay, and so do
    gaps, as two outlines side by side.

    Parameters
    ----------
    component : Component
        Where to measure.

    Returns
    -------
    ndarray of shape (h' + 2, w' + 2), float32
        In cells, framed by zeros: at least half a cell inside.

    """
    distances, _ = _distance_maps([component])
    return distances


def _distance_maps(components: Sequence[Component],
                   ) -> tuple[npt.NDArray[np.float32], list[tuple[slice, slice]]]:
    """Return distance maps on one sheet, framed by zeros, and where each is without its frame."""
    shapes = [_grid_shape(component) for component in components]
    (height, width), places = _atlas(shapes)
    drawn = np.zeros((2 * height, 2 * width), np.uint8)
    for component, shape, (rows, columns) in zip(components, shapes, places, strict=True):
        # Pixels are drawn as they are, so that flips and turns change nothing.
        scale = 1 if component.area <= algorithm.ALGORITHM.grid_cells else 2
        image = np.zeros((scale * shape[0], scale * shape[1]), np.uint8)
        contours = scaled_contours(component, image.shape)
        cv2.drawContours(image, contours, -1, 2, cv2.FILLED)
        cv2.drawContours(image, contours, -1, 1, 1)
        if scale == 1:
            image = image.repeat(2, axis=0).repeat(2, axis=1)
        drawn[2 * rows.start:2 * rows.stop, 2 * columns.start:2 * columns.stop] = image
    fine: npt.NDArray[Any] = cv2.distanceTransform(drawn >> 1, cv2.DIST_L2, 5)
    fine += drawn > 0
    distances = np.maximum(fine[::2], fine[1::2])
    distances = np.maximum(distances[:, ::2], distances[:, 1::2])
    distances /= 2
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


def basin_graphs(components: Iterable[Component]) -> Iterator[RegionGraph]:
    """
    Yield the basins of each component.

    Some components are looked at together: most are small, and take less time than a NumPy call.
    """
    together: list[Component] = []
    left = _TOGETHER
    for component in components:
        left -= math.prod(_grid_shape(component))
        if together and left < 0:
            yield from _basin_graphs(together)
            together, left = [], _TOGETHER - math.prod(_grid_shape(component))
        together.append(component)
    if together:
        yield from _basin_graphs(together)


def _basin_graphs(components: Sequence[Component]) -> Iterator[RegionGraph]:
    """Yield the basins of each component, of all together."""
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
    for component, place, found, meetings_here in zip(components, places, regions, contacts,
                                                      strict=True):
        yield RegionGraph(distances[place], numbered[place], found, meetings_here,
                          component.area / sum(region.area for region in found))
