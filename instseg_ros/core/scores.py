"""Scores: how likely an instance is one whole object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Of the features below: learned by benchmarks/learn.py, see docs/method.md.
WEIGHTS = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def features(areas: npt.NDArray[np.int64], boxes: npt.NDArray[np.int32],
             hull_areas: npt.NDArray[np.float64], doubts: npt.NDArray[np.float64],
             shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """
    Return what a score is made of.

    Parameters
    ----------
    areas, boxes
        As in :class:`~.instances.Instances`.
    hull_areas : ndarray of shape (N,), float64
        As in :func:`.splitting.hull_area`.
    doubts : ndarray of shape (N, 2), float64
        As in :meth:`.splitting.Parts.doubts`.
    shape : tuple of int
        (H, W) of the frame.

    Returns
    -------
    ndarray of shape (N, 7), float64
        1; logarithm of the area, and of its share of the frame; solidity; whether the frame's
        border is touched; doubts of cuts and of joins, at most 1.

    """
    height, width = shape
    touches = ((boxes[:, :2] == 0) | (boxes[:, 2:] == (width, height))).any(axis=1)
    return np.stack([np.ones(len(areas)), np.log(areas), np.log(areas / (height * width)),
                     np.minimum(areas / np.maximum(hull_areas, 1), 1), touches,
                     *np.minimum(doubts, 1).T], axis=1)


def scores(areas: npt.NDArray[np.int64], boxes: npt.NDArray[np.int32],
           hull_areas: npt.NDArray[np.float64], doubts: npt.NDArray[np.float64],
           shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """
    Return how likely each instance is one whole object: a logistic model of :func:`features`.

    Parameters
    ----------
    areas, boxes, hull_areas, doubts, shape
        As in :func:`features`.

    Returns
    -------
    ndarray of shape (N,), float64
        In (0, 1].

    """
    return 1 / (1 + np.exp(-features(areas, boxes, hull_areas, doubts, shape) @ np.array(WEIGHTS)))
