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

from .components import Component, components, Hull, hull_area

# A component is analysed on a grid on which it covers about this many cells, so that the cost
# does not grow with the picture; 700 to 20000 cells split 170 photos equally well.
ANALYSIS_AREA = 1000
# The same limit for the box around a component: a thin diagonal covers little of its box.
ANALYSIS_BOX = 6 * ANALYSIS_AREA
# Hills whose saddle is higher than this part of the lower peak are one hill: ripples of the
# digital border, not necks.
RIPPLE = 0.9
# Where a cut is allowed: learned by benchmarks/learn.py, see docs/method.md. For 1, the squared
# concavities of the whole and of the parts, and the logarithm of the quotient of their sizes.
ALLOWED = (0.55, -6.0, 2.0, 0.135)

_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Region:
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


@dataclass(frozen=True)
class Border:
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
        Distance to the border in cells; 0 outside and on the outermost cells.
    basins : ndarray of shape (h, w), int32
        0 outside, 1..n the hills.
    regions : list of Region
        Region of hill k is ``regions[k - 1]``.
    links : dict of (int, int) to float
        Highest saddle between two hills that touch; the smaller label first.
    cell : float
        Pixels that a cell stands for.

    """

    depth: npt.NDArray[np.float32]
    basins: npt.NDArray[np.int32]
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


def depth_map(inside: npt.NDArray[np.uint8], area: int) -> npt.NDArray[np.float32]:
    """
    Return the distance to the border, on a grid of at most about ``ANALYSIS_AREA`` cells.

    Distances are measured on the full grid and reduced by their maximum, which keeps necks of
    any width: reducing the mask itself lost 0.02 PQ.

    Parameters
    ----------
    inside : ndarray of shape (h + 2, w + 2), uint8
        Non-zero on the component, with a border of zeros.
    area : int
        Pixels of the component.

    Returns
    -------
    ndarray of shape (h' + 2, w' + 2), float32
        In cells of the reduced grid, with a border of zeros.

    """
    depth: npt.NDArray[Any] = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    scale = math.sqrt(max(area / ANALYSIS_AREA, inside.size / ANALYSIS_BOX))
    if scale <= 1:
        return depth
    side = math.ceil(scale) | 1
    cv2.dilate(depth, np.ones((side, side), np.uint8), dst=depth)
    height, width = inside.shape[0] - 2, inside.shape[1] - 2
    rows = _cells(round(height / scale) or 1, height) + 1
    columns = _cells(round(width / scale) or 1, width) + 1
    reduced = depth.take(rows, axis=0).take(columns, axis=1)
    reduced /= np.float32(scale)
    framed = np.zeros((len(rows) + 2, len(columns) + 2), np.float32)
    framed[1:-1, 1:-1] = reduced
    return framed


def _cells(count: int, size: int) -> npt.NDArray[np.intp]:
    """Return the indices of ``count`` samples spread evenly, and symmetrically, over ``size``."""
    return ((np.arange(count) * 2 + 1) * size // (2 * count)).astype(np.intp)


def hills(depth: npt.NDArray[np.float32],
          ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
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
    labels : ndarray of shape (h, w), int32
        0 where ``depth`` is 0, otherwise 1..n.
    peaks : ndarray of shape (n + 1,), int64
        Where the peak of each label is in the flat image; 0 for label 0.

    """
    outside = depth == 0
    # The digital distance map has ripples; a little smoothing removes most of the tiny hills.
    smooth = cv2.GaussianBlur(depth, (3, 3), 0)
    size = 1 << depth.size.bit_length()
    here = np.arange(depth.size)
    keys = np.rint(smooth * 64).astype(np.float64)
    keys *= size
    keys += here.reshape(depth.shape)
    keys[outside] = 0
    up = cv2.dilate(keys, _NEIGHBOURS).astype(np.intp)
    up &= size - 1
    up[outside] = 0
    up = up.ravel()
    # Cell 0 is outside: its peak is itself.
    peaks = np.flatnonzero(up == here)
    while True:
        further = up[up]
        if (further == up).all():
            break
        up = further
    numbers = np.zeros(len(up), np.int32)
    numbers[peaks] = here[:len(peaks)]
    return numbers[up].reshape(depth.shape), peaks


