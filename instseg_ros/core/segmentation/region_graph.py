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

from .components import Hull, hull_area
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
    hull_area: float


def shapes(labels: npt.NDArray[np.integer]) -> dict[int, Shape]:
    """
    Return the shape of each label.

    Parameters
    ----------
    labels : ndarray of shape (h, w), int
        Framed by 0, which has no shape.

    """
    flat, width = labels.ravel(), labels.shape[1]
    # Runs of cells along the rows.
    last, = (flat[1:] != flat[:-1]).nonzero()
    length, end = np.diff(last), last[1:]
    label, row = flat[end], end // width
    areas = np.bincount(label, length).tolist()
    ys = np.bincount(label, length * row).tolist()
    xs = np.bincount(label, length * (end - row * width - (length - 1) / 2)).tolist()
    # Hulls through both ends of every run; they have neighbours outside, of label 0.
    cells = np.concatenate([last, last + 1])
    label = flat[cells]
    cells = cells[label.argsort(kind='stable')]
    points = np.empty((len(cells), 2), np.int32)
    points[:, 1] = row = cells // width
    points[:, 0] = cells - row * width
    ends = np.bincount(label).cumsum().tolist()
    found = {}
    for k in range(1, len(areas)):
        if areas[k]:
            hull = cv2.convexHull(points[ends[k - 1]:ends[k]])
            found[k] = Shape(areas[k], xs[k] / areas[k], ys[k] / areas[k], hull, hull_area(hull))
    return found
