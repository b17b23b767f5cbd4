"""
Necks: where the outer border of a component comes near itself.

Two objects that touch leave a pocket on each side of the place: between the border and its
convex hull. Where the bottoms of two pockets are near each other is the neck. If no two are, it is
between a bottom and the point of the border across from it: from each bottom the border is walked
around in the same number of steps, however long it is, so all pockets of all components are rows
of one table. What has holes has no one border, and is left to :mod:`.splitting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .components import Component, Hull
from .splitting import Border

# Where a cut is allowed: as splitting.ALLOWED, for half widths as they are measured here; and for
# the logarithm of slimness: slim sides that meet end to end, not side by side, are one long thing.
ALLOWED = (0.9, -6.0, 2.0, 0.135, -2.0)
# Where a neck between two bottoms is so clear, as a dist_threshold, no other is looked for; with
# 0.7, nuclei lose 0.005.
_CLEAR = 0.4
# More concave components have limbs: their necks lie between two bottoms, none across from one.
_LIMBS = 0.3
# Slim is what has more than so many times the area of a disc of its width, and whose centroids
# are farther from each other than so many times what two discs side by side are.
_SLIM = 2.0
# Pockets less deep are ripples of the border, as a part of the root of the area; a pixel deep
# are those of any digital border.
_RIPPLE = 0.15
# So many pockets of a component are looked at, the deepest.
_POCKETS = 4
# Steps around a border; 64 to 256 give about the same quality.
_STEPS = 96
_SIDES = np.array([np.arange(1, _STEPS), np.arange(_STEPS - 1, 0, -1)])[:, None] / _STEPS
# Where necks are measured around the best step, in steps.
_FINE = np.linspace(-1, 1, 17)
# Pockets that are measured together.
_TOGETHER = 1 << 10
# Steps along and across pixels overestimate the length of a slanting border by so much, on
# average over all directions (Vossepoel and Smeulders 1982).
_LENGTH = 0.948


class Cut(NamedTuple):
    """A cut from one pixel of the outer border to another, x and y."""

    border: Border
    start: tuple[int, int]
    end: tuple[int, int]


class Piece(NamedTuple):
    """A component or a part of one, which one, and the cuts that freed it."""

    component: Component
    whole: int  # Its place in the list of components.
    cuts: tuple[Cut, ...] = ()


class _Neck(NamedTuple):
    """A possible cut: from vertex ``start`` to the pixel ``end`` on the edge after ``edge``."""

    start: int
    edge: int
    end: tuple[int, int]
    ahead: bool  # Whether the smaller side lies from start to edge.
    width: float
    neck: float
    allowed: float  # Logarithm of what the sizes and shapes of the sides add.


def split(components: Sequence[Component], dist_threshold: float, min_area: int, room: int,
          labels: npt.NDArray[np.uint16] | None = None, first: int = 1) -> list[Piece]:
    """
    Label components, and cut them at their necks, the clearest first, until none is clear enough.

    What is cut does not depend on ``dist_threshold``, only how far cutting goes: the parts at a
    higher threshold are parts of those at a lower one. What has holes stays whole.

    Parameters
    ----------
    components : sequence of Component
        Of one image.
    dist_threshold : float
        Cuts are made where :attr:`.splitting.Border.ratio` is below.
    min_area : int
        No part has fewer pixels.
    room : int
        No more cuts are made.
    labels : ndarray of shape (H, W), uint16, optional
        Where to paint the parts, as large as the image.
    first : int
        Number of the first part in ``labels``; the others follow.

    Returns
    -------
    list of Piece
        The parts in the order of their numbers.

    """
    if labels is None:
        labels = np.zeros([max((component.box[side] for component in components), default=0)
                           for side in (3, 2)], np.uint16)
    for number, component in enumerate(components, first):
        component.paint(labels, number)
    pieces = [Piece(component, whole) for whole, component in enumerate(components)]
    waiting = list(range(len(pieces))) if dist_threshold > 0 else []
    while True:
        waiting = [k for k in waiting if not pieces[k].component.hollow
                   and pieces[k].component.may_be_two(min_area)]
        necks = _necks([pieces[k].component for k in waiting], dist_threshold, min_area)
        further: list[int] = []
        for n, neck in sorted(necks.items()):
            if not room:
                break
            k, other = waiting[n], len(pieces)
            halves = _parted(pieces[k], neck, dist_threshold, min_area, labels, first + k,
                             first + other)
            if halves:
                pieces[k], last = halves
                pieces.append(last)
                further += k, other
                room -= 1
        if not further:
            return pieces
        waiting = further


def _parted(piece: Piece, neck: _Neck, dist_threshold: float, min_area: int,
            labels: npt.NDArray[np.uint16], number: int, other: int) -> tuple[Piece, Piece] | None:
    """Give one side of a neck another number; return both, or None if it is not clear enough."""
    whole = piece.component
    halves = _halves(whole, neck, min_area, labels, number, other)
    if halves:
        border = _judge(whole, halves, neck)
        if border.ratio < dist_threshold:
            x, y = whole.contour[neck.start, 0].tolist()
            cuts = *piece.cuts, Cut(border, (x, y), neck.end)
            return Piece(halves[0], piece.whole, cuts), Piece(halves[1], piece.whole, cuts)
    whole.paint(labels, number)
    return None


def _judge(component: Component, halves: tuple[Component, Component], neck: _Neck) -> Border:
    """Return how clear a cut is, as :func:`.splitting.judge` does for hills."""
    whole = max(0.0, 1 - component.area / component.hull_area)
    parts = max(0.0, 1 - component.area / (halves[0].hull_area + halves[1].hull_area))
    allowed = math.exp(ALLOWED[0] + ALLOWED[1] * whole ** 2 + ALLOWED[2] * parts ** 2
                       + neck.allowed)
    return Border(neck.width / 2, neck.neck, whole, parts, neck.neck / allowed)


def _halves(component: Component, neck: _Neck, min_area: int, labels: npt.NDArray[np.uint16],
            number: int, other: int) -> tuple[Component, Component] | None:
    """
    Give the smaller side of a neck another number.

    Returns both sides, or None if one is not in one piece or too small.
    """
    x0, y0, x1, y1 = component.box
    for line in _lines(neck.end, component.contour[neck.start, 0].tolist()):
        if labels[line[:, 0, 1], line[:, 0, 0]].tolist().count(number) == len(line):
            break
    else:
        return None
    # The smaller side has the line across: so it does not matter how the component lies.
    side = np.concatenate(
        [*_stretch(component.contour, neck.start, neck.edge), line] if neck.ahead else
        [*_stretch(component.contour, neck.edge + 1, neck.start), line[::-1]])
    cv2.drawContours(labels, [side], 0, other, cv2.FILLED)
    here = labels[y0:y1, x0:x1]
    rest = (here == number).view(np.uint8)
    borders = _borders(rest, x0, y0)
    if not borders:
        return None
    main = borders[0]
    if len(borders) > 1:
        # Crumbs behind the cut change sides.
        main = max(borders, key=cv2.contourArea)
        for border in borders:
            if border is not main:
                cv2.drawContours(labels, [border], 0, other, cv2.FILLED)
        rest = (here == number).view(np.uint8)
        sides = _borders((here == other).view(np.uint8), x0, y0)
        if len(sides) > 1:
            return None
        side = sides[0]
    area = cv2.countNonZero(rest)
    if min(area, component.area - area) < max(min_area, 1):
        return None
    return _bounded(area, main), _bounded(component.area - area, side)


def _lines(start: Sequence[int], end: Sequence[int]) -> Iterator[Hull]:
    """
    Yield the pixels on a line, the end excluded: halves rounded one way, and the other.

    In a mirror these change places. Versions of OpenCV draw slanting lines differently, those
    from pixel to pixel alike.
    """
    right, down = end[0] - start[0], end[1] - start[1]
    yield np.add(_way(right, down)[:-1], start, dtype=np.int32)
    yield np.add(_way(-right, -down)[:0:-1], end, dtype=np.int32)


@lru_cache(maxsize=1 << 12)
def _way(right: int, down: int) -> Hull:
    """Return the pixels on a line from 0, 0 to another pixel."""
    steps = max(abs(right), abs(down), 1)
    points = np.rint(np.arange(steps + 1) * (complex(right, down) / steps))
    return points.view(np.float64).astype(np.int32).reshape(-1, 1, 2)


def _borders(inside: npt.NDArray[np.uint8], x: int, y: int) -> Sequence[Hull]:
    """Return the outer borders of what is inside a crop whose corner is at x, y."""
    return cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))[0]


def _stretch(contour: Hull, first: int, last: int) -> tuple[Hull, ...]:
    """Return what must be put together for the vertices from one to another."""
    if first <= last:
        return contour[first:last + 1],
    return contour[first:], contour[:last + 1]


def _bounded(area: int, contour: Hull) -> Component:
    """Return the component within a border."""
    x, y, w, h = cv2.boundingRect(contour)
    return Component(area, (x, y, x + w, y + h), contour)


def _necks(components: Sequence[Component], dist_threshold: float, min_area: int,
           ) -> dict[int, _Neck]:
    """Return the most promising neck of each component, by the component's place in the list."""
    # A side is hardly more concave than the whole: what is not clear then needs no halves.
    limits = [math.exp(ALLOWED[0] + (ALLOWED[1] + ALLOWED[2]) * (
        1 - component.area / component.hull_area) ** 2) for component in components]
    found: dict[int, _Neck] = {}
    left: list[int] = []  # Those for the table.
    bottoms: list[tuple[int, int]] = []
    for k, component in enumerate(components):
        deep = _bottoms(component)
        neck = _between(component, deep, _CLEAR * limits[k], min_area)
        if neck:
            found[k] = neck
        elif deep and component.area > (1 - _LIMBS) * component.hull_area:
            bottoms += [(len(left), vertex) for vertex in deep]
            left.append(k)
    if not left:
        return found
    limits = [dist_threshold * limits[k] for k in left]
    outlines = _Outlines([components[k].contour for k in left])
    best: dict[int, _Across] = {}
    for start in range(0, len(bottoms), _TOGETHER):
        for one in outlines.across(bottoms[start:start + _TOGETHER], limits, min_area):
            if one.key < (best[one.owner].key if one.owner in best else limits[one.owner]):
                best[one.owner] = one
    found.update(zip([left[n] for n in best], outlines.necks(list(best.values())), strict=True))
    return found


