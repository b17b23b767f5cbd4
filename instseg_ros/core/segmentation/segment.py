"""
Segmentation: from a class mask to instances.

Nothing here is larger than the frame: each class is looked at in the box around it, and each
component in its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .class_masks import check_mask, classes, opened
from .components import Component, components, Hull
from .limits import batches, Found, largest, MAX_INSTANCES, TooManyInstances
from .oriented_boxes import oriented_boxes
from .partition import grow
from .scores import scores
from .settings import SegmentationSettings
from .splitting import split
from ..class_names import VOC_NAMES
from ..instances import Instances


class _Instance(NamedTuple):
    """What is known of an instance beside its pixels in the label image."""

    class_id: int
    area: int
    box: tuple[int, int, int, int]
    hull: Hull
    hull_area: float
    margin: float


def segment_instances(mask: npt.NDArray[np.uint8], settings: SegmentationSettings,
                      class_names: Mapping[int, str] = VOC_NAMES) -> Instances:
    """
    Split every class of a mask into instances.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel; 0 background, 255 no data.
    settings : SegmentationSettings
        How to split.
    class_names : mapping of int to str
        Names of class ids, which ``settings.upright_classes`` are looked up in; PASCAL VOC unless
        given.

    Returns
    -------
    Instances
        In the order of their classes. Of more than 65535, the largest.

    Raises
    ------
    TypeError, ValueError
        The mask has another dtype or shape.

    """
    check_mask(mask)
    upright = settings.upright_ids(class_names)
    # What an opening took away may grow back.
    min_area = 1 if settings.opens else settings.smallest_area(mask.shape)

    def find(min_area: int) -> Iterator[Found]:
        return _components(mask, settings, min_area)

    try:
        labels, instances = _labelled(find(min_area), mask.shape, settings, upright)
    except TooManyInstances:
        labels, instances = _labelled(largest(find, min_area), mask.shape,
                                      settings.changed(dist_threshold=0.0), upright)
    if settings.opens:
        labels, instances = _grown_back(mask, labels, instances, settings)
    return _measured(labels, instances)


def _components(mask: npt.NDArray[np.uint8], settings: SegmentationSettings, min_area: int,
                ) -> Iterator[Found]:
    """Yield class id and component of every component, class by class."""
    for class_id, binary, x, y in classes(mask, settings, min_area):
        for component in components(opened(binary, settings), min_area, (x, y)):
            yield class_id, component


def _labelled(found: Iterable[Found], shape: tuple[int, ...], settings: SegmentationSettings,
              upright: frozenset[int]) -> tuple[npt.NDArray[np.uint16], list[_Instance]]:
    """Split components; returns the label image and its instances, TooManyInstances raised."""
    labels = np.zeros(shape, np.uint16)
    instances: list[_Instance] = []
    min_area = settings.smallest_area(shape)
    for batch in batches(found, labels.size):
        for one in split(batch, settings.dist_threshold, min_area, upright):
            for part, margin in one.pieces:
                if len(instances) == MAX_INSTANCES:
                    raise TooManyInstances
                instances.append(_instance(one.class_id, part, margin))
                part.paint(labels, len(instances))
    return labels, instances


def _instance(class_id: int, part: Component, margin: float) -> _Instance:
    return _Instance(class_id, part.area, part.box, part.hull, part.hull_area, margin)


def _grown_back(mask: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint16],
                instances: list[_Instance], settings: SegmentationSettings,
                ) -> tuple[npt.NDArray[np.uint16], list[_Instance]]:
    """Let instances grow over what the opening took of their class; drop those still small."""
    # Not above: SciPy takes a quarter of a second, which programs that never open can save.
    from scipy.ndimage import find_objects  # type: ignore[import-untyped]

    steps = round(settings.dilate_iteration * (settings.dilate_kernel - 1) / 2)
    min_area = settings.smallest_area(mask.shape)
    owners = np.array([0, *(one.class_id for one in instances)], np.uint8)
    for _, binary, x, y in classes(mask, settings):
        here = np.s_[y:y + binary.shape[0], x:x + binary.shape[1]]
        inside = binary != 0
        own = np.where(inside, labels[here], np.uint16(0))
        grow(own, binary, steps)
        np.copyto(labels[here], own, where=inside)
    kept = np.zeros_like(labels)
    grown: list[_Instance] = []
    for k, place in enumerate(find_objects(labels), 1):
        pixels = labels[place] == k
        area = int(np.count_nonzero(pixels))
        if area >= min_area:
            rows, columns = place
            contours, _ = cv2.findContours(
                pixels.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE,
                offset=(columns.start, rows.start))
            part = Component(area, (columns.start, rows.start, columns.stop, rows.stop),
                             contours[0])
            grown.append(_instance(int(owners[k]), part, instances[k - 1].margin))
            kept[place][pixels] = len(grown)
    return kept, grown


def _measured(labels: npt.NDArray[np.uint16], instances: list[_Instance]) -> Instances:
    """Add scores and oriented boxes, of all instances together."""
    measures = np.array([(one.class_id, one.area, *one.box, one.hull_area, one.margin)
                         for one in instances]).reshape(-1, 8)
    class_ids, areas = measures[:, 0].astype(np.uint8), measures[:, 1].astype(np.int64)
    boxes = measures[:, 2:6].astype(np.int32)
    return Instances(labels, class_ids, areas,
                     scores(class_ids, areas, boxes, measures[:, 6], measures[:, 7]), boxes,
                     oriented_boxes([one.hull for one in instances], areas))