def saddles(depth: npt.NDArray[np.float32], labels: npt.NDArray[np.int32],
            ) -> list[tuple[float, int, int]]:
    """
    Return the highest saddle between every two labels that touch, highest first.

    Parameters
    ----------
    depth : ndarray of shape (h, w), float32
        As for :func:`hills`.
    labels : ndarray of shape (h, w), int32
        As from :func:`hills`.

    Returns
    -------
    list of (saddle, label, label)
        The first label is the smaller.

    """
    # Only cells beside a higher label: float32, which dilation takes, is exact up to 2**24.
    flat, heights = labels.ravel(), depth.ravel()
    high = cv2.dilate(labels.astype(np.float32), _NEIGHBOURS).ravel()
    cells = np.flatnonzero(high > flat)
    cells = cells[flat[cells] > 0]
    if not len(cells):
        return []
    width = labels.shape[1]
    beside = cells[:, None] + np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width,
                                        width + 1])
    other = flat[beside]
    at, side = np.nonzero(other > flat[cells][:, None])
    pair = flat[cells[at]].astype(np.int64) << 32 | other[at, side]
    height = np.minimum(heights[cells[at]], heights[beside[at, side]])
    order = np.argsort(pair, kind='stable')
    pair, height = pair[order], height[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    found = zip((-np.maximum.reduceat(height, first)).tolist(), pair[first].tolist(), strict=True)
    return [(-s, p >> 32, p & 0xFFFFFFFF) for s, p in sorted(found)]


def union(one: Region, other: Region) -> Region:
    """Return two parts as one."""
    hull = cv2.convexHull(np.concatenate([one.hull, other.hull]))
    return Region(max(one.peak, other.peak), one.area + other.area, hull, hull_area(hull))


def judge(saddle: float, one: Region, other: Region) -> Border:
    """
    Return the border between two parts and how clear a cut it would be.

    A narrow neck is what tells two objects from one, but how narrow depends on the shapes: where
    the whole is very concave it has limbs, and only the narrowest necks are cuts, unless the
    parts are just as concave by themselves.
    """
    both = union(one, other)
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
    depths = [depth_map(np.ascontiguousarray(turn.of(component.inside)), component.area)
              for turn, component in zip(turns, components, strict=True)]
    places, shape = _pack([depth.shape for depth in depths])
    sheet = np.zeros(shape, np.float32)
    owners = np.zeros(shape, np.int32)
    for k, (place, depth) in enumerate(zip(places, depths, strict=True)):
        sheet[place] = depth
        owners[place] = k
    labels, tops = hills(sheet)
    peaks = sheet.ravel()[tops]
    borders = saddles(sheet, labels)
    parent = np.array(_join_ripples(peaks.tolist(), borders))
    # Number the joined hills of each component from 1.
    roots = np.flatnonzero(parent == np.arange(len(parent)))[1:]
    owner = owners.ravel()[tops[roots]]
    order = np.argsort(owner, kind='stable')
    roots, owner = roots[order], owner[order]
    counts = np.bincount(owner, minlength=len(depths))
    starts = np.cumsum(counts) - counts
    numbers = np.zeros(len(parent), np.int32)
    numbers[roots] = np.arange(len(roots)) - starts[owner] + 1
    numbers = numbers[parent]
    basins = numbers[labels]
    cells = np.bincount(parent[labels].ravel(), minlength=len(parent))[roots].tolist()
    heights = peaks[roots].tolist()
    links: list[dict[tuple[int, int], float]] = [{} for _ in depths]
    if borders:
        ends = np.array([(a, b) for _, a, b in borders])
        which = owners.ravel()[tops[ends[:, 0]]].tolist()
        pairs = np.sort(numbers[ends], axis=1).tolist()
        for (saddle, _, _), k, (a, b) in zip(borders, which, pairs, strict=True):
            if a != b:
                links[k].setdefault((a, b), saddle)
    surveys = []
    for k, (place, component) in enumerate(zip(places, components, strict=True)):
        start, count = int(starts[k]), int(counts[k])
        here = basins[place]
        regions = []
        for n in range(count):
            # Without a second hill nobody asks for the hull.
            hull = _hull(here == n + 1) if count > 1 else np.empty((0, 1, 2), np.int32)
            regions.append(Region(heights[start + n], float(cells[start + n]), hull,
                                  hull_area(hull) if count > 1 else 0.0))
        surveys.append(Survey(turns[k].back(sheet[place]), turns[k].back(here), regions, links[k],
                              component.area / sum(cells[start:start + count])))
    return surveys


def _hull(pixels: npt.NDArray[np.bool_]) -> Hull:
    """Return the convex hull through the centres of pixels."""
    contours, _ = cv2.findContours(pixels.view(np.uint8), cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_SIMPLE)
    return cv2.convexHull(contours[0] if len(contours) == 1 else np.concatenate(contours))


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
    heap: list[tuple[float, int, int, int, Border]] = []
    turns = count_up()

    def meet(a: int, b: int, saddle: float) -> None:
        one, other = alive[a], alive[b]
        small = min(one.area, other.area) * found.cell < min_area
        border = Border(saddle) if small else judge(saddle, one, other)
        around[a][b] = around[b][a] = border
        # Of borders that must go, the widest goes first.
        key = -border.ratio if border.ratio < math.inf else -1e9 - saddle
        heapq.heappush(heap, (key, min(a, b), max(a, b), next(turns), border))

    for (a, b), saddle in found.links.items():
        meet(a, b, saddle)
    joined = []
    while heap:
        _, a, b, _, border = heapq.heappop(heap)
        if around.get(a, {}).get(b) is not border:
            continue
        if border.ratio < dist_threshold:
            break
        joined.append((border, a, b))
        parent[b] = a
        alive[a] = union(alive[a], alive.pop(b))
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
        At most 65535.
    component : Component
        What they are parts of.
    min_area : int
        A part that turns out to have fewer pixels goes to its neighbours.

    Returns
    -------
    list of (int, Component)
        The parts that are left, at least one, each one 8-connected piece.

    """
    inside = component.inside[1:-1, 1:-1]
    x0, y0, _, _ = component.box
    cells = parts.group.astype(np.uint16)[parts.survey.basins]
    rows, columns = _cell_of_each(inside.shape, cells)
    labels = spread(cells, inside.shape)
    labels *= inside
    painted: dict[int, Component] = {}
    for k in range(1, len(parts) + 1):
        x, y, w, h = cv2.boundingRect((cells == k).view(np.uint8))
        top, bottom = np.searchsorted(rows, (y, y + h)).tolist()
        left, right = np.searchsorted(columns, (x, x + w)).tolist()
        piece = _main_piece(labels[top:bottom, left:right], k, (x0 + left, y0 + top), min_area)
        if piece:
            painted[k] = piece
    if not painted:
        return [(1, component)]
    if sum(piece.area for piece in painted.values()) < component.area:
        for k in _give_away(labels, inside):
            piece = _main_piece(labels, k, (x0, y0), 1)
            assert piece
            painted[k] = piece
    return list(painted.items())


def _main_piece(labels: npt.NDArray[np.uint16], label: int, corner: tuple[int, int],
                min_area: int) -> Component | None:
    """
    Return the largest piece of a label in a crop, if it is large enough.

    Seen on the full grid, a part can have crumbs behind a border: they lose their label, and so
    does what is too small.
    """
    x0, y0 = corner[0] - 1, corner[1] - 1
    pixels = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), np.uint8)
    np.equal(labels, label, out=pixels[1:-1, 1:-1].view(np.bool_))
    contours, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                           offset=(x0, y0))
    if hierarchy is None:
        return None
    outer = [contour for contour, (_, _, _, of) in zip(contours, hierarchy[0].tolist(),
                                                       strict=True) if of < 0]
    main = max(outer, key=cv2.contourArea)
    for crumb in outer:
        if crumb is not main:
            cv2.drawContours(pixels, [crumb], 0, 0, cv2.FILLED, offset=(-x0, -y0))
    area = cv2.countNonZero(pixels)
    if area < max(min_area, 1):
        labels[labels == label] = 0
        return None
    if len(outer) > 1:
        labels[(labels == label) & (pixels[1:-1, 1:-1] == 0)] = 0
    x, y, w, h = cv2.boundingRect(main)
    return Component(area, (x, y, x + w, y + h), main,
                     pixels[y - y0 - 1:y - y0 + h + 1, x - x0 - 1:x - x0 + w + 1], hollow=True)


def _give_away(labels: npt.NDArray[np.uint16], inside: npt.NDArray[np.uint8]) -> set[int]:
    """Give each piece that has no label to the label it touches most; return which grew."""
    grown: set[int] = set()
    left = list(components(inside * (labels == 0), 1))
    while left:
        waiting = []
        for piece in left:
            x0, y0, x1, y1 = piece.box
            x0, y0 = max(x0 - 1, 0), max(y0 - 1, 0)
            around = labels[y0:y1 + 1, x0:x1 + 1]
            pixels = piece.inside[y0 - piece.box[1] + 1:, x0 - piece.box[0] + 1:][
                :around.shape[0], :around.shape[1]]
            votes = np.bincount(around[cv2.dilate(pixels, _NEIGHBOURS) != 0])
            votes[0] = 0
            if votes.any():
                best = int(votes.argmax())
                around[pixels != 0] = best
                grown.add(best)
            else:
                waiting.append(piece)
        if len(waiting) == len(left):
            break
        left = waiting
    return grown


def spread(cells: npt.NDArray, shape: tuple[int, ...]) -> npt.NDArray:
    """
    Enlarge a reduced grid with a border to the pixels of a crop.

    Parameters
    ----------
    cells : ndarray of shape (h' + 2, w' + 2)
        The border is left out.
    shape : tuple of int
        (h, w) of the crop.

    Returns
    -------
    ndarray of shape (h, w)

    """
    rows, columns = _cell_of_each(shape, cells)
    return cells.take(columns, axis=1).take(rows, axis=0)


def _cell_of_each(shape: tuple[int, ...], cells: npt.NDArray,
                  ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return in which row of cells each row of pixels lies, and the same for columns."""
    return (_cells(shape[0], cells.shape[0] - 2) + 1, _cells(shape[1], cells.shape[1] - 2) + 1)


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
