"""
Contact edges: the lower outline of each instance, where it may touch the floor.

A camera sees one side of what stands on a floor, and all of it above where it stands: a mask
laid onto the floor as a whole smears away from the camera. What is on the floor is the lower
outline. "Lower" follows the vertical of the scene: all verticals seen by a camera lie in planes
through the camera's own vertical, so pixels are sorted by the bearing of their plane, and of
those with one bearing the steepest is the lowest. That holds for every tilt and roll, upside down
and behind a fisheye lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from .floor import FloorView

if TYPE_CHECKING:
    from ..instances import Instances

FREE, HIDDEN, CUT = 0, 1, 2
_CELL = 16     # pixels between the places where "down" in the image is computed
_TURNS = 1 / 32  # steps in which the vertical is taken for it: under two degrees
_BEARING = 1.5  # pixels in the middle of the image that count as one bearing
_EIGHT = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])


@dataclass(frozen=True)
class ContactEdges:
    """
    The lower outlines of N instances, M pieces in all, and how far each instance reaches.

    Attributes
    ----------
    owners : ndarray of shape (M,), intp
        Whose piece it is: label - 1. In order, and for each owner from left to right.
    points : ndarray of shape (M, 2), float64
        Where it lies if it touches the floor, x, y in metres; NaN at the horizon and above.
    bearings, ranges : ndarray of shape (M,), float64
        Of these points from below the camera: radians to the left of where it looks, metres
        (inf at the horizon and above).
    states : ndarray of shape (M,), int8
        ``FREE``: below it is background; ``HIDDEN``: another instance; ``CUT``: the frame ends.
    hiders : ndarray of shape (M,), float64
        Distance of the instance that hides it, 0 where none does.
    tops : ndarray of shape (N,), float64
        Slope of the highest sight line: metres down for each metre ahead.
    top_cut, side_cut : ndarray of shape (N,), bool
        The instance reaches the end of the frame above, or at a side.
    sides : ndarray of shape (N, 2), float64
        Smallest and largest bearing, NaN for an instance without pixels.

    """

    owners: npt.NDArray[np.intp]
    points: npt.NDArray[np.float64]
    bearings: npt.NDArray[np.float64]
    ranges: npt.NDArray[np.float64]
    states: npt.NDArray[np.int8]
    hiders: npt.NDArray[np.float64]
    tops: npt.NDArray[np.float64]
    top_cut: npt.NDArray[np.bool_]
    side_cut: npt.NDArray[np.bool_]
    sides: npt.NDArray[np.float64]


class ContactFinder:
    """Finds contact edges; remembers which way "down" is in the image while that stays."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._down = np.zeros((0, 0), np.int8)

    def find(self, instances: Instances, view: FloorView) -> ContactEdges:
        """
        Return the contact edges of the instances.

        Parameters
        ----------
        instances : Instances
            Of an image of the camera's size.
        view : FloorView
            The camera over the floor.

        """
        labels, count = instances.labels, len(instances)
        outline = _outline(instances)
        bearings, slopes = bearings_of(
            view.camera.ray_table[outline] @ view.pose.rotation.T.astype(np.float32), view)
        seen = np.isfinite(slopes)  # not where the lens is not calibrated
        # By instance, so that each is one stretch of the arrays.
        order = np.argsort(labels.ravel()[outline], kind='stable')
        order = order[seen[order]]
        outline, bearings, slopes = outline[order], bearings[order], slopes[order]
        owners = labels.ravel()[outline].astype(np.intp) - 1
        down = _EIGHT[self._directions(view).ravel()[outline]]
        y, x = np.divmod(outline, labels.shape[1])

        def beyond(steps: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
            to_x, to_y = x + steps[:, 0], y + steps[:, 1]
            return ((to_x < 0) | (to_x >= labels.shape[1]) | (to_y < 0)
                    | (to_y >= labels.shape[0]))

        tops, top_cut = np.full(count, np.nan), np.zeros(count, bool)
        sides, side_cut = np.full((count, 2), np.nan), np.zeros(count, bool)
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        whose = owners[starts]
        tops[whose] = np.minimum.reduceat(slopes, starts) if len(starts) else []
        above = beyond(-down) & (slopes <= tops[owners] + 1e-6)
        top_cut[owners[above]] = True
        if len(starts):
            sides[whose, 0] = np.minimum.reduceat(bearings, starts)
            sides[whose, 1] = np.maximum.reduceat(bearings, starts)
        across = np.column_stack([-down[:, 1], down[:, 0]])
        side_cut[owners[beyond(across) | beyond(-across)]] = True

        cut = beyond(down)
        below = np.where(cut, outline, outline + down[:, 1] * labels.shape[1] + down[:, 0])
        under = labels.ravel()[below].astype(np.intp) - 1
        lower, = np.nonzero(cut | (under != owners))
        # The outline lies between the last pixel and the next.
        table = view.camera.ray_table
        edge = (table[outline[lower]] + table[below[lower]]) / 2
        towards = edge.astype(np.float64) @ view.pose.rotation.T
        bearing, slope = bearings_of(towards, view)
        states = np.where(cut[lower], CUT, np.where(under[lower] >= 0, HIDDEN, FREE))
        lower = lower[np.isfinite(slope)]
        keep = np.isfinite(slope)
        towards, bearing, slope, states = (a[keep] for a in (towards, bearing, slope, states))
        bins = np.floor(bearing * (view.camera.matrix[0, 0] / _BEARING)).astype(np.int64)
        keys = owners[lower] * (1 << 20) + bins
        order = np.lexsort((-slope, keys))
        lowest = order[np.diff(keys[order], prepend=-1 << 40) > 0]
        points = view.on_floor(towards[lowest])
        ranges = np.hypot(*(points - view.pose.translation[:2]).T)
        ranges[~np.isfinite(ranges)] = np.inf
        lower, states = lower[lowest], states[lowest].astype(np.int8)
        # What stands farther away hides nothing: an arm may reach over it.
        nearest = np.full(count + 1, np.inf)
        np.minimum.at(nearest, owners[lower], ranges)
        hiders = np.where(states == HIDDEN, nearest[under[lower]], 0)
        behind = hiders > nearest[owners[lower]]
        states[behind], hiders[behind] = FREE, 0
        return ContactEdges(owners[lower], points, bearing[lowest], ranges, states, hiders, tops,
                            top_cut, side_cut, sides)

    def _directions(self, view: FloorView) -> npt.NDArray[np.int8]:
        """Return which of the eight neighbours of each pixel is below it in the scene."""
        camera = view.camera
        # Rounded, so that the answer depends on the pose alone and not on those before.
        vertical = np.round(view.pose.rotation.T @ np.array([0, 0, -1]) / _TURNS) * _TURNS
        known = (camera, *vertical.tolist())
        if known == self._known:
            return self._down
        x = np.arange(0, camera.width + _CELL, _CELL)
        y = np.arange(0, camera.height + _CELL, _CELL)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) + (_CELL - 1) / 2
        rays = camera.rays(grid)
        lower = camera.pixels(rays + 0.01 * vertical) - grid
        turn = np.arctan2(lower[:, 1], lower[:, 0])
        # Outside of what is calibrated, as in the middle.
        turn[~np.isfinite(turn)] = np.arctan2(vertical[1], vertical[0])
        eighth = np.round(turn / (np.pi / 4)).astype(np.int8) % 8
        down = cv2.resize(eighth.reshape(len(y), len(x)), None, fx=_CELL, fy=_CELL,
                          interpolation=cv2.INTER_NEAREST)
        self._down = np.ascontiguousarray(down[:camera.height, :camera.width])
        self._known = known
        return self._down


