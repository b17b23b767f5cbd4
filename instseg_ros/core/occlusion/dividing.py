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


def divided(instances: Instances, divisions: Sequence[Division]) -> Instances:
    """
    Return the instances after divisions; the same object without any.

    Instances that are not divided stay in their order; parts follow them.
    """
    if not divisions:
        return instances
    count = len(instances)
    stay = np.ones(count, bool)
    labels = instances.labels.copy()
    class_ids, boxes, hulls, areas = [], [], [], []
    for division in divisions:
        stay[division.columns] = False
        x, y = division.corner
        for part in division.parts:
            height, width = part.shape
            class_ids.append(instances.class_ids[division.columns[0]])
            labels[y:y + height, x:x + width][part] = count + len(class_ids)
            contours, _ = cv2.findContours(part.view(np.uint8), cv2.RETR_EXTERNAL,
                                           cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))
            hull = cv2.convexHull(np.concatenate(contours))
            left, top, w, h = cv2.boundingRect(hull)
            hulls.append(hull)
            areas.append(np.count_nonzero(part))
            boxes.append((left, top, left + w, top + h))
    # Labels stay dense.
    dense = np.zeros(count + len(areas) + 1, np.uint16)
    alive = np.concatenate([np.flatnonzero(stay) + 1, np.arange(count + 1, len(dense))])
    dense[alive] = np.arange(1, len(alive) + 1)
    new_areas = np.concatenate([instances.areas[stay], areas])
    new_boxes = np.concatenate([instances.boxes[stay], np.array(boxes, np.int32)])
    new_class_ids = np.concatenate([instances.class_ids[stay], np.array(class_ids, np.uint8)])
    hull_areas = new_areas.astype(np.float64)
    hull_areas[-len(areas):] = [hull_area(hull) for hull in hulls]
    of_parts = scores(new_class_ids, new_areas, new_boxes, hull_areas,
                      np.zeros(len(new_areas)))[-len(areas):]
    return Instances(
        dense[labels], new_class_ids, new_areas,
        np.concatenate([instances.scores[stay], of_parts]), new_boxes,
        np.concatenate([instances.oriented_boxes[stay],
                        oriented_boxes(hulls, new_areas[-len(areas):])]))
