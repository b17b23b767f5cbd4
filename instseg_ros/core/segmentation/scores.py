"""Scores: how likely an instance is one whole object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import algorithm

# Instances whose neighbours are looked for together.
_BLOCK = 64


def scores(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
           boxes: npt.NDArray[np.int32], hull_areas: npt.NDArray[np.float64],
           margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """
    Return how likely each instance is one whole object: a logistic model of :func:`features`.

    Parameters
    ----------
    class_ids, areas, boxes, hull_areas, margins
        As in :func:`features`.

    Returns
    -------
    ndarray of shape (N,), float64
        In (0, 1].

    """
    bias, *weights = algorithm.ALGORITHM.score_weights
    evidence = np.full(len(areas), bias)
    for weight, feature in zip(weights, features(class_ids, areas, boxes, hull_areas, margins),
                               strict=True):
        evidence += weight * feature
    return 1 / (1 + np.exp(-evidence))


def features(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
             boxes: npt.NDArray[np.int32], hull_areas: npt.NDArray[np.float64],
             margins: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """
    Return what a score is made of.

    Parameters
    ----------
    class_ids, areas, boxes
        As in :class:`~.instances.Instances`.
    hull_areas : ndarray of shape (N,), float64
        As in :func:`.components.hull_area`.
    margins : ndarray of shape (N,), float64
        As of :meth:`.cut_criterion.Cut.margin`, of each instance's least clear cut; 0 without.

    Returns
    -------
    beside, concavity, margins : ndarray of shape (N,), float64
        Logarithm of the area over that of the largest instance of the same class nearby (what is
        small beside a large one is often a piece of it); square of the concavity (the share of
        the hull that is not covered); margin of its least clear cut.

    """
    beside = np.log(areas / _largest_nearby(class_ids, areas, boxes))
    concavity = np.maximum(1 - areas / hull_areas, 0)
    return beside, concavity * concavity, margins


def _largest_nearby(class_ids: npt.NDArray[np.uint8], areas: npt.NDArray[np.int64],
                    boxes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return, for each instance, the largest area of its class in reach, its own included."""
    if len(areas) <= _BLOCK:
        return _largest_near(areas, class_ids, boxes, areas, class_ids, boxes)
    largest = np.empty_like(areas)
    reach = algorithm.ALGORITHM.score_reach * np.sqrt(areas)
    # Sorted along x, the neighbours of a block follow one another: never all pairs.
    order = np.argsort(boxes[:, 0], kind='stable')
    lefts, rights = boxes[order, 0], np.maximum.accumulate(boxes[order, 2])
    for start in range(0, len(order), _BLOCK):
        block = order[start:start + _BLOCK]
        near = order[
            np.searchsorted(rights, (boxes[block, 0] - reach[block]).min(), side='right'):
            np.searchsorted(lefts, (boxes[block, 2] + reach[block]).max())]
        largest[block] = _largest_near(areas[block], class_ids[block], boxes[block],
                                       areas[near], class_ids[near], boxes[near])
    return largest


def _largest_near(areas: npt.NDArray[np.int64], class_ids: npt.NDArray[np.uint8],
                  boxes: npt.NDArray[np.int32], their_areas: npt.NDArray[np.int64],
                  their_class_ids: npt.NDArray[np.uint8], their_boxes: npt.NDArray[np.int32],
                  ) -> npt.NDArray[np.int64]:
    """Return, for each instance, the largest area among others of its class in reach."""
    # Corners, x and y, of each beside each other.
    one, other = boxes.T.reshape(2, 2, -1, 1), their_boxes.T.reshape(2, 2, 1, -1)
    gaps = np.maximum(one[0] - other[1], other[0] - one[1])
    np.maximum(gaps, 0, out=gaps)
    gaps *= gaps
    beside = gaps[0] + gaps[1] < algorithm.ALGORITHM.score_reach ** 2 * areas[:, None]
    beside &= class_ids[:, None] == their_class_ids
    return np.maximum.reduce(beside * their_areas, axis=1, initial=0)