def _outline(instances: Instances) -> npt.NDArray[np.intp]:
    """Return the indices, in the flat image, of the pixels at the border of an instance."""
    labels = instances.labels
    height, width = labels.shape
    there = instances.areas > 0
    if not there.any():
        return np.zeros(0, np.intp)
    x0, y0 = instances.boxes[there, :2].min(axis=0).tolist()
    x1, y1 = instances.boxes[there, 2:].max(axis=0).tolist()
    part = labels[y0:y1, x0:x1]
    border = np.zeros(part.shape, bool)
    # Whatever lies around the boxes is background, or the end of the frame.
    border[0], border[-1], border[:, 0], border[:, -1] = True, True, True, True
    changes = part[1:] != part[:-1]
    border[1:] |= changes
    border[:-1] |= changes
    changes = part[:, 1:] != part[:, :-1]
    border[:, 1:] |= changes
    border[:, :-1] |= changes
    border &= part > 0
    y, x = np.divmod(np.flatnonzero(border), x1 - x0)
    return (y + y0) * width + x + x0


def bearings_of(directions: npt.NDArray[np.floating], view: FloorView
                ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return bearings to the left of where the camera looks, and slopes downwards."""
    forward = view.forward
    x, y, z = directions.T
    ahead = x * forward[0] + y * forward[1]
    left = y * forward[0] - x * forward[1]
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.arctan2(left, ahead), -z / np.hypot(x, y)
