"""
Region adjacency graph: the regions of a component, and where they touch.

References
----------
Tremeau and Colantoni: Regions adjacency graph applied to color image segmentation, IEEE
Transactions on Image Processing, 2000.

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .components import Hull
from .cut_criterion import Contact, Region


@dataclass(frozen=True)
class RegionGraph:
    """
    The regions of one component on its grid.

    Attributes
    ----------
    distance : ndarray of shape (h, w), float32
        Distance to the component's outline in cells; 0 outside.
    labels : ndarray of shape (h, w), uint16
        1..n the regions, which reach into the cells around them; 0 elsewhere.
    regions : list of Region
        Region k is ``regions[k - 1]``.
    contacts : dict of (int, int) to Contact
        Of regions that touch; the smaller label first.
    cell_area : float
        Pixels that a cell stands for.

    """

    distance: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    regions: list[Region]
    contacts: dict[tuple[int, int], Contact]
    cell_area: float


class Shape(NamedTuple):
    """Area, centroid and convex hull of the cells of a label, as in :class:`Region`."""

    area: float
    x: float
    y: float
    hull: Hull


def shapes(labels: npt.NDArray[np.integer]) -> dict[int, Shape]:
    """
    Return the shape of each label.

    Parameters
    ----------
    labels : ndarray of shape (h, w), int
        Framed by 0, which has no shape.

    """
    flat, width = labels.ravel(), labels.shape[1]
    # Runs of cells along the rows: last cell of each, ordered by label, without those of 0.
    last, = (flat[1:] != flat[:-1]).nonzero()
    label = flat[last]
    order = label.argsort(kind='stable')[np.count_nonzero(label == 0):]
    label, right, before = label[order], last[order], last[order - 1]
    y, x1 = np.divmod(right, width)
    length = right - before
    x0 = x1 - length + 1
    change, = (label[1:] != label[:-1]).nonzero()
    first = [0, *(change + 1).tolist()]
    sums = np.add.reduceat(np.array([length, length * (x0 + x1) / 2, length * y]), first, axis=1)
    # Hulls through both ends of every run.
    points = np.array([x0, y, x1, y], np.int32).T.reshape(-1, 2)
    found = {}
    for k, start, end, (area, x, y) in zip(label[first].tolist(), first, [*first[1:], len(label)],
                                           sums.T.tolist(), strict=True):
        hull = cv2.convexHull(points[2 * start:2 * end])
        found[k] = Shape(area, x / area, y / area, hull)
    return found
