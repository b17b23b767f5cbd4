"""
Region merging: the least clear cut first, until every cut that is left is clear enough.

References
----------
Adams and Bischof: Seeded region growing, PAMI 1994. Haris, Efstratiadis, Maglaveras and
Katsaggelos: Hybrid image segmentation using watersheds and fast region merging, IEEE
Transactions on Image Processing 1998: a region adjacency graph with a queue of its edges.

"""

from __future__ import annotations

from dataclasses import dataclass, field
import heapq
from itertools import count

import numpy as np
import numpy.typing as npt

from .cut_criterion import Contact, Cut, cut_between, Region
from .region_graph import RegionGraph


@dataclass
class Parts:
    """
    The parts of one component.

    Attributes
    ----------
    graph : RegionGraph
        The regions before merging.
    part_of : ndarray of shape (n + 1,), int32
        Part of each region, 0 for 0; the parts are 1..m.
    regions : list of Region
        Region of part k is ``regions[k - 1]``.
    cuts : dict of (int, int) to Cut
        Cuts between parts, by pairs of parts.
    merged : list of (Cut, int, int)
        Cuts that were given up, in order, with a region of each side.

    """

    graph: RegionGraph
    part_of: npt.NDArray[np.int32]
    regions: list[Region]
    cuts: dict[tuple[int, int], Cut] = field(default_factory=dict)
    merged: list[tuple[Cut, int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self.regions)

    def margins(self, dist_threshold: float) -> list[float]:
        """Return the margin of the least clear cut of each part, 0 without cuts."""
        margins = [0.0] * len(self)
        for pair, cut in self.cuts.items():
            for part in pair:
                margins[part - 1] = max(margins[part - 1], cut.margin(dist_threshold))
        return margins


def merge(graph: RegionGraph, dist_threshold: float, min_area: float) -> Parts:
    """
    Merge regions until every cut that is left is clear enough.

    The order does not depend on ``dist_threshold``, so the parts at a lower threshold are unions
    of the parts at a higher one.

    Parameters
    ----------
    graph : RegionGraph
        What to merge.
    dist_threshold : float
        Cuts whose ratio is below are made: 0 none, higher more.
    min_area : float
        Regions of fewer pixels are merged with a neighbour, in pixels.

    Returns
    -------
    Parts

    """
    alive = dict(enumerate(graph.regions, 1))
    parent = list(range(len(alive) + 1))
    around: dict[int, dict[int, tuple[Contact, Cut]]] = {k: {} for k in alive}
    queue: list[tuple[float, int, int, int, Cut, Region]] = []
    order = count()

    def meet(a: int, b: int, contact: Contact) -> None:
        one, other = alive[a], alive[b]
        both = one.merged(other)
        cut = cut_between(one, other, both, contact, graph.cell_area)
        around[a][b] = around[b][a] = contact, cut
        key = -cut.ratio
        if min(one.area, other.area) * graph.cell_area < min_area:
            key = -1e9 - contact.saddle
        heapq.heappush(queue, (key, min(a, b), max(a, b), next(order), cut, both))

    for (a, b), contact in graph.contacts.items():
        meet(a, b, contact)
    merged = []
    while queue:
        key, a, b, _, cut, both = heapq.heappop(queue)
        if around.get(a, {}).get(b, (None, None))[1] is not cut:
            continue
        if -key < dist_threshold:
            break
        merged.append((cut, a, b))
        parent[b] = a
        alive[a] = both
        del alive[b]
        beside = {c: contact for c, (contact, _) in around.pop(b).items()}
        for c, (contact, _) in around[a].items():
            if c in beside:
                contact = Contact(max(contact.saddle, beside[c].saddle),
                                  contact.heads or beside[c].heads)
            beside[c] = contact
        around[a] = {}
        for c in beside.keys() - {a, b}:
            around[c].pop(b, None)
            meet(a, c, beside[c])
    numbers = {k: n for n, k in enumerate(alive, 1)}
    part_of = np.zeros(len(parent), np.int32)
    for k in range(1, len(parent)):
        root = k
        while parent[root] != root:
            root = parent[root]
        part_of[k] = numbers[root]
    cuts = {(numbers[a], numbers[b]): cut for a in alive for b, (_, cut) in around[a].items()
            if a < b}
    return Parts(graph, part_of, list(alive.values()), cuts, merged)
