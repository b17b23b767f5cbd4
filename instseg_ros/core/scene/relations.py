"""Relations between masks: how far they overlap, contain each other, or are apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .view import View

_Table = npt.NDArray[np.float64]


def shares(view: View, relation: str) -> _Table:
    """
    Return how far each instance has a relation to each other one, (N, N).

    In (0, 1], and -inf where two do not meet.

    Masks of a label image never share pixels: where objects overlap, one is seen, and the outline
    of the other ends there. So what is measured is how much of an outline runs along the other
    mask: hardly any of it where two only touch, all of it around what lies within the other.

    Parameters
    ----------
    view : View
        The frame.
    relation : str
        ``overlap``: the share of the shorter outline; ``contains``: of the outline of the other
        (column); ``inside``: of the outline of the instance itself (row).

    """
    lengths = view.contacts.sum(axis=1)[1:].astype(np.float64)
    own, other = lengths[:, None], lengths[None]
    outline = {'overlap': np.minimum(own, other), 'contains': other, 'inside': own}[relation]
    contacts = view.contacts[1:, 1:]
    # Where they do not meet is no share so small that it is enough.
    return np.where(contacts > 0, contacts / np.maximum(outline, 1), -np.inf)


def gaps(view: View, reach: _Table, wanted: npt.NDArray[np.bool_]) -> _Table:
    """
    Return the gaps between masks, (N, N) in pixels: 0 where they meet.

    Parameters
    ----------
    view : View
        The frame.
    reach : ndarray of shape (N,)
        The largest gap of each instance (row) that matters, in pixels; inf stands for what is
        larger than those of both.
    wanted : ndarray of shape (N, N), bool
        The pairs that are asked for; inf stands for the others.

    """
    found = np.full((view.count, view.count), np.inf)
    boxes = view.instances.boxes.astype(np.float64)
    # The gap of the masks is never smaller than that of the boxes along x, or along y.
    apart = np.maximum(boxes[:, None, :2] - boxes[None, :, 2:],
                       boxes[None, :, :2] - boxes[:, None, 2:]).max(axis=2)
    near = wanted & (apart <= reach[:, None])
    for i, j in np.argwhere(np.triu(near | near.T, 1)).tolist():
        most = max(reach[i], reach[j])
        gap = _gap(_within(view.outlines[i], boxes[j], most),
                   _within(view.outlines[j], boxes[i], most), view.step)
        if gap <= most:
            found[i, j] = found[j, i] = gap
    return found


def _within(points: _Table, box: _Table, reach: float) -> _Table:
    """Return the points, (P, 2), that are not farther than ``reach`` from a box."""
    return points[((points >= box[:2] - reach) & (points <= box[2:] + reach)).all(axis=1)]


def _gap(a: _Table, b: _Table, step: int) -> float:
    if not len(a) or not len(b):
        return float('inf')
    x, y = (np.subtract.outer(a[:, k], b[:, k]) for k in (0, 1))
    # From one cell to the next is no gap.
    return max(0.0, float(np.sqrt((x * x + y * y).min())) - step)
