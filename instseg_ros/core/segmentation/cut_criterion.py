"""
The cut criterion: how clear a cut between two regions of a component would be.

It is the one place where this is decided: merging follows it, scores take its margin, and the
debug view shows what went into it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from . import algorithm
from .components import Hull, hull_area


class Region(NamedTuple):
    """
    A part of a component: a watershed basin, what is under a head, or several of them merged.

    Attributes
    ----------
    half_width : float
        Largest distance to the component's outline, in cells.
    area : float
        In cells.
    x, y : float
        Centroid, in cells.
    hull : ndarray of shape (K, 1, 2), int32
        Convex hull through the centres of the cells, x and y.

    """

    half_width: float
    area: float
    x: float
    y: float
    hull: Hull

    def merged(self, other: Region) -> Region:
        """Return both regions as one."""
        hull = cv2.convexHull(np.concatenate([self.hull, other.hull]))
        area = self.area + other.area
        return Region(max(self.half_width, other.half_width), area,
                      (self.area * self.x + other.area * other.x) / area,
                      (self.area * self.y + other.area * other.y) / area, hull)


class Contact(NamedTuple):
    """
    Where two regions touch.

    Attributes
    ----------
    saddle : float
        Largest distance to the component's outline on their common boundary: half the width of
        the neck between them, in cells.
    heads : bool
        Whether it is the split line between two heads.

    """

    saddle: float
    heads: bool = False


class Cut(NamedTuple):
    """
    A possible cut between two regions that touch.

    Attributes
    ----------
    contact : Contact
        Where they touch.
    neck_ratio : float
        The saddle over the half width of the slimmer region, both wider by what the outline may
        be off.
    neck_limit : float
        The neck ratio that the shapes allow, as of :func:`neck_limit`.
    concavity : float
        Share of the convex hull of both regions together that they do not cover.
    size_ratio : float
        Area of the smaller region over that of the larger one.
    elongation : float
        How many times longer than wide both regions are, and as far apart, at least 1.

    """

    contact: Contact
    neck_ratio: float
    neck_limit: float
    concavity: float
    size_ratio: float
    elongation: float

    @property
    def ratio(self) -> float:
        """Return the neck ratio over its limit; below ``dist_threshold`` a cut is made."""
        return self.neck_ratio / self.neck_limit

    def margin(self, dist_threshold: float) -> float:
        """Return how near the cut is to not being made: 0 is clear, 1 at the threshold."""
        return self.ratio / dist_threshold


def neck_limit(concavity: float, size_ratio: float, elongation: float, heads: bool) -> float:
    """
    Return the neck ratio that is allowed between two regions, at ``dist_threshold`` 1.

    A narrow neck is what tells two objects from one, but how narrow depends on the shapes.

    Parameters
    ----------
    concavity, size_ratio, elongation, heads
        As in :class:`Cut` and :class:`Contact`. Where the whole is very concave it has limbs, and
        only the narrowest necks are cuts. Small things on large ones are more often pieces of
        them. Limbs and trunks are long, and meet end to end. Two heads are evidence for two
        people.

    """
    a = algorithm.ALGORITHM
    return math.exp(a.limit + a.concavity * concavity ** 2
                    + a.size_ratio * math.log(size_ratio) + a.elongation * math.log(elongation)
                    + heads * (a.heads + a.heads_size_ratio * math.log(size_ratio)))


def cut_between(one: Region, other: Region, both: Region, contact: Contact, cell_area: float,
                ) -> Cut:
    """
    Measure a possible cut between two regions.

    Parameters
    ----------
    one, other : Region
        What is to be two.
    both : Region
        One and other as one.
    contact : Contact
        Where they touch.
    cell_area : float
        Pixels that a cell stands for.

    """
    outline_error = algorithm.ALGORITHM.outline_error / math.sqrt(cell_area)
    size_ratio = min(one.area, other.area) / max(one.area, other.area)
    concavity = max(0.0, 1 - both.area / hull_area(both.hull))
    distance = math.hypot(one.x - other.x, one.y - other.y)
    # A disc has length 1; two discs that touch are as far apart.
    lengths = [distance / (one.half_width + other.half_width),
               *(region.area / (math.pi * region.half_width ** 2) for region in (one, other))]
    elongation = max(min(lengths) / algorithm.ALGORITHM.elongated, 1.0)
    neck_ratio = ((contact.saddle + outline_error)
                  / (min(one.half_width, other.half_width) + outline_error))
    return Cut(contact, neck_ratio, neck_limit(concavity, size_ratio, elongation, contact.heads),
               concavity, size_ratio, elongation)
