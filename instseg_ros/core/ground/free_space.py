"""Free space: how far the floor is seen in each direction before something stands there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .contact import bearings_of
from .ground_tracker import GroundObjects

_EVERY = 4          # pixels between the sight lines that are looked at
_BEARING = 0.0087   # radians between directions: half a degree, a cell of 5 cm at 6 m


def free_space(found: GroundObjects) -> npt.NDArray[np.float64]:
    """
    Return the ends of free sight, for costmaps: what is nearer may be cleared.

    Only instances count as obstacles; what the camera's classes do not know is not seen here.

    Parameters
    ----------
    found : GroundObjects
        Of a frame.

    Returns
    -------
    ndarray of shape (K, 2), float64
        x, y in metres, one for each direction in which floor is seen: where an object stands,
        else where the floor leaves the frame or is ``max_distance`` away.

    """
    view, edges = found.view, found.edges
    if view.height <= 0:
        return np.zeros((0, 2))
    camera = view.camera
    rays = camera.ray_table.reshape(camera.height, camera.width, 3)[::_EVERY, ::_EVERY]
    bearings, slopes = bearings_of(rays.reshape(-1, 3) @ view.pose.rotation.T, view)
    step: float = max(_BEARING, 1.25 * _EVERY / float(camera.matrix[0, 0]))
    count = int(np.ceil(2 * np.pi / step))
    seen = np.isfinite(slopes)
    with np.errstate(divide='ignore'):
        ranges = np.where(slopes > 0, view.height / slopes, np.inf)[seen]
    reach = np.zeros(count)
    np.maximum.at(reach, _bins(bearings[seen], step), np.minimum(ranges, found.max_distance))
    # Where not even the lowest sight line ends on the floor in reach, nothing is known.
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, _bins(bearings[seen], step), ranges)
    reach[nearest > found.max_distance] = 0
    np.minimum.at(reach, _bins(edges.bearings, step), edges.ranges)
    guessed = found.measured.cut | found.measured.hidden
    for k in found.placed[guessed[found.placed]].tolist():
        distance = float(np.hypot(*(found.positions[k] - view.pose.translation[:2])))
        first, last = _bins(edges.sides[k], step)
        reach[first:last + 1] = np.minimum(
            reach[first:last + 1], max(distance - found.measured.widths[k] / 2, 0))
    ends, = np.nonzero(reach)
    middles = np.asarray((ends + 0.5) * step - np.pi, np.float64)
    away = view.axes(middles)[:, :, 0]
    return view.pose.translation[:2] + away * reach[ends, None]


def _bins(bearings: npt.NDArray[np.float64], step: float) -> npt.NDArray[np.intp]:
    return ((bearings + np.pi) / step).astype(np.intp)
