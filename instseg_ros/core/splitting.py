"""
Splitting: which parts of a component with holes are objects of their own.

What has no holes is cut by :mod:`.necks`. The distance of every pixel to the border of its
component has one hill for each part of the shape. Hills meet at necks. Hills are joined, the
least likely border first, until every border left is clear enough to be a cut;
``docs/method.md`` shows the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import heapq
from itertools import count as count_up
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .components import Component, Hull, hull_area

# A component is analysed on a grid on which it covers about this many cells, so that the cost
# does not grow with the picture; 700 to 20000 cells split 170 photos equally well.
ANALYSIS_AREA = 1000
# The same limit for the box around a component: a thin diagonal covers little of its box.
ANALYSIS_BOX = 6 * ANALYSIS_AREA
# Distances are measured on a grid of at least so many samples across a cell, or on all pixels. A
# sample is inside where its whole block is: no PQ is lost; where most of it is, 0.006.
SAMPLES = 2.5
# Where the samples inside cover less than this share of a component, it is thin strokes or full of
# specks, and measured on all pixels. In photos they cover at least 0.917.
COVERED = 0.9
# Hills whose saddle is higher than this part of the lower peak are one hill: ripples of the
# digital border, not necks.
RIPPLE = 0.85
# Where a cut is allowed: learned by benchmarks/learn.py, see docs/method.md. For 1, the squared
# concavities of the whole and of the parts, and the logarithm of the quotient of their sizes.
ALLOWED = (0.55, -6.0, 2.0, 0.135)

_NEIGHBOURS = np.ones((3, 3), np.uint8)


class Region(NamedTuple):
    """
    One part of a component: a basin or several joined.

    Attributes
    ----------
    peak : float
        Largest distance to the component's border: the half width of the part, in cells.
    area : float
        In cells.
    hull : ndarray of shape (K, 1, 2), int32
        Convex hull through the centres of the cells, x and y.
    hull_area : float
        Cells inside the hull.

    """

    peak: float
    area: float
    hull: Hull
    hull_area: float


class Border(NamedTuple):
    """
    Where two parts meet.

    Attributes
    ----------
    saddle : float
        Largest distance to the component's border on the common border: half the neck's width,
        in cells.
    neck : float
        The saddle over the peak of the slimmer part.
    whole, parts : float
        Concavity (the share of the hull that is not covered) of the two parts as one, and of
        both by themselves.
    ratio : float
        The neck over what the shapes allow; a cut is made where it is below ``dist_threshold``.
        Infinite where a part is too small to stand alone.

    """

    saddle: float
    neck: float = 0.0
    whole: float = 0.0
    parts: float = 0.0
    ratio: float = math.inf


@dataclass(frozen=True)
class Survey:
    """
    The hills of one component.

    Attributes
    ----------
    depth : ndarray of shape (h, w), float32
        Distance to the border in cells; 0 outside.
    basins : ndarray of shape (h, w), uint16
        0 outside, 1..n the hills, which reach into the cells around them.
    regions : list of Region
        Region of hill k is ``regions[k - 1]``.
    links : dict of (int, int) to float
        Highest saddle between two hills that touch; the smaller label first.
    cell : float
        Pixels that a cell stands for.

    """

    depth: npt.NDArray[np.float32]
    basins: npt.NDArray[np.uint16]
    regions: list[Region]
    links: dict[tuple[int, int], float]
    cell: float


@dataclass
class Parts:
    """
    The parts of one component.

    Attributes
    ----------
    survey : Survey
        The hills.
    group : ndarray of shape (n + 1,), int32
        Part of each hill, 0 for 0; the parts are 1..m.
    regions : list of Region
        Region of part k is ``regions[k - 1]``.
    cuts : dict of (int, int) to Border
        Borders between parts, by pairs of parts.
    joined : list of (Border, int, int)
        Borders that were given up, in order, with a hill of each side.

    """

    survey: Survey
    group: npt.NDArray[np.int32]
    regions: list[Region]
    cuts: dict[tuple[int, int], Border] = field(default_factory=dict)
    joined: list[tuple[Border, int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self.regions)

    def doubts(self, dist_threshold: float) -> list[float]:
        """
        Return how near the least clear cut of each part is to being none.

        Returns
        -------
        list of float
            The largest quotient of ratio and threshold of the part's cuts, 0 without cuts and
            nearly 1 at the threshold.

        """
        doubts = [0.0] * len(self)
        for pair, border in self.cuts.items():
            for part in pair:
                doubts[part - 1] = max(doubts[part - 1], border.ratio / dist_threshold)
        return doubts


def depth_map(component: Component, turn: _Turn) -> npt.NDArray[np.float32]:
    """
    Return the distance to the border, on a grid of at most about ``ANALYSIS_AREA`` cells.

    Distances are measured on a finer grid and reduced by their maximum, which keeps necks of any
    width.

    Parameters
    ----------
    component : Component
        Where to measure.
    turn : _Turn
        How the grid is to lie.

    Returns
    -------
    ndarray of shape (h' + 2, w' + 2), float32
        In cells of the reduced grid, with a border of zeros.

    """
    inside = component.inside
    scale = math.sqrt(max(component.area / ANALYSIS_AREA, inside.size / ANALYSIS_BOX))
    step = int(scale / SAMPLES) or 1
    samples = _samples(inside, step, turn)
    if cv2.countNonZero(samples) * step ** 2 < COVERED * component.area:
        step, samples = 1, _samples(inside, 1, turn)
    scale /= step
    depth: npt.NDArray[Any] = cv2.distanceTransform(samples, cv2.DIST_L2, 5)
    if scale <= 1:
        return depth
    side = math.ceil(scale) | 1
    cv2.dilate(depth, np.ones((side, side), np.uint8), dst=depth)
    rows, columns = (_cells(round((size - 2) / scale) or 1, size - 2) + 1 for size in depth.shape)
    reduced = np.zeros((len(rows) + 2, len(columns) + 2), np.float32)
    np.divide(depth.take(rows, axis=0).take(columns, axis=1), np.float32(scale),
              out=reduced[1:-1, 1:-1])
    return reduced


def _samples(inside: npt.NDArray[np.uint8], step: int, turn: _Turn) -> npt.NDArray[np.uint8]:
    """Return, turned, which blocks of ``step`` x ``step`` pixels are inside, with a border."""
    if step == 1:
        return np.ascontiguousarray(turn.of(inside))
    # The middle of a block that is flipped lies on the other side of its centre.
    blocks = cv2.erode(inside, np.ones((step, step), np.uint8), anchor=(
        (step - turn.flip_x) // 2, (step - turn.flip_y) // 2))
    middle = np.s_[1 + step // 2:-1:step]
    return np.asarray(cv2.copyMakeBorder(np.ascontiguousarray(turn.of(blocks)[middle, middle]),
                                         1, 1, 1, 1, cv2.BORDER_CONSTANT), np.uint8)


def _cells(count: int, size: int) -> npt.NDArray[np.intp]:
    """Return the indices of ``count`` samples spread evenly, and symmetrically, over ``size``."""
    return np.arange(size, 2 * count * size, 2 * size, dtype=np.intp) // (2 * count)


def hills(depth: npt.NDArray[np.float32],
          ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """
    Label every cell by the peak that steepest ascent leads to.

    Each cell points to its highest neighbour; following the pointers doubles the step each time
    (pointer jumping), so it ends after the logarithm of the longest way. Height and index go
    together through one dilation: the index, in the low bits, also decides between equals, so
    plateaus need no care.

    Parameters
    ----------
    depth : ndarray of shape (h, w), float32
        With a border of zeros.

    Returns
    -------
    labels : ndarray of shape (h, w), int64
        0 where ``depth`` is 0, otherwise 1..n.
    peaks : ndarray of shape (n + 1,), int64
        Where the peak of each label is in the flat image; 0 for label 0.

    """
    inside = depth > 0
    # The digital distance map has ripples; a little smoothing removes most of the tiny hills.
    smooth = cv2.GaussianBlur(depth, (3, 3), 0)
    size = 1 << depth.size.bit_length()
    keys = np.arange(depth.size, dtype=np.float64).reshape(depth.shape)
    keys += np.rint(smooth * 64) * size
    keys *= inside
    up = cv2.dilate(keys, _NEIGHBOURS).astype(np.intp)
    up &= size - 1
    up *= inside
    up = up.ravel()
    # Cell 0 is outside: its peak is itself.
    here = np.arange(len(up))
    peaks, = (up == here).nonzero()
    while True:
        further = up[up]
        if (further == up).all():
            break
        up = further
    numbers = np.zeros(len(up), np.intp)
    numbers[peaks] = here[:len(peaks)]
    return numbers[up].reshape(depth.shape), peaks


def saddles(depth: npt.NDArray[np.float32], labels: npt.NDArray[np.intp],
            ) -> list[tuple[float, int, int]]:
    """
    Return the highest saddle between every two labels that touch, highest first.

    Parameters
    ----------
    depth : ndarray of shape (h, w), float32
        As for :func:`hills`.
    labels : ndarray of shape (h, w), int64
        As from :func:`hills`.

    Returns
    -------
    list of (saddle, label, label)
        The first label is the smaller.

    """
    flat, heights = labels.ravel(), depth.ravel()
    inside = heights > 0
    width = labels.shape[1]
    # Each cell and the one to its right, then the three below: what lies beyond a border is zero.
    ones, others = [], []
    for step in (1, width - 1, width, width + 1):
        meet = flat[step:] != flat[:-step]
        meet &= inside[step:]
        meet &= inside[:-step]
        one, = meet.nonzero()
        ones.append(one)
        others.append(one + step)
    one, other = np.concatenate(ones), np.concatenate(others)
    if not len(one):
        return []
    height = np.minimum(heights[one], heights[other])
    one, other = flat[one], flat[other]
    pair = np.minimum(one, other) << 32 | np.maximum(one, other)
    order = pair.argsort(kind='stable')
    pair, height = pair[order], height[order]
    change, = (pair[1:] != pair[:-1]).nonzero()
    first = np.concatenate([[0], change + 1])
    found = zip(np.maximum.reduceat(height, first).tolist(), pair[first].tolist(), strict=True)
    return [(s, p >> 32, p & 0xFFFFFFFF) for s, p in sorted(found, key=lambda f: (-f[0], f[1]))]


def union(one: Region, other: Region) -> Region:
    """Return two parts as one."""
    hull = cv2.convexHull(np.concatenate([one.hull, other.hull]))
    return Region(max(one.peak, other.peak), one.area + other.area, hull, hull_area(hull))


def judge(saddle: float, one: Region, other: Region, both: Region) -> Border:
    """
    Return the border between two parts, ``both`` as one, and how clear a cut it would be.

    A narrow neck is what tells two objects from one, but how narrow depends on the shapes: where
    the whole is very concave it has limbs, and only the narrowest necks are cuts, unless the
    parts are just as concave by themselves.
    """
    neck = saddle / min(one.peak, other.peak)
    whole = max(0.0, 1 - both.area / both.hull_area)
    parts = max(0.0, 1 - both.area / (one.hull_area + other.hull_area))
    sizes = math.log(min(one.area, other.area) / max(one.area, other.area))
    allowed = math.exp(ALLOWED[0] + ALLOWED[1] * whole ** 2 + ALLOWED[2] * parts ** 2
                       + ALLOWED[3] * sizes)
    return Border(saddle, neck, whole, parts, neck / allowed)


def _join_ripples(peaks: list[float], borders: list[tuple[float, int, int]]) -> list[int]:
    """Return the representative of each hill after ripples are joined, highest saddle first."""
    parent = list(range(len(peaks)))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for saddle, a, b in borders:
        a, b = find(a), find(b)
        if a != b and saddle >= RIPPLE * min(peaks[a], peaks[b]):
            low, high = (a, b) if peaks[a] < peaks[b] else (b, a)
            parent[low] = high
    return [find(node) for node in range(len(peaks))]


def _pack(shapes: list[tuple[int, ...]]) -> tuple[list[tuple[slice, slice]], tuple[int, int]]:
    """Return places for rectangles on one sheet, row by row, and the sheet's shape."""
    width = max(max(w for _, w in shapes), round(math.sqrt(sum(h * w for h, w in shapes))))
    places: dict[int, tuple[slice, slice]] = {}
    top = bottom = left = 0
    for k in sorted(range(len(shapes)), key=lambda k: -shapes[k][0]):
        h, w = shapes[k]
        if left + w > width:
            top, left = bottom, 0
        places[k] = slice(top, top + h), slice(left, left + w)
        left += w
        bottom = max(bottom, top + h)
    return [places[k] for k in range(len(shapes))], (bottom, width)