def _bottoms(component: Component) -> list[int]:
    """
    Return the deepest vertices of each pocket between the border and its hull but ripples.

    In the order of the border.
    """
    contour = component.contour
    corners = cv2.convexHull(contour, returnPoints=False)
    # Where a border touches itself they may be out of order, which OpenCV refuses.
    corners.sort(axis=0)
    ripple = 256 * max(_RIPPLE * math.sqrt(component.area), 1)
    bottoms = _deepest(contour, corners, ripple)
    if bottoms:
        # Of equally deep ones OpenCV finds the first, and the last when it walks back. Both are
        # taken: in a mirror they change places.
        end = len(contour) - 1
        back = _deepest(contour[::-1].copy(), end - corners[::-1], ripple)
        bottoms = sorted({*bottoms, *(end - vertex for vertex in back)})
    return bottoms


def _deepest(contour: Hull, corners: npt.NDArray[Any], ripple: float) -> list[int]:
    """Return a vertex of each of the deepest pockets."""
    pockets = cv2.convexityDefects(contour, corners)
    if pockets is None:
        return []
    # OpenCV 4 and 5 differ in their shape.
    deep = [(-depth, vertex) for _, _, vertex, depth in pockets.reshape(-1, 4).tolist()
            if depth > ripple]
    return [vertex for _, vertex in sorted(deep)[:_POCKETS]]


