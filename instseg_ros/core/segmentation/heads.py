"""
Heads: where people who stand side by side part, though no neck shows it.

The masks of a network melt such people into one wide shape, but their heads stay apart along its
upper outline. The camera must be upright.

References
----------
Zhao and Nevatia: Tracking multiple humans in complex situations, PAMI 2004, find heads as peaks
of the outline of foreground.

"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from . import algorithm
from .components import Component
from .cut_criterion import Contact, Region
from .region_graph import RegionGraph, shapes
from .watershed import distance_map, scaled_contours


# Rows of a component in which its outline is looked at: a head is some of them high and wide. No
# figure tells 80 from 150.
_LINES = 100


def head_graph(component: Component) -> RegionGraph | None:
    """Return what is under each head of a component as regions; None if it has not two heads."""
    x0, y0, x1, y1 = component.box
    height = min(y1 - y0, _LINES)
    width = round((x1 - x0) * height / (y1 - y0)) or 1
    drawn = np.zeros((height, width), np.uint8)
    cv2.drawContours(drawn, scaled_contours(component, drawn.shape), -1, 1, cv2.FILLED)
    drawn *= np.arange(height, 0, -1, dtype=np.uint8)[:, None]
    profile = drawn.max(axis=0).astype(np.intp)
    heads = _heads(profile, height)
    if len(heads) < 2:
        return None
    framed = distance_map(component)
    distance = framed[1:-1, 1:-1]
    rows, columns = distance.shape
    labels = np.ones((rows, columns), np.uint16)
    saddles = []
    for left, right in zip(heads, heads[1:], strict=False):
        between = profile[left:right]
        lowest = np.flatnonzero(between == between.min())
        valley = left + int(lowest[len(lowest) // 2])
        start, *side = (min(int(x * columns / width), columns - 1)
                        for x in (valley, left, right))
        top = min(int((height - profile[valley]) * rows / height), rows - 1)
        line = split_line(distance, start, top, *side)
        labels += np.arange(columns) >= line[:, None]
        saddles.append(max(float(distance[np.arange(rows), line].max()), 0.5))
    regions = np.zeros(framed.shape, np.uint16)
    regions[1:-1, 1:-1] = labels * (distance > 0)
    found = shapes(regions)
    if len(found) < len(heads):
        return None
    return RegionGraph(
        distance, labels,
        [Region(float(framed[regions == k].max()), *shape) for k, shape in found.items()],
        {(k, k + 1): Contact(saddle, True) for k, saddle in enumerate(saddles, 1)},
        component.area / sum(shape.area for shape in found.values()))


def _heads(profile: npt.NDArray[np.integer], height: int) -> list[int]:
    """Return where heads are along the upper outline of a component of that height."""
    a = algorithm.ALGORITHM
    heads: list[int] = []
    for x in peaks(profile, a.head_prominence * height):
        if profile[x] < a.head_height * height:
            continue
        if heads and x - heads[-1] < a.head_distance * height:
            heads[-1] = max(heads[-1], x, key=lambda one: int(profile[one]))
        else:
            heads.append(x)
    return heads


def peaks(profile: npt.NDArray[np.integer], prominence: float) -> list[int]:
    """
    Return where a profile has peaks that rise by a prominence over the valleys on both sides.

    Parameters
    ----------
    profile : ndarray of shape (n,), int
        Heights; beside it are zeros.
    prominence : float
        In the same unit.

    """
    found: list[int] = []
    rising, top, bottom, best = True, 0, 0, 0
    for x, height in enumerate(profile.tolist()):
        if rising and height > top:
            top, best = height, x
        elif rising and height <= top - prominence:
            found.append(best)
            rising, bottom = False, height
        elif not rising and height < bottom:
            bottom = height
        elif not rising and height >= bottom + prominence:
            rising, top, best = True, height, x
    return [*found, best] if rising else found


def split_line(distance: npt.NDArray[np.float32], start: int, top: int, left: int, right: int,
               ) -> npt.NDArray[np.intp]:
    """
    Return the line that goes down from a valley through the narrowest of the bodies.

    Parameters
    ----------
    distance : ndarray of shape (h, w), float32
        As of :func:`.watershed.distance_map`, without its frame.
    start, top : int
        Column and row of the valley.
    left, right : int
        Columns of the heads: the line ends halfway to either at most.

    Returns
    -------
    ndarray of shape (h,), int64
        The first column on the right of the line, in each row.

    """
    rows, columns = distance.shape
    ends = np.arange((start + left) // 2, (start + right) // 2 + 1)
    # The straightest of equal ones.
    ends = ends[np.abs(ends - start).argsort(kind='stable')]
    down = np.arange(rows - top) / max(rows - top - 1, 1)
    lines = np.rint(start + (ends[:, None] - start) * down).astype(np.intp)
    crossed = distance[np.arange(top, rows), lines].sum(axis=1)
    line = np.full(rows, start)
    line[top:] = lines[crossed.argmin()]
    return line
