"""
Motion: a Kalman filter of constant velocity for the boxes of all tracks at once.

Each axis of each box has a state of its own: centre, its velocity, size, its velocity. What is
measured are the two edges, each with its own noise: an edge that another object hides, or that the
frame cuts off, says little or nothing, and the other edge and the known size say where it is.
(White-noise acceleration model: Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to
Tracking and Navigation*, 2001, section 6.2.2.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MotionModel:
    """
    Noise of the filter, in object sizes (square root of the box's area) and seconds.

    One set of numbers so fits a person near the camera, one far away, and a nucleus.
    """

    edge: float = 0.06          # sizes: how much an edge of a box trembles
    start_speed: float = 2.0    # sizes / s: a walking person covers 1.7, a car in town 2 to 4
    start_growth: float = 0.1   # sizes / s; with 0.3 occlusion is taken for shrinking
    acceleration: float = 1.2   # sizes / s per square root of a second
    growth: float = 0.03        # the same, for the size


MODEL = MotionModel()
UNSEEN = 1e6                    # times the noise: an edge that says nothing
_EDGES = ((-0.5, 0), (0.5, 1))  # low and high edge: share of the size beside the centre


def sizes(boxes: Array) -> Array:
    """Return the square root of the area of boxes, (T,) in pixels."""
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return np.sqrt(extent[:, 0] * extent[:, 1])


def boxes_of(state: Array) -> Array:
    """Return the boxes, (T, 4) x0, y0, x1, y1, of states (T, 2, 4)."""
    half = np.maximum(state[:, :, 2], 1) / 2
    return np.concatenate([state[:, :, 0] - half, state[:, :, 0] + half], axis=1)


def begin(boxes: Array) -> tuple[Array, Array]:
    """Return state (N, 2, 4) and covariance (N, 2, 4, 4) of new tracks, at rest at `boxes`."""
    state, covariance = np.zeros((len(boxes), 2, 4)), np.zeros((len(boxes), 2, 4, 4))
    state[:, :, 0] = (boxes[:, :2] + boxes[:, 2:]) / 2
    state[:, :, 2] = boxes[:, 2:] - boxes[:, :2]
    size = sizes(boxes)[:, None]
    # Of two edges with independent noise, the mean has half the variance, the difference twice.
    for k, deviation in enumerate((MODEL.edge / np.sqrt(2), MODEL.start_speed,
                                   MODEL.edge * np.sqrt(2), MODEL.start_growth)):
        covariance[:, :, k, k] = (deviation * size) ** 2
    return state, covariance


def predict(state: Array, covariance: Array, dt: float) -> tuple[Array, Array]:
    """Return state and covariance `dt` seconds on."""
    step = np.eye(4)
    step[0, 1] = step[2, 3] = dt
    size = sizes(boxes_of(state))
    noise = np.zeros((4, 4))
    for at, q in ((0, MODEL.acceleration), (2, MODEL.growth)):
        noise[at:at + 2, at:at + 2] = q**2 * abs(dt) * np.array([[dt**2 / 3, dt / 2],
                                                                 [dt / 2, 1]])
    return (state @ step.T,
            step @ covariance @ step.T + (size**2)[:, None, None, None] * noise)


def correct(state: Array, covariance: Array, boxes: Array, doubt: Array
            ) -> tuple[Array, Array]:
    """
    Return state and covariance after the edges of boxes were measured, one after the other.

    Parameters
    ----------
    state : ndarray of shape (M, 2, 4), float64
        What is known before.
    covariance : ndarray of shape (M, 2, 4, 4), float64
        Its uncertainty.
    boxes : ndarray of shape (M, 4), float64
        Measured x0, y0, x1, y1.
    doubt : ndarray of shape (M, 4), float64
        Factor on the usual noise (standard deviation) of each edge; 1 for a plain view.

    """
    known = boxes_of(state)
    # However little of an object shows, its edges tremble as those of the whole object.
    size = np.maximum(sizes(boxes), sizes(known))
    noise = (MODEL.edge * size[:, None] * doubt) ** 2 + 1e-6
    # Occlusion only ever hides: who shows more than was known is larger.
    more = (boxes[:, 2:] - boxes[:, :2]) - (known[:, 2:] - known[:, :2])
    covariance = covariance.copy()
    covariance[..., 2, 2] += np.maximum(more, 0) ** 2
    for share, high in _EDGES:
        axes = slice(2 * high, 2 * high + 2)
        cross = covariance[..., 0] + share * covariance[..., 2]           # P h
        variance = cross[..., 0] + share * cross[..., 2] + noise[:, axes]
        gain = cross / variance[..., None]
        innovation = boxes[:, axes] - state[..., 0] - share * state[..., 2]
        state = state + gain * innovation[..., None]
        covariance = covariance - gain[..., :, None] * cross[..., None, :]
    return state, covariance


def edge_variances(covariance: Array) -> Array:
    """Return the variance of the four edges, (T, 4) in px**2, in the order of a box."""
    return np.concatenate([covariance[..., 0, 0] + 2 * share * covariance[..., 0, 2]
                           + share**2 * covariance[..., 2, 2] for share, _ in _EDGES], axis=1)
