"""
Necks: where the outer border of a component comes near itself.

Two objects that touch leave a pocket on each side of the place: between the border and its
convex hull. The bottom of a pocket and the point of the border across from it are the ends of a
neck. Only numbers along the border are needed, not a single pixel, so all components go through
each step together. What has holes has no one border, and is left to :mod:`.splitting`.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .components import Component, Hull, hull_area
from .splitting import Border

# Where a cut is allowed: as splitting.ALLOWED, for half widths as they are measured here; and for
# the logarithm of slimness: slim sides that meet end to end, not side by side, are one long thing.
ALLOWED = (0.9, -6.0, 2.0, 0.135, -2.0)
# Slim is what has more than so many times the area of a disc of its width, and whose centroids
# are farther from each other than so many times what two discs side by side are.
_SLIM = 2.0
# Pockets less deep are ripples of the border, as a part of the root of the area; a pixel deep
# are those of any digital border.
_RIPPLE = 0.12
# So many pockets of a component are looked at, the deepest.
_POCKETS = 16
# Pairs of a pocket and an edge that are measured together.
_TOGETHER = 1 << 17
# Steps along and across pixels overestimate the length of a slanting border by so much, on
# average over all directions (Vossepoel and Smeulders 1982).
_LENGTH = 0.948


class Cut(NamedTuple):
    """A cut from one pixel of the outer border to another, x and y."""

    border: Border
    start: tuple[int, int]
    end: tuple[int, int]


class Piece(NamedTuple):
    """A component or a part of one, and the cuts that freed it."""

    component: Component
    cuts: tuple[Cut, ...]


class _Neck(NamedTuple):
    """A possible cut: from vertex ``start`` to the pixel ``end`` on the edge after ``edge``."""

    start: int
    edge: int
    end: tuple[int, int]
    width: float
    neck: float
    allowed: float  # logarithm of what the sizes and shapes of the sides add


def split(components: Sequence[Component], dist_threshold: float, min_area: int, room: int,
          ) -> list[list[Piece]]:
    """
    Cut components at their necks, the clearest first, until no cut is clear enough.

    What is cut does not depend on ``dist_threshold``, only how far cutting goes: the parts at a
    higher threshold are parts of those at a lower one.

    Parameters
    ----------
    components : sequence of Component
        Without holes.
    dist_threshold : float
        Cuts are made where :attr:`.splitting.Border.ratio` is below.
    min_area : int
        No part has fewer pixels.
    room : int
        No more cuts are made.

    Returns
    -------
    list of list of Piece
        The parts of each component, at least one.

    """
    done: list[list[Piece]] = [[] for _ in components]
    waiting = [(k, Piece(component, ())) for k, component in enumerate(components)]
    while waiting:
        found = _necks([piece.component for _, piece in waiting], dist_threshold, min_area)
        further: list[tuple[int, Piece]] = []
        for n, (k, piece) in enumerate(waiting):
            halves = (_parted(piece, found[n], dist_threshold, min_area)
                      if n in found and room > 0 else None)
            if halves is None:
                done[k].append(piece)
                continue
            room -= 1
            for half in halves:
                if half.component.may_be_two(min_area):
                    further.append((k, half))
                else:
                    done[k].append(half)
        waiting = further
    return done


def _parted(piece: Piece, neck: _Neck, dist_threshold: float, min_area: int,
            ) -> tuple[Piece, Piece] | None:
    """Return the two sides of a neck, or None where it is not clear enough."""
    component = piece.component
    sides = _sides(component.contour, neck)
    border = _judge(component, sides, neck)
    if border.ratio >= dist_threshold:
        return None
    halves = _halves(component, sides[0], min_area)
    if not halves:
        return None
    x, y = component.contour[neck.start, 0].tolist()
    cuts = *piece.cuts, Cut(border, (x, y), neck.end)
    return Piece(halves[0], cuts), Piece(halves[1], cuts)


def _sides(contour: Hull, neck: _Neck) -> tuple[Hull, Hull]:
    """Return the borders of both sides of a neck, each closed by it."""
    end = np.array([[neck.end]], np.int32)
    start, edge = neck.start, neck.edge
    if edge < start:
        return (np.concatenate([end, contour[edge + 1:start + 1]]),
                np.concatenate([contour[start:], contour[:edge + 1], end]))
    return (np.concatenate([contour[start:edge + 1], end]),
            np.concatenate([end, contour[edge + 1:], contour[:start + 1]]))


def _judge(component: Component, sides: tuple[Hull, Hull], neck: _Neck) -> Border:
    """Return how clear a cut would be, as :func:`.splitting.judge` does for hills."""
    whole = max(0.0, 1 - component.area / component.hull_area)
    one, other = sides
    parts = max(0.0, 1 - component.area / (hull_area(cv2.convexHull(one))
                                           + hull_area(cv2.convexHull(other))))
    allowed = math.exp(ALLOWED[0] + ALLOWED[1] * whole ** 2 + ALLOWED[2] * parts ** 2
                       + neck.allowed)
    return Border(neck.width / 2, neck.neck, whole, parts, neck.neck / allowed)


def _halves(component: Component, side: Hull, min_area: int,
            ) -> tuple[Component, Component] | None:
    """Return one side of a component and the rest, if both are one piece and large enough."""
    x0, y0, _, _ = component.box
    inside, place = component.inside, (x0 - 1, y0 - 1)
    rest = inside.copy()
    cv2.drawContours(rest, [side], 0, 0, cv2.FILLED, offset=(1 - x0, 1 - y0))
    contours, _ = cv2.findContours(rest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    if len(contours) > 1:
        # Crumbs behind the cut change sides.
        main = max(contours, key=cv2.contourArea)
        rest[:] = 0
        cv2.drawContours(rest, [main], 0, 1, cv2.FILLED)
        contours = [main]
    other = inside - rest
    others, hierarchy = cv2.findContours(other, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(others) != 1:
        return None
    area = cv2.countNonZero(rest)
    if min(area, component.area - area) < max(min_area, 1):
        return None
    return (_framed(rest, contours[0], area, place),
            _framed(other, others[0], component.area - area, place))


def _framed(pixels: npt.NDArray[np.uint8], contour: Hull, area: int, place: tuple[int, int],
            ) -> Component:
    """Return a component of what is in a crop at ``place``."""
    x, y, w, h = cv2.boundingRect(contour)
    left, top = x + place[0], y + place[1]
    return Component(area, (left, top, left + w, top + h), contour + np.array(place, np.int32),
                     pixels[y - 1:y + h + 1, x - 1:x + w + 1])


def _necks(components: Sequence[Component], dist_threshold: float, min_area: int,
           ) -> dict[int, _Neck]:
    """Return the most promising neck of each component, by the component's place in the list."""
    sizes = np.array([len(component.contour) for component in components])
    hulls = [cv2.convexHull(component.contour, returnPoints=False).ravel()
             for component in components]
    outline = _Outline(np.concatenate([component.contour for component in components]), sizes)
    ripples = np.maximum(_RIPPLE * np.sqrt([component.area for component in components]), 1)
    bottoms = _bottoms(outline, hulls, ripples)
    if not len(bottoms):
        return {}
    # A side is hardly more concave than the whole: what is not clear then needs no hulls.
    limit = np.array([dist_threshold * math.exp(
        ALLOWED[0] + (ALLOWED[1] + ALLOWED[2]) * (1 - component.area / component.hull_area) ** 2)
        for component in components])
    pairs = np.cumsum(sizes[outline.owner[bottoms]])
    groups = ([bottoms] if pairs[-1] <= _TOGETHER else
              np.split(bottoms, np.flatnonzero(np.diff(pairs // _TOGETHER)) + 1))
    found: dict[int, tuple[float, _Neck]] = {}
    for group in groups:
        for k, key, neck in outline.across(group, min_area, limit):
            if k not in found or key < found[k][0]:
                found[k] = key, neck
    return {k: neck for k, (_, neck) in found.items()}


def _bottoms(outline: _Outline, hulls: list[npt.NDArray[Any]], ripples: npt.NDArray[np.float64],
             ) -> npt.NDArray[np.intp]:
    """Return the deepest vertex of each pocket between a border and its hull but ripples."""
    x, y, owner = outline.x, outline.y, outline.owner
    counts = np.array([len(hull) for hull in hulls])
    ends = np.cumsum(counts)
    corners = np.concatenate(hulls) + np.repeat(outline.starts, counts)
    corners.sort()
    before = np.searchsorted(corners, np.arange(len(x)), side='right') - 1
    first, last = (ends - counts)[owner], ends[owner] - 1
    before = np.where(before < first, last, before)
    one, other = corners[before], corners[np.where(before == last, first, before + 1)]
    dx, dy = x[other] - x[one], y[other] - y[one]
    depth = np.abs(dx * (y - y[one]) - dy * (x - x[one])) / np.maximum(np.hypot(dx, dy), 1)
    deep = np.flatnonzero(depth > ripples[owner])
    deep = deep[np.lexsort((depth[deep], before[deep]))]
    bottoms = deep[np.diff(before[deep], append=-1) != 0]
    if len(bottoms) > _POCKETS:
        bottoms = bottoms[np.lexsort((-depth[bottoms], owner[bottoms]))]
        mine = owner[bottoms]
        bottoms = bottoms[np.arange(len(mine)) - np.searchsorted(mine, mine) < _POCKETS]
    return bottoms


class _Outline:
    """
    The borders of components, one after the other, as edges from vertex to vertex.

    Attributes
    ----------
    x, y, dx, dy : ndarray of shape (V,), float64
        Where edges start, and how far they go.
    starts, sizes : ndarray of shape (N,), int64
        First vertex, and number of vertices, of each component.
    owner : ndarray of shape (V,), int64
        Component of each vertex.

    """

    def __init__(self, points: Hull, sizes: npt.NDArray[np.intp]) -> None:
        self.sizes = sizes
        self.starts = starts = np.cumsum(sizes) - sizes
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        self.x, self.y = x, y = points[:, 0].T.astype(np.float64)
        following = np.arange(1, len(x) + 1)
        following[starts + sizes - 1] = starts
        self.dx, self.dy = dx, dy = x[following] - x, y[following] - y
        self.length = np.hypot(dx, dy)
        self.turn = x * dy - y * dx
        # Length and twice the area up to each vertex, and in all.
        self.lengths = np.add.reduceat(self.length, starts)
        self.turns = np.add.reduceat(self.turn, starts)
        # The same for the sums of which centroids are made (Green's theorem), x and y.
        self.moment = np.stack([2 * x + dx, 2 * y + dy]) * self.turn
        self.moments = np.add.reduceat(self.moment, starts, axis=1)
        self.moment_to = np.cumsum(self.moment, axis=1) - self.moment
        self.length_to = np.cumsum(self.length) - self.length
        self.turn_to = np.cumsum(self.turn) - self.turn

    def across(self, bottoms: npt.NDArray[np.intp], min_area: int,
               limit: npt.NDArray[np.float64]) -> list[tuple[int, float, _Neck]]:
        """
        Return the narrowest neck from each of some vertices, if it may be clear enough.

        Component and neck over size come with it: of a component the least is most promising.
        """
        counts = self.sizes[self.owner[bottoms]]
        first = np.cumsum(counts) - counts
        which = np.repeat(np.arange(len(bottoms)), counts)
        p = bottoms[which]
        e = np.arange(len(p)) + (self.starts[self.owner[bottoms]] - first)[which]
        # The pixel nearest to p of each edge.
        px, py, dx, dy = self.x[p], self.y[p], self.dx[e], self.dy[e]
        qx, qy = self.x[e], self.y[e]
        steps = np.maximum(np.maximum(np.abs(dx), np.abs(dy)), 1)
        part = ((px - qx) * dx + (py - qy) * dy) / np.maximum(self.length[e] ** 2, 1)
        part = np.rint(np.minimum(np.maximum(part, 0), 1) * steps) / steps
        qx, qy = qx + part * dx, qy + part * dy
        width = np.hypot(px - qx, py - qy)
        # Area and length of the border from p to there, and of the rest.
        way = np.where(e >= p, 1.0, -1.0)
        component = self.owner[p]
        turns = np.abs(self.turns)[component]
        twice = self.turn_to[e] + part * self.turn[e] - self.turn_to[p] + qx * py - qy * px
        twice *= way * np.sign(self.turns)[component]
        length = way * (self.length_to[e] + part * self.length[e] - self.length_to[p])
        areas = np.array([twice, turns - twice]) / 2
        lengths = np.array([length, self.lengths[component] - length])
        areas += (lengths + width) / 2 + 1
        around = _LENGTH * lengths + width + math.pi
        halves = (around - np.sqrt(np.maximum(around ** 2 - 4 * math.pi * areas, 0))
                  ) / (2 * math.pi)
        small, large = areas.min(axis=0), areas.max(axis=0)
        neck = np.full(len(p), math.inf)
        # What turns the other way lies outside.
        fits = (twice > 0) & (twice < turns) & (small >= max(min_area, 1))
        np.divide((width + 1) / 2, halves.min(axis=0), out=neck, where=fits)
        best = np.minimum.reduceat(neck, first)
        at, = np.nonzero((neck == best[which]) & (neck < limit[component]))
        # Of equals the first.
        at = at[np.searchsorted(which[at], np.unique(which[at]))]
        slim = (areas[:, at] / halves[:, at] ** 2).min(axis=0) / (_SLIM * math.pi)
        slim = np.minimum(slim, self._apart(p[at], e[at], part[at], qx[at], qy[at])
                          / (_SLIM * halves[:, at].sum(axis=0)))
        allowed = (ALLOWED[3] * np.log(small[at] / large[at])
                   + ALLOWED[4] * np.log(np.maximum(slim, 1)))
        key = neck[at] * np.exp(-allowed)
        mine = component[at]
        return [(k, key, _Neck(start, edge, (round(x), round(y)), *figures))
                for k, key, limit, start, edge, x, y, *figures in zip(
                    mine.tolist(), key.tolist(), limit[mine].tolist(),
                    (p[at] - self.starts[mine]).tolist(), (e[at] - self.starts[mine]).tolist(),
                    qx[at].tolist(), qy[at].tolist(), (width[at] + 1).tolist(),
                    neck[at].tolist(), allowed.tolist(), strict=True) if key < limit]

    def _apart(self, p: npt.NDArray[np.intp], e: npt.NDArray[np.intp],
               part: npt.NDArray[np.float64], qx: npt.NDArray[np.float64],
               qy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return how far the centroids of both sides of necks are from each other."""
        cross = qx * self.y[p] - qy * self.x[p]
        ends = np.stack([qx, qy])
        moment = (self.moment_to[:, e] - self.moment_to[:, p] + (
            ends + (self.x[e], self.y[e])) * part * self.turn[e] + (
            ends + (self.x[p], self.y[p])) * cross)
        twice = self.turn_to[e] - self.turn_to[p] + part * self.turn[e] + cross
        way, component = np.where(e >= p, 1.0, -1.0), self.owner[p]
        moment, twice = way * moment, way * twice
        other = (self.moments[:, component] - moment) / (self.turns[component] - twice)
        return np.hypot(*(moment / twice - other)) / 3
