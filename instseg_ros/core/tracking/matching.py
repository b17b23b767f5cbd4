"""
Matching: affinities of tracks and instances, and who is who when all are taken together.

An affinity is a number in [0, 1] for each pair; 0 says that the pair cannot be.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from . import kalman
from .measurement import Measurement
from .track_table import TrackTable

Table = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
TREMBLE = 0.12       # object sizes: deviation of the edge that fits best
STAYS = 0.4          # mask IoU of what is where it was expected
REACH = 0.25         # of the frame's longer side: how far a pushed camera shifts everything
AGREE = 0.15         # object sizes: how far an object may be off a camera's motion that it follows
NOTABLE = 0.05       # object sizes: the least motion of a camera that is told from noise
# IDF1 of the moving camera with gaps, true masks: 0.895; without SAME_SIZE 0.828, without REST
# 0.880.
SAME_SIZE = 1.5      # times the area, or less, of objects that may vote for a shift
REST = 0.5           # share of the motion of most that a camera's motion may leave unexplained
NO_ROWS = np.zeros(0, np.intp)


def in_stages(stages: tuple[tuple[npt.NDArray[np.bool_], Table, float], ...],
              rows: Rows = NO_ROWS, columns: Rows = NO_ROWS) -> tuple[Rows, Rows]:
    """
    Pair tracks with instances in stages, each optimal in itself, the surest first.

    Parameters
    ----------
    stages : tuple of (who, affinity, least)
        Which tracks take part, (T,) bool; affinities, (T, N); pairs below `least` are not made.
    rows, columns : ndarray of shape (K,), intp
        Pairs that were made before.

    Returns
    -------
    rows, columns : ndarray of shape (M,), intp
        Those pairs and the new ones.

    """
    for who, affinity, least in stages:
        r, c = np.ones(affinity.shape[0], bool), np.ones(affinity.shape[1], bool)
        r[rows] = c[columns] = False
        r, c = np.flatnonzero(who & r), np.flatnonzero(c)
        if len(r) and len(c):
            i, j = assign(affinity[np.ix_(r, c)], least)
            rows, columns = np.concatenate([rows, r[i]]), np.concatenate([columns, c[j]])
    return rows, columns


def mask_overlap(table: TrackTable, seen: Measurement) -> tuple[Table, Table]:
    """
    Lay the masks of all tracks, moved and scaled, over the instances.

    Returns
    -------
    iou, inside : ndarray of shape (T, N), float64
        Intersection over union; share of each track's mask inside each instance. Without masks
        the IoU of the boxes, and zeros.

    """
    if not seen.labels.size:
        iou = buffered_iou(table.boxes, seen.boxes, 0)
        return iou, np.zeros_like(iou)
    scale, shift = table.moves
    common = table.footprints.overlaps(scale, shift, seen.labels, len(seen.areas))
    inside = common / np.maximum(table.footprints.counts, 1)[:, None]
    areas = table.areas_now
    pixels = inside * areas[:, None]
    return pixels / np.maximum(areas[:, None] + seen.areas[None] - pixels, 1e-9), inside


def buffered_iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], margin: float) -> Table:
    """
    Return the IoU, (T, N), of boxes (T, 4) and (N, 4) that grow by a margin on every side.

    The margin is a share of width and height (BIoU: Yang et al., *Hard to Track Objects with
    Irregular Motions and Similar Appearances?*, 2023); 0 gives the plain IoU.
    """
    a, b = _grown(a, margin), _grown(b, margin)
    common = common_area(a, b)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    return common / np.maximum(area_a[:, None] + area_b[None] - common, 1e-9)


def common_area(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Table:
    """Return the area, (T, N) in px, that boxes have in common."""
    # Axis by axis: a table of pairs with two numbers each takes three times as long.
    along = (np.minimum.outer(a[:, axis + 2], b[:, axis + 2])
             - np.maximum.outer(a[:, axis], b[:, axis]) for axis in (0, 1))
    width, height = (np.maximum(extent, 0, out=extent) for extent in along)
    return width * height


def emergence(table: TrackTable, seen: Measurement, rows: Rows, margin: float,
              deviations: float) -> Table:
    """
    Return how well instances are what comes out from behind something, for some tracks, (R, N).

    A strip of the object shows, over all of its height or all of its width: the IoU on one axis
    times the share of the strip inside the expected box on the other. That box grows there by
    `margin` of its size and by `deviations` standard deviations of its edges, as who is hidden may
    have turned. Zeros without masks: boxes of other detectors are those of whole objects.
    """
    if not (seen.labels.size and len(rows)):
        return np.zeros((len(rows), len(seen.areas)))
    expected = table.boxes[rows]
    spread = deviations * np.sqrt(kalman.edge_variances(table.covariance[rows]))
    wide = _grown(expected, margin) + spread * (-1, -1, 1, 1)
    share, iou = [], []
    for axis in (0, 1):
        length = seen.boxes[:, axis + 2] - seen.boxes[:, axis]
        own = (expected[:, axis + 2] - expected[:, axis])[:, None]
        near, common = (np.maximum(np.minimum.outer(b[:, axis + 2], seen.boxes[:, axis + 2])
                                   - np.maximum.outer(b[:, axis], seen.boxes[:, axis]), 0)
                        for b in (wide, expected))
        share.append(near / np.maximum(length, 1))
        iou.append(common / np.maximum(own + length - common, 1e-9))
    return np.maximum(share[0] * iou[1], share[1] * iou[0])


def area_ratio(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Table:
    """Return the smaller area by the larger one, (T, N)."""
    return np.minimum.outer(a, b) / np.maximum(np.maximum.outer(a, b), 1)


def _grown(boxes: npt.NDArray[np.float64], margin: float) -> npt.NDArray[np.float64]:
    by = margin * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - by, boxes[:, 2:] + by], axis=1)


def edge_affinity(table: TrackTable, seen: Measurement, rows: Rows, columns: Rows
                  ) -> npt.NDArray[np.float64]:
    """
    Return how near the edge that fits best on each axis is to its forecast, for pairs, (M,).

    Of an object that goes behind another one, one edge and the centre are off and the other edge
    is not; who walks in front of somebody takes the other's pixels, but not the height of head and
    feet.
    """
    boxes = table.boxes
    off = seen.boxes[columns] - boxes[rows]
    low, high = off[:, :2], off[:, 2:]
    least = np.minimum(np.minimum(np.abs(low), np.abs(high)), np.abs(low + high) / 2)
    variance = (TREMBLE * kalman.sizes(boxes))**2 + table.covariance[:, :, 0, 0].mean(axis=1)
    return np.exp(-0.5 * (least**2).sum(axis=1) / variance[rows])


def assign(likeness: Table, least: float) -> tuple[Rows, Rows]:
    """
    Pair rows with columns so that the pairs' likeness adds up to the most.

    Parameters
    ----------
    likeness : ndarray of shape (T, N), float64
        How well a row and a column go together.
    least : float
        Pairs below are never made.

    Returns
    -------
    rows, columns : ndarray of shape (M,), intp

    Examples
    --------
    >>> rows, columns = assign(np.array([[0.9, 0.8], [0.8, 0.1]]), 0.2)
    >>> list(zip(rows.tolist(), columns.tolist()))
    [(0, 1), (1, 0)]

    """
    possible = likeness >= least
    wanted_by, wants = possible.sum(axis=0), possible.sum(axis=1)
    # Pairs that nobody else wants need no solver: with 300 objects that is nearly all of them.
    rows, columns = np.nonzero(possible & (wanted_by == 1)[None] & (wants == 1)[:, None])
    wants[rows] = wanted_by[columns] = 0
    free_rows, free_columns = np.flatnonzero(wants), np.flatnonzero(wanted_by)
    if len(free_rows) and len(free_columns):
        # Takes 0.2 s and 26 MB to import, which nodes that match nothing are spared.
        from scipy.optimize import linear_sum_assignment
        contested = np.ix_(free_rows, free_columns)
        gain = np.where(possible[contested], likeness[contested], 0.0)
        r, c = linear_sum_assignment(gain, maximize=True)
        made = possible[contested][r, c]
        rows = np.concatenate([rows, free_rows[r[made]]])
        columns = np.concatenate([columns, free_columns[c[made]]])
    return rows, columns


def camera_shift(table: TrackTable, seen: Measurement, iou: Table,
                 known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """
    Return how far the whole scene jumped since the last frame, beyond the forecast, (2,).

    Zeros when half of the `known` tracks are where they were expected.
    """
    if known.sum() < 3 or len(seen.areas) < 3 \
            or (iou[known].max(axis=1) >= STAYS).mean() >= 0.5:
        return np.zeros(2)
    boxes, area = table.seen_boxes_now[known], table.areas[known]
    expected, centres = ((b[:, :2] + b[:, 2:]) / 2 for b in (boxes, seen.boxes))
    ratio = area[:, None] / np.maximum(seen.areas[None], 1)
    distance = np.abs(centres[None] - expected[:, None]).max(axis=2)
    reach = REACH * max(seen.labels.shape) if seen.labels.size else np.inf
    possible = ((np.maximum(ratio, 1 / ratio) < SAME_SIZE) & (distance < reach)
                & (table.class_ids[known][:, None] == seen.class_ids[None]))
    return common_shift(expected, centres, possible,
                        cell=max(4.0, 0.25 * float(np.sqrt(np.median(area)))))


def camera_motion(expected: npt.NDArray[np.float64], seen: npt.NDArray[np.float64]
                  ) -> tuple[float, npt.NDArray[np.float64]] | None:
    """
    Return the scale and the shift, (2,), that a camera gave everything beyond the forecast.

    Driving lets everything grow, turning shifts it: a similarity that most of the boxes follow
    (RANSAC). None when there is none, or when it is no larger than noise. Its rotation is left
    out: robots do not roll, and few objects say little about it.

    Parameters
    ----------
    expected, seen : ndarray of shape (M, 4), float64
        Boxes of the same objects: their forecasts, and where they are.

    """
    if len(seen) < 4:
        return None
    before, after = ((b[:, :2] + b[:, 2:]) / 2 for b in (expected, seen))
    size = float(np.median(kalman.sizes(seen)))
    jump = np.median(np.linalg.norm(after - before, axis=1))
    if jump < NOTABLE * size:
        return None
    matrix, follows = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=max(1.0, AGREE * size),
        maxIters=200)
    if matrix is None or follows.sum() < max(4, 0.6 * len(seen)):
        return None
    who, scale = follows.ravel() > 0, float(matrix[0, 0])
    shift = after[who].mean(axis=0) - scale * before[who].mean(axis=0)
    rest = np.median(np.linalg.norm(scale * before + shift - after, axis=1))
    return (scale, shift) if rest < REST * jump else None


def common_shift(expected: npt.NDArray[np.float64], seen: npt.NDArray[np.float64],
                 possible: npt.NDArray[np.bool_], cell: float) -> npt.NDArray[np.float64]:
    """
    Return the one shift that explains where most objects went: a camera that was pushed.

    Every possible pair votes for its own shift; a true common shift collects one vote of each
    object in the same cell, wrong pairs scatter (a Hough vote).

    Parameters
    ----------
    expected, seen : ndarray of shape (T, 2) and (N, 2), float64
        Centres, x and y in pixels.
    possible : ndarray of shape (T, N), bool
        Pairs that may vote.
    cell : float
        Side of a voting cell in pixels.

    Returns
    -------
    ndarray of shape (2,), float64
        x and y in pixels; zeros when no shift explains at least 3 objects and 60 % of them.

    """
    t, n = np.nonzero(possible)
    none = np.zeros(2)
    if len(t) < 3:
        return none
    votes = seen[n] - expected[t]
    low = votes.min(axis=0)
    # Cells overlap by half, so that a true shift is never cut in two by the borders of cells.
    corner = np.floor((votes - low) / (cell / 2)).astype(np.int64) + 1
    width, height = corner.max(axis=0) + 1
    counted = np.zeros((height + 1, width + 1), np.int64)
    np.add.at(counted, (corner[:, 1], corner[:, 0]), 1)
    windows = counted[:-1, :-1] + counted[1:, :-1] + counted[:-1, 1:] + counted[1:, 1:]
    at_y, at_x = np.unravel_index(int(windows.argmax()), windows.shape)
    inside = ((corner - (at_x, at_y) >= 0) & (corner - (at_x, at_y) <= 1)).all(axis=1)
    agreeing = len(np.unique(t[inside]))
    if agreeing < 3 or agreeing < 0.6 * len(expected):
        return none
    return np.median(votes[inside], axis=0)
