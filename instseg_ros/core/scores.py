"""Scores: how likely an instance is one whole object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Of the features below: learned by benchmarks/learn.py, see docs/method.md.
WEIGHTS = (2.87, 0.73, -4.23, -0.6)
# A neighbour is at most this far away, as a multiple of the root of the instance's area.
REACH = 2
# Up to so many instances, all are compared with all.
_FEW = 32
# Of more, so many have their neighbours looked for together.
_BLOCK = 512


def scores(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
           boxes: npt.NDArray[np.int32], hull_areas: npt.NDArray[np.float64],
           doubts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """
    Return how likely each instance is one whole object: a logistic model of :func:`features`.

    Parameters
    ----------
    class_ids, areas, boxes, hull_areas, doubts
        As in :func:`features`.

    Returns
    -------
    ndarray of shape (N,), float64
        In (0, 1].

    """
    evidence = np.full(len(areas), WEIGHTS[0])
    for weight, feature in zip(WEIGHTS[1:], features(class_ids, areas, boxes, hull_areas, doubts),
                               strict=True):
        evidence += weight * feature
    return 1 / (1 + np.exp(-evidence))


def features(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
             boxes: npt.NDArray[np.int32], hull_areas: npt.NDArray[np.float64],
             doubts: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """
    Return what a score is made of.

    Parameters
    ----------
    class_ids, areas, boxes
        As in :class:`~.instances.Instances`.
    hull_areas : ndarray of shape (N,), float64
        As in :func:`.components.hull_area`.
    doubts : ndarray of shape (N,), float64
        As in :meth:`.splitting.Parts.doubts`.

    Returns
    -------
    beside, concavity, doubts : ndarray of shape (N,), float64
        Logarithm of the area over that of the largest instance of the same class nearby (what is
        small beside a large one is often a piece of it), at least -5; square of the concavity
        (the share of the hull that is not covered); doubt of the cuts.

    """
    beside = np.log(areas / _largest_nearby(class_ids, areas, boxes))
    concavity = np.maximum(1 - areas / hull_areas, 0)
    return np.maximum(beside, -5), concavity * concavity, doubts


def _largest_nearby(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
                    boxes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return, for each instance, the largest area of its class in reach, its own included."""
    if len(areas) <= _FEW:
        # Corners, x and y, of each beside each other.
        mine, theirs = boxes.T.reshape(2, 2, -1, 1), boxes.T.reshape(2, 2, 1, -1)
        gaps = np.maximum(mine[0] - theirs[1], theirs[0] - mine[1])
        near = _near(gaps[0], gaps[1], areas[:, None]) & (class_ids[:, None] == class_ids)
        return np.maximum.reduce(near * areas, axis=1, initial=0)
    # Sorted along x, the neighbours of an instance follow one another: never all pairs.
    order = boxes[:, 0].argsort(kind='stable')
    class_ids, areas = class_ids[order], areas[order]
    left, top, right, bottom = boxes[order].T.astype(np.float64)
    reach = REACH * np.sqrt(areas)
    first = np.maximum.accumulate(right).searchsorted(left - reach, side='right')
    counts = left.searchsorted(right + reach) - first
    largest = np.empty_like(areas)
    for start in range(0, len(order), _BLOCK):
        block = slice(start, start + _BLOCK)
        ends = counts[block].cumsum()
        starts = ends - counts[block]
        # Pairs, instance after instance.
        one = np.arange(start, start + len(ends)).repeat(counts[block])
        other = np.arange(ends[-1]) + (first[block] - starts).repeat(counts[block])
        near = _near(np.maximum(left[one] - right[other], left[other] - right[one]),
                     np.maximum(top[one] - bottom[other], top[other] - bottom[one]), areas[one])
        near &= class_ids[one] == class_ids[other]
        largest[order[block]] = np.maximum.reduceat(near * areas[other], starts)
    return largest


def _near(across: npt.NDArray[Any], down: npt.NDArray[Any], areas: npt.NDArray[np.int64],
          ) -> npt.NDArray[np.bool_]:
    """Return whether what is so far away is in reach, by gaps; negative ones are none."""
    across, down = np.maximum(across, 0), np.maximum(down, 0)
    return across * across + down * down < REACH ** 2 * areas
