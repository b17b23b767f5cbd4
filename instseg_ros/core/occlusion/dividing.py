"""Dividing: instances of which some are replaced by parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..instances import Instances
from ..segmentation.components import hull_area
from ..segmentation.oriented_boxes import oriented_boxes
from ..segmentation.scores import scores


@dataclass(frozen=True)
class Division:
    """
    Parts that take the place of instances.

    Attributes
    ----------
    columns : list of int
        The instances that are replaced; what they cover, the parts cover.
    corner : tuple of int
        x and y of the first pixel of the parts.
    parts : list of ndarray of shape (h, w), bool
        True on a part; none is empty, no two overlap.

    """

    columns: list[int]
    corner: tuple[int, int]
    parts: list[npt.NDArray[np.bool_]]


def share_out(blob: npt.NDArray[np.bool_], covers: Sequence[npt.NDArray[np.uint8]]
              ) -> list[npt.NDArray[np.bool_]]:
    """Give every pixel of a blob to the first cover it is in, or else to the nearest."""
    away = [cv2.distanceTransform(1 - cover, cv2.DIST_L1, 3, dstType=cv2.CV_8U)
            for cover in covers]
    owner = np.argmin(away, axis=0) if len(away) > 2 else away[1] < away[0]
    return [(owner == k) & blob for k in range(len(covers))]


def divided(instances: Instances, divisions: Sequence[Division]) -> Instances:
    """
    Return the instances after divisions; the same object without any.

    Parts take over the labels of what they replace; further ones follow at the end.
    """
    if not divisions:
        return instances
    labels, count = instances.labels.copy(), len(instances)
    places, gone, hulls, areas, class_ids = [], [], [], [], []
    for division in divisions:
        x, y = division.corner
        taken = division.columns[:len(division.parts)]
        gone += division.columns[len(taken):]
        for k, part in enumerate(division.parts):
            place = taken[k] if k < len(taken) else count
            count += place == count
            height, width = part.shape
            labels[y:y + height, x:x + width][part] = place + 1
            contours, _ = cv2.findContours(part.view(np.uint8), cv2.RETR_EXTERNAL,
                                           cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))
            places.append(place)
            hulls.append(cv2.convexHull(np.concatenate(contours)))
            areas.append(cv2.countNonZero(part.view(np.uint8)))
            class_ids.append(instances.class_ids[division.columns[0]])

    def with_parts(values: npt.NDArray, parts: npt.NDArray) -> npt.NDArray:
        """Return values of all instances."""
        everything = np.zeros((count, *values.shape[1:]), values.dtype)
        everything[:len(values)], everything[places] = values, parts
        return everything

    rectangles = np.array([cv2.boundingRect(hull) for hull in hulls])
    rectangles[:, 2:] += rectangles[:, :2]
    new_areas = np.array(areas, np.int64)
    result = Instances(labels, with_parts(instances.class_ids, np.array(class_ids)),
                       with_parts(instances.areas, new_areas), instances.scores,
                       with_parts(instances.boxes, rectangles),
                       with_parts(instances.oriented_boxes, oriented_boxes(hulls, new_areas)))
    hull_areas = result.areas.astype(np.float64)
    hull_areas[places] = [hull_area(hull) for hull in hulls]
    # What was seen apart is no doubtful cut.
    own = scores(result.class_ids, result.areas, result.boxes, hull_areas, np.zeros(count))
    return _without(Instances(
        labels, result.class_ids, result.areas, with_parts(instances.scores, own[places]),
        result.boxes, result.oriented_boxes), gone)


def _without(instances: Instances, gone: list[int]) -> Instances:
    """Return the instances without some that have no pixels any more."""
    if not gone:
        return instances
    stay = np.ones(len(instances), bool)
    stay[gone] = False
    dense = np.concatenate([[0], np.where(stay, np.cumsum(stay), 0)]).astype(np.uint16)
    return Instances(dense[instances.labels], instances.class_ids[stay], instances.areas[stay],
                     instances.scores[stay], instances.boxes[stay], instances.oriented_boxes[stay])
