"""Relations between masks: how far they overlap, contain each other, or are apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .view import View

_Table = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]


def shares(view: View, relation: str) -> _Table:
    """
    Return how far each instance has a relation to each other one, (N, N).

    In (0, 1], and -inf where two do not meet.

    Masks of a label image never share pixels: where objects overlap, one is seen, and the outline
    of the other ends there. So what is measured is how much of an outline runs along the other
    mask: hardly any of it where two only touch, all of it around what lies within the other.

    Parameters
    ----------
    view : View
        The frame.
    relation : str
        ``overlap``: the share of the shorter outline; ``contains``: of the outline of the other
        (column); ``inside``: of the outline of the instance itself (row).

    """
    own, other = view.perimeters[:, None], view.perimeters[None]
    outline = {'overlap': np.minimum(own, other), 'contains': other, 'inside': own}[relation]
    contacts = view.contacts[1:, 1:]
    # Where they do not meet is no share so small that it is enough.
    return np.where(contacts > 0, contacts / np.maximum(outline, 1), -np.inf)


def gaps(view: View, reach: _Table, wanted: npt.NDArray[np.bool_]) -> _Table:
    """
    Return the gaps between masks, (N, N) in pixels: 0 where they meet, inf from each to itself.

    Parameters
    ----------
    view : View
        The frame.
    reach : ndarray of shape (N,)
        The largest gap of each instance (row) that matters, in pixels; inf stands for what is
        larger than those of both.
    wanted : ndarray of shape (N, N), bool
        The pairs that are asked for; inf stands for the others.

    """
    found = np.full((view.count, view.count), np.inf)
    left, top, right, bottom = view.instances.boxes.T.astype(np.float64)
    # The gap of the masks is never smaller than that of the boxes along x, or along y.
    apart = np.maximum(left[:, None] - right, top[:, None] - bottom)
    near = wanted & (np.maximum(apart, apart.T) <= reach[:, None])
    near |= near.T
    meet = near & (view.contacts[1:, 1:] > 0)
    found[meet] = 0
    first, second = np.nonzero(near & ~meet)
    once = first < second
    first, second = first[once], second[once]
    if not len(first):
        return found
    pairs, most = len(first), np.maximum(reach[first], reach[second])
    # For each pair the points of both that are near the box of the other, then all of these of
    # one with all of these of the other; for all pairs at once.
    points, pair = _near(view, np.concatenate([first, second]), np.concatenate([second, first]),
                         np.tile(most, 2))
    counts = np.bincount(pair, minlength=2 * pairs)
    starts = np.cumsum(counts) - counts
    of_a, of_b = counts[:pairs], counts[pairs:]
    pair_a = pair[:of_a.sum()]
    repeats = of_b[pair_a]
    if not repeats.any():
        return found
    x, y, _ = view.outlines
    here = np.repeat(points[:len(pair_a)], repeats)
    there = points[_ranges(starts[pairs + pair_a], repeats)]
    apart_x, apart_y = x[here] - x[there], y[here] - y[there]
    sizes = of_a * of_b
    some = np.flatnonzero(sizes)
    blocks = (np.cumsum(sizes) - sizes)[some]
    nearest = np.minimum.reduceat(apart_x**2 + apart_y**2, blocks)
    # From one cell to the next is no gap.
    gap = np.maximum(0, np.sqrt(nearest) - view.step)
    gap[gap > most[some]] = np.inf
    found[first[some], second[some]] = found[second[some], first[some]] = gap
    return found


def _near(view: View, instances: _Indices, others: _Indices, reach: _Table
          ) -> tuple[_Indices, _Indices]:
    """Return which points of instances are within reach of others' boxes, and of which pair."""
    x, y, starts = view.outlines
    counts = starts[instances + 1] - starts[instances]
    index = _ranges(starts[instances], counts)
    left, top, right, bottom = view.instances.boxes[others].T
    px, py = x[index], y[index]
    chosen = np.flatnonzero(
        (px >= np.repeat(left - reach, counts)) & (px <= np.repeat(right + reach, counts))
        & (py >= np.repeat(top - reach, counts)) & (py <= np.repeat(bottom + reach, counts)))
    return index[chosen], np.repeat(np.arange(len(instances)), counts)[chosen]


def _ranges(starts: _Indices, counts: _Indices) -> _Indices:
    """Return the numbers from each start on, as many as its count, one range after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
