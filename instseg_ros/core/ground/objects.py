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
_FRONT = 0.35         # of the contact edge, by distance: what lies nearest
_BACK = 0.9           # and what lies farthest
_VISIBLE = 1 / 3      # of the contact edge must be free for it to count as seen
_LEAST_REACH = 0.3    # metres, or three pixels, that a contact edge may reach away at least
_ROUGHNESS = 2.6      # outline noise, in standard deviations, that looks like depth
_DEPTH = 0.5          # metres: what is less wide than twice that is as deep as it is wide
_PLACE = 0.3          # standard deviation of the place in widths, since the depth is not known
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
    count, height, focal = len(instances), view.height, float(view.camera.matrix[1, 1])
    result = _nothing(count, flat, edges.side_cut)
    if height <= 0 or not len(edges.owners):
        return result
    pieces = _Pieces(edges, count, height, focal)
    visible = np.isfinite(pieces.nearest) & (pieces.low_free >= _VISIBLE)
    distance, along, shape, bearings = _by_contact(pieces, visible, noise, height, focal)
    result.cut[:] = ~visible & (pieces.low_cut > 0) & (pieces.low_cut >= pieces.low_hidden)
    result.hidden[:] = ~visible & ~result.cut & (pieces.low_hidden > 0)
    by_height, deviation = _by_height(edges, pieces, noise, height, focal, known_heights)
    spread = _half_spread(edges)
    with np.errstate(invalid='ignore'):
        distance = np.where(visible, distance, by_height)
        along = np.where(visible, along, deviation)
        shape = np.where(visible, shape, distance * spread / 2)
        bearings = np.where(visible, bearings, edges.sides.mean(axis=1))
        there = np.isfinite(distance)
        width = 2 * distance * spread
        across = np.hypot(noise.pixels * distance / focal, np.where(edges.side_cut, width / 2, 0))
        axes = view.axes(bearings)
        result.positions[:] = np.where(there[:, None], view.pose.translation[:2]
                                       + distance[:, None] * axes[:, :, 0], np.nan)
        result.noise[:] = _along_and_across(axes, along, across)
        # A network draws the same outline wrong in the same way in the next frame.
        result.bias[:] = result.noise + _along_and_across(axes, shape, shape / 2)
        result.widths[:] = np.where(there, width, np.nan)
        sides = np.maximum(width, 0.05)
        heading = np.arctan2(axes[:, 1, 0], axes[:, 0, 0])
        result.boxes[:] = np.column_stack([sides, sides, heading])
        tall = height - distance * edges.tops
        result.heights[:] = np.where(there & (tall > 0), tall, np.nan)
        slope_noise = noise.pixels * (1 + edges.tops ** 2) / focal
        deviation = np.hypot(edges.tops * np.hypot(along, shape), distance * slope_noise)
        known = there & visible & ~edges.top_cut & (tall > 0)
        result.height_noise[:] = np.where(known, deviation, np.inf)
    for k in np.flatnonzero(flat & np.isfinite(pieces.nearest)).tolist():
        _measure_flat(result, k, instances, view, noise)
        result.cut[k], result.hidden[k] = pieces.low_cut[k] > _VISIBLE, False
    return result


def _nothing(count: int, flat: npt.NDArray[np.bool_], side_cut: npt.NDArray[np.bool_]) -> Measured:
    return Measured(
        positions=np.full((count, 2), np.nan), noise=np.full((count, 2, 2), np.nan),
        bias=np.zeros((count, 2, 2)), widths=np.full(count, np.nan),
        heights=np.full(count, np.nan), height_noise=np.full(count, np.inf),
        cut=np.zeros(count, bool), hidden=np.zeros(count, bool), side_cut=side_cut.copy(),
        flat=flat.copy(), boxes=np.full((count, 3), np.nan))