def _between(component: Component, bottoms: Sequence[int], limit: float, min_area: int,
             ) -> _Neck | None:
    """
    Return the clearest neck between two bottoms, where its key is below a limit.

    Measured as in :meth:`_Outlines.across`, without the steps: few pairs are near each other.
    The bottoms come in the order of the border.
    """
    contour = component.contour
    places = {vertex: contour[vertex, 0].tolist() for vertex in bottoms}
    # The smaller side is at most a disc of half of the area.
    widest = limit * math.sqrt(2 * component.area / math.pi)
    near = [(first, last, width) for first, last in combinations(places, 2)
            if (width := math.dist(places[first], places[last])) < widest]
    whole = cv2.contourArea(contour, True) if near else 0.0
    if not whole:
        return None
    best, length = None, cv2.arcLength(contour, True)
    for first, last, width in near:
        stretch = contour[first:last + 1]
        part = cv2.contourArea(stretch, True)
        if not 0 < part / whole < 1:  # What turns the other way lies outside.
            continue
        border = cv2.arcLength(stretch, False)
        one, one_half = _side(border, abs(part), width)
        other, other_half = _side(length - border, abs(whole - part), width)
        if min(one, other) < max(min_area, 1):
            continue
        neck = (width + 1) / 2 / min(one_half, other_half)
        allowed = ALLOWED[3] * math.log(min(one, other) / max(one, other))
        slim = min(one / one_half ** 2, other / other_half ** 2) / math.pi
        if slim > _SLIM and neck * math.exp(-allowed) < limit:
            rest = np.concatenate([contour[last:], contour[:first + 1]])
            apart = math.dist(_centroid(stretch), _centroid(rest))
            allowed += ALLOWED[4] * math.log(max(min(
                slim, apart / (one_half + other_half)) / _SLIM, 1))
        key = neck * math.exp(-allowed)
        if key < limit:
            limit = key
            x, y = places[last]
            best = _Neck(first, last - 1, (x, y), one < other, width + 1, neck, allowed)
    return best


