"""Splitting: the parts of components, cut at necks and between heads by one criterion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .components import Component
from .heads import head_graph
from .limits import Found
from .merging import merge, Parts
from .partition import partition
from .region_graph import RegionGraph
from .watershed import basin_graphs


class Piece(NamedTuple):
    """A component or a part of one, and the margin of its least clear cut, as of Cut.margin."""

    component: Component
    margin: float = 0.0


class Split(NamedTuple):
    """
    What became of a component.

    Attributes
    ----------
    class_id : int
    component : Component
    pieces : list of Piece
        At least one.
    decisions : list of (Component, Parts)
        What was looked into, first the component, then what has heads of its pieces.

    """

    class_id: int
    component: Component
    pieces: list[Piece]
    decisions: list[tuple[Component, Parts]]


def split(found: Sequence[Found], dist_threshold: float, min_area: int,
          upright: frozenset[int]) -> Iterator[Split]:
    """
    Cut components where they are two objects that touch.

    Parameters
    ----------
    found : sequence of (int, Component)
        Class ids and components.
    dist_threshold : float
        As of :func:`.merging.merge`; 0 leaves all whole.
    min_area : int
        No part has fewer pixels.
    upright : set of int
        Classes that are cut between heads, too.

    """
    if dist_threshold == 0:
        yield from (Split(class_id, component, [Piece(component)], [])
                    for class_id, component in found)
        return

    def may_be_two(component: Component) -> bool:
        return component.area >= 2 * min_area and not component.is_solid

    doubtful = [may_be_two(component) for _, component in found]
    graphs = basin_graphs(component for (_, component), doubt in zip(found, doubtful, strict=True)
                          if doubt)
    for (class_id, component), doubt in zip(found, doubtful, strict=True):
        one = Split(class_id, component, [Piece(component)], [])
        if doubt:
            _cut(one, 0, next(graphs), dist_threshold, min_area)
        # From the last piece on: those before keep their places.
        for k in reversed(range(len(one.pieces))) if class_id in upright else ():
            piece = one.pieces[k].component
            graph = head_graph(piece) if may_be_two(piece) else None
            if graph:
                _cut(one, k, graph, dist_threshold, min_area)
        yield one


def _cut(one: Split, k: int, graph: RegionGraph, dist_threshold: float, min_area: int) -> None:
    """Replace a piece by the parts that the criterion leaves of a graph of its regions."""
    if len(graph.regions) < 2:
        return
    piece = one.pieces[k]
    parts = merge(graph, dist_threshold, min_area)
    one.decisions.append((piece.component, parts))
    if len(parts) > 1:
        margins = parts.margins(dist_threshold)
        one.pieces[k:k + 1] = [
            Piece(part, max(piece.margin, margins[number - 1]))
            for number, part in partition(parts, piece.component, min_area)]