def _along_and_across(axes: npt.NDArray[np.float64], along: npt.NDArray[np.float64],
                      across: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return covariances (N, 2, 2) from standard deviations (N,) along two axes."""
    scaled = axes * np.stack([along, across], axis=1)[:, None]
    return scaled @ scaled.transpose(0, 2, 1)


class _Pieces:
    """
    The contact edges that may belong to one foot, sorted by owner and distance.

    Attributes
    ----------
    owners, ranges, bearings, free : ndarray of shape (P,)
        Whose, where, and whether background is below it.
    nearest, widths : ndarray of shape (N,), float64
        Distance of the nearest piece, and width of the whole thing there, in metres.
    low_free, low_cut, low_hidden : ndarray of shape (N,), float64
        Shares of the nearer half of the pieces that are so.
    hiders : ndarray of shape (N,), float64
        Distance of what hides some of that half, 0 where nothing does.

    """

    def __init__(self, edges: ContactEdges, count: int, height: float, focal: float) -> None:
        owners, ranges = edges.owners, edges.ranges
        self.nearest = np.full(count, np.inf)
        np.minimum.at(self.nearest, owners, ranges)
        with np.errstate(invalid='ignore'):
            self.widths = 2 * self.nearest * _half_spread(edges)
            # Farther away than the thing is wide, the lower outline is that of an arm or a roof.
            reach = self.nearest + np.maximum(self.widths, np.maximum(
                _LEAST_REACH, 3 * _metres_per_pixel(self.nearest, height, focal)))
        group, = np.nonzero(ranges <= reach[owners])
        group = group[np.lexsort((ranges[group], owners[group]))]
        self.owners, self.ranges = owners[group], ranges[group]
        self.bearings, states = edges.bearings[group], edges.states[group]
        self.free = states == FREE
        counts = np.bincount(self.owners, minlength=count)
        rank = np.arange(len(group)) - (np.cumsum(counts) - counts)[self.owners]
        low = 2 * rank < counts[self.owners]
        of_low = np.maximum(np.bincount(self.owners[low], minlength=count), 1)
        self.low_free, self.low_cut, self.low_hidden = (
            np.bincount(self.owners[low & (states == state)], minlength=count) / of_low
            for state in (FREE, CUT, HIDDEN))
        self.hiders = np.zeros(count)
        np.maximum.at(self.hiders, self.owners[low], edges.hiders[group][low])


def _half_spread(edges: ContactEdges) -> npt.NDArray[np.float64]:
    """Return half the width of each instance at a distance of 1."""
    return np.tan(np.minimum(edges.sides[:, 1] - edges.sides[:, 0], math.pi / 2) / 2)


def _by_contact(pieces: _Pieces, visible: npt.NDArray[np.bool_], noise: Noise, height: float,
                focal: float) -> tuple[npt.NDArray[np.float64], ...]:
    """Return distances, their noise, that of the shape, and bearings, where the foot is seen."""
    count = len(pieces.nearest)
    distance, along, shape, bearings = np.full((4, count), np.nan)
    use = pieces.free & visible[pieces.owners]
    owners, ranges = pieces.owners[use], pieces.ranges[use]
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    whose = owners[starts]
    if not len(whose):
        return distance, along, shape, bearings
    last = np.diff(starts, append=len(owners)) - 1
    front, back = (ranges[starts + (part * last).astype(np.intp)] for part in (_FRONT, _BACK))
    seen = pieces.bearings[use]
    spread = np.maximum.reduceat(seen, starts) - np.minimum.reduceat(seen, starts)
    width = front * np.minimum(spread, 1.5)
    along[whose] = noise.pixels * _metres_per_pixel(front, height, focal)
    depth = back - front - _ROUGHNESS * along[whose]
    distance[whose] = front + np.minimum(np.maximum(depth, _DEPTH), width / 2)
    unseen = 1 - pieces.low_free[whose]
    shape[whose] = np.hypot(_PLACE * width, unseen * pieces.widths[whose] / 2)
    starts = np.flatnonzero(np.diff(pieces.owners, prepend=-1))
    bearings[pieces.owners[starts]] = (np.maximum.reduceat(pieces.bearings, starts)
                                       + np.minimum.reduceat(pieces.bearings, starts)) / 2
    return distance, along, shape, bearings


def _by_height(edges: ContactEdges, pieces: _Pieces, noise: Noise, height: float, focal: float,
               known: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """
    Return distances and standard deviations of what does not show its foot.

    The remembered height stands between the floor and the top. Without one the thing is anywhere
    between what hides it and where the sight line under it meets the floor.
    """
    low, high = np.minimum(pieces.hiders, pieces.nearest), pieces.nearest
    tall, tall_noise = known.T
    with np.errstate(invalid='ignore', divide='ignore'):
        distance, deviation = (low + high) / 2, (high - low) / math.sqrt(12)
        by_top = (height - tall) / edges.tops
        slope_noise = noise.pixels * (1 + edges.tops ** 2) / focal + noise.tilt
        top_noise = np.hypot(tall_noise / edges.tops, by_top / edges.tops * slope_noise)
        better = (by_top > 0) & ~edges.top_cut & ~(top_noise > deviation)
        return (np.where(better, np.clip(by_top, low, high), distance),
                np.where(better, top_noise, deviation))


def _metres_per_pixel(distance: npt.NDArray[np.float64], height: float, focal: float
                      ) -> npt.NDArray[np.float64]:
    """Return how much farther away a floor point is for each pixel that it is higher."""
    return (distance ** 2 + height ** 2) / (height * focal)


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