class _Turn(NamedTuple):
    """How a component is laid before it is surveyed: flips first, then rows become columns."""

    flip_x: bool
    flip_y: bool
    transpose: bool

    def of(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of an image, turned."""
        image = image[::-1 if self.flip_y else 1, ::-1 if self.flip_x else 1]
        return image.T if self.transpose else image

    def back(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a turned image, turned back."""
        image = image.T if self.transpose else image
        return image[::-1 if self.flip_y else 1, ::-1 if self.flip_x else 1]


def _upright(component: Component) -> _Turn:
    """
    Return how to lay a component so that all its mirror images are laid alike.

    Equal heights are told apart by their place, which must not depend on how the camera is held:
    more of what the border encloses goes left, and up, and the longer side lies.
    """
    x0, y0, x1, y1 = component.box
    m = cv2.moments(component.contour)
    area = m['m00']
    # Sums over the same border from another start differ in the last digits.
    right, down, diagonal = (value if abs(value) > 1e-6 * area else 0.0 for value in (
        m['m10'] - (x0 + x1 - 1) / 2 * area, m['m01'] - (y0 + y1 - 1) / 2 * area, m['mu11']))
    if right == 0:
        right = diagonal * (down or 1)
    elif down == 0:
        down = diagonal * right
    tall = m['mu02'] - m['mu20'] > 1e-6 * area
    return _Turn(right > 0, down > 0, y1 - y0 > x1 - x0 or (y1 - y0 == x1 - x0 and tall))


def survey(components: Sequence[Component]) -> list[Survey]:
    """
    Find the hills of components, ripples joined, and the saddles between them.

    All components go over one sheet: most are small, and take less time than a NumPy call.
    """
    turns = [_upright(component) for component in components]
    depths = [depth_map(component, turn)
              for turn, component in zip(turns, components, strict=True)]
    places, shape = _pack([depth.shape for depth in depths])
    sheet = np.zeros(shape, np.float32)
    owners = np.zeros(shape, np.int32)
    for k, (place, depth) in enumerate(zip(places, depths, strict=True)):
        sheet[place] = depth
        owners[place] = k
    labels, tops = hills(sheet)
    peaks = sheet.ravel()[tops].tolist()
    owner = owners.ravel()[tops].tolist()
    borders = saddles(sheet, labels)
    parent = _join_ripples(peaks, borders)
    # Number the joined hills of each component from 1.
    numbers = [0] * len(parent)
    regions: list[list[Region]] = [[] for _ in depths]
    outlines = _outlines(np.array(parent)[labels])
    for top, (area, hull) in outlines.items():
        regions[owner[top]].append(Region(peaks[top], area, hull, hull_area(hull)))
        numbers[top] = len(regions[owner[top]])
    numbers = [numbers[top] for top in parent]
    basins = np.array(numbers, np.uint16)[labels]
    # A cell without a depth can still have pixels of the component, at its border.
    cv2.copyTo(cv2.dilate(basins, _NEIGHBOURS), (basins == 0).view(np.uint8), basins)
    links: list[dict[tuple[int, int], float]] = [{} for _ in depths]
    for saddle, a, b in borders:
        one, other = sorted((numbers[a], numbers[b]))
        if one != other:
            links[owner[a]].setdefault((one, other), saddle)
    return [Survey(turn.back(sheet[place][1:-1, 1:-1]), turn.back(basins[place][1:-1, 1:-1]),
                   found, meeting, component.area / sum(region.area for region in found))
            for turn, place, found, meeting, component in zip(
                turns, places, regions, links, components, strict=True)]


def _outlines(labels: npt.NDArray[np.intp]) -> dict[int, tuple[float, Hull]]:
    """Return how many cells each label has, and the convex hull through their centres."""
    flat = labels.ravel()
    last, = (flat[1:] != flat[:-1]).nonzero()
    areas = np.bincount(flat[last[1:]], last[1:] - last[:-1]).tolist()
    # Both ends of every run of cells along a row, and their neighbours outside: label 0.
    cells = np.concatenate([last, last + 1])
    label = flat[cells]
    cells = cells[label.argsort(kind='stable')]
    points = np.empty((len(cells), 2), np.int32)
    points[:, 1] = rows = cells // labels.shape[1]
    points[:, 0] = cells - rows * labels.shape[1]
    ends = np.bincount(label).cumsum().tolist()
    return {k: (areas[k], cv2.convexHull(points[ends[k - 1]:ends[k]]))
            for k in range(1, len(areas)) if areas[k]}


def join(found: Survey, dist_threshold: float, min_area: float) -> Parts:
    """
    Join hills, the least likely border first, until every border left is a cut.

    The order does not depend on ``dist_threshold``, so the parts at a lower threshold are unions
    of the parts at a higher one.

    Parameters
    ----------
    found : Survey
        The hills.
    dist_threshold : float
        Borders whose ratio is below are cuts: 0 none, higher more.
    min_area : float
        Parts of fewer pixels are joined to a neighbour, in pixels.

    Returns
    -------
    Parts

    """
    alive = dict(enumerate(found.regions, 1))
    parent = list(range(len(alive) + 1))
    around: dict[int, dict[int, Border]] = {k: {} for k in alive}
    heap: list[tuple[float, int, int, int, Border, Region]] = []
    turns = count_up()

    def meet(a: int, b: int, saddle: float) -> None:
        one, other = alive[a], alive[b]
        both = union(one, other)
        small = min(one.area, other.area) * found.cell < min_area
        border = Border(saddle) if small else judge(saddle, one, other, both)
        around[a][b] = around[b][a] = border
        # Of borders that must go, the widest goes first.
        key = -border.ratio if border.ratio < math.inf else -1e9 - saddle
        heapq.heappush(heap, (key, min(a, b), max(a, b), next(turns), border, both))

    for (a, b), saddle in found.links.items():
        meet(a, b, saddle)
    joined = []
    while heap:
        _, a, b, _, border, both = heapq.heappop(heap)
        if around.get(a, {}).get(b) is not border:
            continue
        if border.ratio < dist_threshold:
            break
        joined.append((border, a, b))
        parent[b] = a
        alive[a] = both
        del alive[b]
        beside = around.pop(b)
        for c, other in around[a].items():
            beside[c] = Border(max(other.saddle, beside[c].saddle)) if c in beside else other
        around[a] = {}
        for c in beside.keys() - {a, b}:
            around[c].pop(b, None)
            meet(a, c, beside[c].saddle)
    numbers = {k: n for n, k in enumerate(alive, 1)}
    group = np.zeros(len(parent), np.int32)
    for k in range(1, len(parent)):
        root = k
        while parent[root] != root:
            root = parent[root]
        group[k] = numbers[root]
    cuts = {(numbers[a], numbers[b]): border for a in alive for b, border in around[a].items()
            if a < b}
    return Parts(found, group, list(alive.values()), cuts, joined)


def split(components: Sequence[Component], dist_threshold: float, min_area: int, room: int,
          ) -> list[list[tuple[Component, float]]]:
    """
    Cut components between their parts.

    Parameters
    ----------
    components : sequence of Component
        What to cut.
    dist_threshold, min_area
        As of :func:`join`.
    room : int
        No more cuts are made.

    Returns
    -------
    list of list of (Component, float)
        The parts of each component, at least one, and the doubts of their cuts.

    """
    done = []
    for component, found in zip(components, survey(components), strict=True):
        parts = join(found, dist_threshold, min_area)
        pieces = [(component, 0.0)]
        if 1 < len(parts) <= room + 1:
            doubts = parts.doubts(dist_threshold)
            pieces = [(piece, doubts[part - 1])
                      for part, piece in paint(parts, component, min_area)]
            room -= len(pieces) - 1
        done.append(pieces)
    return done


def paint(parts: Parts, component: Component, min_area: int) -> list[tuple[int, Component]]:
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
        The parts that are left, at least one, each one 8-connected piece. Where crumbs were
        added to a part, their borders follow its own.

    """
    x0, y0, x1, y1 = component.box
    width, height = x1 - x0, y1 - y0
    inside = component.inside
    rest = len(parts) + 1
    kind = np.min_scalar_type(rest)
    cells = parts.group.astype(kind).take(parts.survey.basins)
    rows, columns = cells.shape
    labels = np.zeros(inside.shape, kind)
    np.multiply(spread(cells, (height, width)), inside[1:-1, 1:-1], out=labels[1:-1, 1:-1])
    # What is too far from any hill is in crumbs from the start.
    far = cv2.countNonZero(labels) < component.area
    if far:
        labels[(labels == 0) & (inside != 0)] = rest
    painted: dict[int, Component] = {}
    crumbs: list[_Crumb] = []
    for k in range(1, rest):
        x, y, w, h = cv2.boundingRect((cells == k).view(np.uint8))
        left, right = _first(x, columns, width), _first(x + w, columns, width) + 2
        top, bottom = _first(y, rows, height), _first(y + h, rows, height) + 2
        piece = _main_piece(labels[top:bottom, left:right], k, (x0 + left - 1, y0 + top - 1),
                            min_area, crumbs)
        if piece:
            painted[k] = piece
    if not painted:
        return [(1, component)]
    if far:
        _main_piece(labels, rest, (x0 - 1, y0 - 1), component.area, crumbs)
    for k, given in _give_away(crumbs).items():
        border = np.concatenate([painted[k].contour, *(crumb.contour for crumb in given)])
        x, y, w, h = cv2.boundingRect(border)
        pixels = (labels[y - y0:y - y0 + h + 2, x - x0:x - x0 + w + 2] == k).view(np.uint8)
        painted[k] = Component(cv2.countNonZero(pixels), (x, y, x + w, y + h), border, pixels,
                               hollow=True)
    return list(painted.items())


def _first(cell: int, count: int, size: int) -> int:
    """Return which of ``size`` pixels is the first of a cell of ``count``; past the last, size."""
    return -((count - 2 * cell * size) // (2 * count))


class _Crumb(NamedTuple):
    """A piece that lost its label: border, pixels (1, framed by 0) and labels at that place."""

    contour: Hull
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]


def _main_piece(labels: npt.NDArray[Any], label: int, corner: tuple[int, int], min_area: int,
                crumbs: list[_Crumb]) -> Component | None:
    """
    Return the largest piece of a label in a crop with a border, if it is large enough.

    Seen on the full grid, a part can have crumbs behind a border: they lose their label and are
    added to ``crumbs``, and so is what is too small.
    """
    pixels = (labels == label).view(np.uint8)
    contours, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                           offset=corner)
    if hierarchy is None:
        return None
    outer = [k for k, (_, _, _, of) in enumerate(hierarchy[0].tolist()) if of < 0]
    outer.sort(key=lambda k: cv2.contourArea(contours[k]))
    for k in outer:
        x, y, w, h = cv2.boundingRect(contours[k])
        place = np.s_[y - corner[1] - 1:y - corner[1] + h + 1,
                      x - corner[0] - 1:x - corner[0] + w + 1]
        here = pixels[place]
        if k == outer[-1]:
            area = cv2.countNonZero(here)
            if area >= max(min_area, 1):
                return Component(area, (x, y, x + w, y + h), contours[k], here, hollow=True)
        crumb = np.zeros(here.shape, np.uint8)
        cv2.drawContours(crumb, contours, k, 1, cv2.FILLED, hierarchy=hierarchy, maxLevel=1,
                         offset=(1 - x, 1 - y))
        here -= crumb
        labels[place] *= 1 - crumb
        crumbs.append(_Crumb(contours[k], crumb, labels[place]))
    return None


def _give_away(crumbs: list[_Crumb]) -> dict[int, list[_Crumb]]:
    """Give each crumb to the label it touches most; return which got what."""
    given: dict[int, list[_Crumb]] = {}
    while crumbs:
        waiting = []
        for crumb in crumbs:
            votes = np.bincount(crumb.labels[cv2.dilate(crumb.pixels, _NEIGHBOURS) != 0])
            votes[0] = 0
            if votes.any():
                best = int(votes.argmax())
                crumb.labels[crumb.pixels != 0] = best
                given.setdefault(best, []).append(crumb)
            else:
                waiting.append(crumb)
        if len(waiting) == len(crumbs):
            break
        crumbs = waiting
    return given


def spread(cells: npt.NDArray, shape: tuple[int, ...]) -> npt.NDArray:
    """
    Enlarge a reduced grid to the pixels of a crop.

    Parameters
    ----------
    cells : ndarray of shape (h', w')
        Of any kind.
    shape : tuple of int
        (h, w) of the crop.

    Returns
    -------
    ndarray of shape (h, w)

    """
    rows, columns = (_cells(*sizes) for sizes in zip(shape, cells.shape, strict=True))
    return cells.take(columns, axis=1).take(rows, axis=0)


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
