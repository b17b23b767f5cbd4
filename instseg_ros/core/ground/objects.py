"""Objects on the floor, from their contact edges: place, size, footprint."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from .contact import ContactEdges, CUT, FREE, HIDDEN
from .floor import FloorView, Noise

if TYPE_CHECKING:
    from ..instances import Instances

# Chosen on the even scenes of benchmarks/ground.py; the odd ones are reported.
_FRONT = 0.2          # of the contact edge, by distance: what lies nearest
_BACK = 0.9           # and what lies farthest
_VISIBLE = 1 / 3      # of the contact edge must be free for it to count as seen
_ROUGHNESS = 2.6      # outline noise, in standard deviations, that looks like depth
_DEPTH = 0.8          # depth of what stands upright in widths, where it cannot be seen
_PLACE = 0.12         # standard deviation of the place in widths, since the depth is not known
_CORNERS = 12


@dataclass(frozen=True)
class Measured:
    """
    What one frame says of each of N instances; NaN where it says nothing.

    Attributes
    ----------
    positions : ndarray of shape (N, 2), float64
        Where it stands on the floor: the middle of its base, x, y in metres.
    noise : ndarray of shape (N, 2, 2), float64
        Covariance of the position that changes from frame to frame.
    bias : ndarray of shape (N, 2, 2), float64
        Covariance of the position that stays: of its shape, which is seen from one side.
    widths, heights : ndarray of shape (N,), float64
        Across the line of sight, and over the floor, in metres; heights of flat things are 0.
    height_noise : ndarray of shape (N,), float64
        Standard deviation of the height, inf where the top is not seen.
    cut, hidden : ndarray of shape (N,), bool
        The foot lies outside of the frame, or behind something nearer: the position follows from
        the height that is remembered.
    side_cut : ndarray of shape (N,), bool
        A side lies outside of the frame: the width is too small.
    flat : ndarray of shape (N,), bool
        It lies on the floor, as its class says.
    boxes : ndarray of shape (N, 3), float64
        Length, breadth in metres and heading in radians of the box on the floor.

    """

    positions: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    widths: npt.NDArray[np.float64]
    heights: npt.NDArray[np.float64]
    height_noise: npt.NDArray[np.float64]
    cut: npt.NDArray[np.bool_]
    hidden: npt.NDArray[np.bool_]
    side_cut: npt.NDArray[np.bool_]
    flat: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float64]


def measure(instances: Instances, edges: ContactEdges, view: FloorView, noise: Noise,
            flat: npt.NDArray[np.bool_], known_heights: npt.NDArray[np.float64]) -> Measured:
    """
    Return where the instances stand and how large they are.

    Parameters
    ----------
    instances : Instances
        Of the frame.
    edges : ContactEdges
        Theirs.
    view : FloorView
        The camera over the floor.
    noise : Noise
        Of outlines and of the camera's pose.
    flat : ndarray of shape (N,), bool
        Which lie flat on the floor.
    known_heights : ndarray of shape (N, 2), float64
        Height in metres and its standard deviation as remembered, NaN where it is not.

    """
    count, h = len(instances), view.height
    result = Measured(
        np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan), np.zeros((count, 2, 2)),
        *np.full((2, count), np.nan), np.full(count, np.inf), *np.zeros((3, count), bool),
        flat.copy(), np.full((count, 3), np.nan))
    if h <= 0:
        return result
    focal = float(view.camera.matrix[1, 1])
    starts = np.searchsorted(edges.owners, np.arange(count + 1))
    ranges, states = edges.ranges, edges.states
    result.side_cut[:] = edges.side_cut
    for k in range(count):
        piece = slice(starts[k], starts[k + 1])
        far, state, bearings = ranges[piece], states[piece], edges.bearings[piece]
        if not len(far):
            continue
        nearest = far.min()
        right, left = edges.sides[k]
        spread = min(left - right, math.pi / 2)
        middle = (left + right) / 2
        if flat[k] and math.isfinite(nearest):
            _measure_flat(result, k, instances, view, noise)
            result.cut[k] = np.count_nonzero(state == CUT) > len(state) * (1 - _VISIBLE)
            continue
        pixel = _metres_per_pixel(nearest, h, focal)  # inf where nearest is
        width = 2 * nearest * math.tan(spread / 2)
        group = far <= nearest + max(width, 0.3, 3 * pixel)
        seen = group & (state == FREE)
        low = far <= np.quantile(far[group], 0.5, method='higher')
        cut, hidden = (np.count_nonzero(low & (state == s)) for s in (CUT, HIDDEN))
        visible = (math.isfinite(nearest)
                   and np.count_nonzero(low & seen) >= _VISIBLE * np.count_nonzero(low))
        if visible:
            ordered = np.sort(far[seen])
            front, back = ordered[[int(_FRONT * (len(ordered) - 1)),
                                   int(_BACK * (len(ordered) - 1))]]
            pixel = _metres_per_pixel(front, h, focal)
            contact_width = front * min(np.ptp(bearings[seen]), 1.5)
            depth = min(max(back - front - _ROUGHNESS * noise.pixels * pixel,
                            contact_width * _DEPTH / 2), contact_width / 2)
            distance = front + depth
            along = noise.pixels * pixel
            unseen = 1 - np.count_nonzero(low & seen) / np.count_nonzero(low)
            shape = math.hypot(_PLACE * contact_width, unseen * width / 2)
            near = bearings[group]
            bearing = (near.min() + near.max()) / 2
        else:
            result.cut[k], result.hidden[k] = cut > 0 and cut >= hidden, hidden > cut
            hider = edges.hiders[piece][low].max()
            distance, along = _distance_by_height(edges, k, h, focal, noise, known_heights[k],
                                                  (min(hider, nearest), nearest))
            shape, bearing = distance * math.tan(spread / 2) / 2, middle
        if not math.isfinite(distance):
            continue
        width = 2 * distance * math.tan(spread / 2)
        across = noise.pixels * distance / focal
        if edges.side_cut[k]:
            across = math.hypot(across, width / 4)
        place = view.point(bearing, distance)
        result.positions[k] = place
        turned = view.axes(bearing)
        result.noise[k] = turned @ np.diag([along ** 2, across ** 2]) @ turned.T
        result.bias[k] = turned @ np.diag([shape ** 2, (shape / 2) ** 2]) @ turned.T
        result.widths[k] = width
        result.boxes[k] = (max(width * _DEPTH, 0.05), max(width, 0.05),
                           math.atan2(turned[1, 0], turned[0, 0]))
        top = float(edges.tops[k])
        height = h - distance * top
        if height > 0:
            result.heights[k] = height
            if visible and not edges.top_cut[k]:
                slope_noise = noise.pixels * (1 + top ** 2) / focal
                result.height_noise[k] = math.hypot(top * math.hypot(along, shape),
                                                    distance * slope_noise)
    return result


def _metres_per_pixel(distance: float, height: float, focal: float) -> float:
    """Return how much farther away a floor point is for each pixel that it is higher."""
    return (distance ** 2 + height ** 2) / (height * focal)


def _distance_by_height(edges: ContactEdges, k: int, h: float, focal: float, noise: Noise,
                        known: npt.NDArray[np.float64], between: tuple[float, float],
                        ) -> tuple[float, float]:
    """
    Return distance and standard deviation of what does not show its foot.

    Its remembered height stands between the floor and its top. Without one it is anywhere
    between what hides it and where the sight line under it meets the floor.
    """
    top = float(edges.tops[k])
    guess = sum(between) / 2, (between[1] - between[0]) / math.sqrt(12)
    height, height_noise = known
    if edges.top_cut[k] or not math.isfinite(height) or not (h - height) * top > 0:
        return guess
    distance = (h - height) / top
    slope_noise = noise.pixels * (1 + top ** 2) / focal + noise.tilt
    deviation = math.hypot(height_noise / top, distance / top * slope_noise)
    if deviation > guess[1]:
        return guess
    return min(max(distance, between[0]), between[1]), deviation


def _measure_flat(result: Measured, k: int, instances: Instances, view: FloorView,
                  noise: Noise) -> None:
    """Measure what lies on the floor: all of its outline is there."""
    x0, y0, x1, y1 = instances.boxes[k].tolist()
    mask = (instances.labels[y0:y1, x0:x1] == k + 1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.convexHull(np.concatenate(contours))[:, 0] + np.array([x0, y0])
    points = view.to_floor(outline)
    points = points[np.isfinite(points[:, 0])]
    if len(points) < 3:
        return
    centre, (length, breadth), degrees = cv2.minAreaRect(points.astype(np.float32))
    if length < breadth:
        length, breadth, degrees = breadth, length, degrees + 90
    place = np.array([centre])
    result.positions[k] = centre
    result.noise[k] = view.pixel_covariance(view.to_pixels(place), noise.pixels)[0]
    result.widths[k], result.heights[k], result.height_noise[k] = length, 0.0, 0.0
    heading = math.radians(degrees)
    result.boxes[k] = length, breadth, (heading + math.pi / 2) % math.pi - math.pi / 2


def footprint(position: npt.NDArray[np.float64], box: npt.NDArray[np.float64], flat: bool,
              contact: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """
    Return the polygon that an object covers on the floor.

    Parameters
    ----------
    position : ndarray of shape (2,)
        Its middle.
    box : ndarray of shape (3,)
        Length, breadth and heading, as :class:`Measured` has them.
    flat : bool
        The box itself; else the hull of the ellipse in it and of the contact edge.
    contact : ndarray of shape (K, 2)
        Where it was seen to touch the floor.

    Returns
    -------
    ndarray of shape (P, 2), float64
        Counter-clockwise corners in metres.

    """
    length, breadth, heading = box.tolist()
    if flat:
        corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) / 2
    else:
        turn = np.arange(_CORNERS) * (2 * math.pi / _CORNERS)
        corners = np.column_stack([np.cos(turn), np.sin(turn)]) / 2
    c, s = math.cos(heading), math.sin(heading)
    corners = corners * [length, breadth] @ np.array([[c, s], [-s, c]]) + position
    if flat:
        return corners
    hull = cv2.convexHull(np.concatenate([corners, contact]).astype(np.float32))
    return hull[:, 0].astype(np.float64)
