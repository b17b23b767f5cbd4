"""Fragments: what a lamp post or a passer-by cuts off a followed object is no new object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .matching import common_area, Rows
from .measurement import Measurement
from .track_table import TrackTable

INSIDE = 0.6         # share of a box inside that of a followed object: it may be a part of it
ROOM = 1.2           # times its whole area: what an object and its fragments have


def fragments(table: TrackTable, seen: Measurement, rows: Rows, columns: Rows
              ) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """
    Find fragments of the followed objects; the largest part of an object has its id.

    Parameters
    ----------
    table : TrackTable
        Tracks as expected in this frame.
    seen : Measurement
        What the frame shows.
    rows, columns : ndarray of shape (M,), intp
        Pairs of confirmed tracks and instances.

    Returns
    -------
    columns : ndarray of shape (M,), intp
        The instance of each track, the largest one of its parts.
    fragment : ndarray of shape (N,), bool
        Which instances are further parts.

    """
    columns, fragment = columns.copy(), np.zeros(len(seen.areas), bool)
    strange = np.setdiff1d(np.arange(len(fragment)), columns)
    if not (seen.labels.size and len(rows) and len(strange)):
        return columns, fragment
    boxes, areas = seen.boxes[strange], seen.areas[strange]
    extent = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1)
    inside = common_area(table.boxes[rows], boxes) / extent
    inside[table.class_ids[rows][:, None] != seen.class_ids[strange][None]] = 0
    # All parts together are no larger than the object was.
    room = ROOM * table.whole_areas[rows] - seen.areas[columns]
    for j in np.argsort(-areas).tolist():
        fits = np.where(areas[j] <= room, inside[:, j], 0)
        owner = int(fits.argmax())
        if fits[owner] <= INSIDE:
            continue
        room[owner] -= areas[j]
        part = strange[j]
        if areas[j] > seen.areas[columns[owner]]:
            columns[owner], part = part, columns[owner]
        fragment[part] = True
    return columns, fragment