def _side(border: float, area: float, width: float) -> tuple[float, float]:
    """Return the pixels of one side of a neck, and its half width if it is a strip."""
    area += (border + width) / 2 + 1
    around = border * _LENGTH + width + math.pi
    return area, (around - math.sqrt(max(around ** 2 - 2 * math.tau * area, 0))) / math.tau


def _centroid(contour: Hull) -> tuple[float, float]:
    """Return the centroid of what a border encloses, x and y."""
    moments = cv2.moments(contour)
    return moments['m10'] / moments['m00'], moments['m01'] / moments['m00']


class _Across(NamedTuple):
    """What was measured from a vertex to the point across; ``way`` is how far along that is."""

    owner: int
    vertex: int
    way: float
    ahead: bool
    width: float
    neck: float
    allowed: float
    key: float  # neck over what its sides allow


class _Outlines:
    """
    The borders of components, each twice around, as one way along all of them.

    Attributes
    ----------
    points : ndarray of shape (V,), complex128
        The vertices, x + iy.
    way : ndarray of shape (V,), float64
        How far along they are; from border to border it is 1.
    sizes, starts : ndarray of shape (N,), int64
        Number of vertices, and the first, of each border.
    lengths : ndarray of shape (N,), float64
        Of each border, once around.

    """

    def __init__(self, contours: Sequence[Hull]) -> None:
        self.points = np.concatenate([part for contour in contours for part in (contour, contour)]
                                     ).astype(np.float64).view(np.complex128).ravel()
        self.sizes = np.array([len(contour) for contour in contours])
        self.starts = 2 * (self.sizes.cumsum() - self.sizes)
        steps = np.ones(self.points.shape)
        np.abs(self.points[1:] - self.points[:-1], out=steps[1:])
        steps[self.starts] = 1
        self.way = steps.cumsum()
        self.lengths = self.way[self.starts + self.sizes] - self.way[self.starts]

    def across(self, bottoms: Sequence[tuple[int, int]], limits: Sequence[float], min_area: int,
               ) -> list[_Across]:
        """Return the narrowest necks from vertices (component, vertex) that may be clear."""
        owner, vertex = np.array(bottoms).T
        first = self.starts[owner] + vertex
        # On both sides of the line to each point across: border, twice the area and, times tau,
        # half width.
        borders = self.lengths[owner][:, None] * _SIDES
        # Seen from the vertex.
        points = np.interp(self.way[first][:, None] + borders[0], self.way, self.points)
        points -= self.points[first][:, None]
        width = np.abs(points)
        # From point to point, triangles; OpenCV goes around so that these are mostly positive.
        twice = np.zeros(points.shape)
        twice[:, 1:] = (points[:, :-1] * points[:, 1:].conj()).imag
        turned = twice.cumsum(axis=1)
        areas = np.array([turned, turned[:, -1:] - turned])
        areas += borders
        areas += width + 2
        around = borders * _LENGTH
        around += width + math.pi
        halves = around ** 2 - math.tau * areas
        np.sqrt(np.maximum(halves, 0, out=halves), out=halves)
        np.subtract(around, halves, out=halves)
        # What turns the other way lies outside.
        fits = (np.minimum(*areas) >= 2 * max(min_area, 1)) & (turned > 0) & (
            turned < turned[:, -1:])
        necks = np.where(fits, (width + 1) * math.pi / np.minimum(*halves), math.inf)
        row, = (np.minimum.reduce(necks, axis=1) < np.array(limits)[owner]).nonzero()
        if not len(row):
            return []
        at = row, necks[row].argmin(axis=1)
        # Shapes of both sides: how slim, and how far their centroids are apart (Green's theorem).
        area, half = areas[:, *at], halves[:, *at] / math.tau
        moments = (twice[row, 1:] * (points[row, 1:] + points[row, :-1])).cumsum(axis=1)
        moment, part = moments[range(len(row)), at[1] - 1], turned[at]
        apart = np.abs(moment / part - (moments[:, -1] - moment) / (turned[row, -1] - part)) / 3
        slim = np.minimum(np.minimum(*area / half ** 2) / math.tau, apart / (half[0] + half[1]))
        allowed = (ALLOWED[3] * np.log(np.minimum(*area) / np.maximum(*area))
                   + ALLOWED[4] * np.log(np.maximum(slim / _SLIM, 1)))
        neck = necks[at]
        figures = (borders[0][at], area[0] < area[1], width[at], neck, allowed,
                   neck * np.exp(-allowed))
        return [_Across(*bottoms[n], *measured) for n, *measured in zip(
            row.tolist(), *(figure.tolist() for figure in figures), strict=True)]

    def necks(self, found: Sequence[_Across]) -> list[_Neck]:
        """Return what was measured, once more in smaller steps."""
        if not found:
            return []
        owner = np.array([one.owner for one in found])
        start = self.starts[owner]
        first = start + [one.vertex for one in found]
        ways = self.way[first][:, None] + np.array([one.way for one in found])[:, None]
        ways = ways + self.lengths[owner][:, None] * (_FINE / _STEPS)
        ends = np.interp(ways, self.way, self.points)
        widths = np.abs(ends - self.points[first][:, None])
        nearest = np.arange(len(found)), widths.argmin(axis=1)
        edges = np.searchsorted(self.way, ways[nearest], side='right') - 1 - start
        return [_Neck(one.vertex, edge, (round(end.real), round(end.imag)), one.ahead, width + 1,
                      one.neck * (width + 1) / (one.width + 1), one.allowed)
                for one, edge, end, width in zip(
                    found, (edges % self.sizes[owner]).tolist(), ends[nearest].tolist(),
                    widths[nearest].tolist(), strict=True)]
