"""Association: how alike two objects are, and who is who when all are taken together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Table = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def box_overlaps(a: npt.NDArray, b: npt.NDArray) -> Table:
    """Return the intersection over union, (T, N), of boxes (T, 4) and (N, 4): x0, y0, x1, y1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    union = area_a[:, None] + area_b[None] - common
    return common / np.maximum(union, 1e-9)


def oriented_overlaps(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64],
                      spread: npt.NDArray[np.float64]) -> Table:
    """
    Return how alike oriented boxes are, in [0, 1]: overlap, distance, size and angle in one.

    Boxes are read as Gaussians and compared by their Hellinger distance (ProbIoU: Llerena et al.,
    *Gaussian Bounding Boxes and Probabilistic Intersection-over-Union*, 2021), which needs no
    polygons and, unlike an intersection, still tells near from far when boxes do not touch.

    Parameters
    ----------
    a, b : ndarray of shape (T, 5) and (N, 5), float64
        cx, cy, w, h in pixels, theta in radians, as in ``Instances.oriented_boxes``.
    spread : ndarray of shape (T,), float64
        Variance of the position of each of `a`, px**2. It blurs the box: far ones become more
        alike, near ones less, and nothing is very like an object that may be anywhere.

    Returns
    -------
    ndarray of shape (T, N), float64

    """
    axx, ayy, axy = _gaussians(a)
    axx, ayy = axx + spread, ayy + spread
    bxx, byy, bxy = _gaussians(b)
    det_a, det_b = axx * ayy - axy**2, bxx * byy - bxy**2
    xx, yy, xy = (p[:, None] + q[None] for p, q in ((axx, bxx), (ayy, byy), (axy, bxy)))
    shape = 0.5 * np.log((xx * yy - xy**2) / (4 * np.sqrt(det_a[:, None] * det_b[None])))
    dx, dy = (b[None, :, i] - a[:, None, i] for i in (0, 1))
    near = 0.25 * (yy * dx**2 + xx * dy**2 - 2 * xy * dx * dy) / (xx * yy - xy**2)
    return 1 - np.sqrt(1 - np.exp(-np.clip(near + shape, 0, 100)))


def _gaussians(boxes: npt.NDArray[np.float64]) -> tuple[npt.NDArray, ...]:
    """Return the xx, yy and xy covariances of points spread evenly over oriented boxes."""
    _, _, w, h, theta = boxes.T
    along, across = w**2 / 12, h**2 / 12
    c, s = np.cos(theta), np.sin(theta)
    # theta turns counter-clockwise on the screen, where y points down: xy has the minus.
    return along * c**2 + across * s**2, along * s**2 + across * c**2, (across - along) * c * s


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
        contested = np.ix_(free_rows, free_columns)
        gain = np.where(possible[contested], likeness[contested], 0.0)
        r, c = linear_sum_assignment(gain, maximize=True)
        made = possible[contested][r, c]
        rows = np.concatenate([rows, free_rows[r[made]]])
        columns = np.concatenate([columns, free_columns[c[made]]])
    return rows, columns


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
