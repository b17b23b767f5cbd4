"""
Segmentation: from a class mask to instances.

Each class goes through the same steps, and none of them sees more of the frame than the box
around the class, or around one component of it: opening (off by default), 8-connected components,
the cuts of :mod:`.splitting`, growing back, and the measures of each instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, groupby
from operator import itemgetter
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from . import necks, splitting
from .components import Component, components, Hull, hull_area, without_specks
from .instances import Instances
from .oriented_boxes import oriented_boxes
from .scores import scores
from .settings import setting, Settings

NO_DATA = 255
MAX_INSTANCES = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class SegmentationSettings(Settings):
    """How class masks are split into instances."""

    erosion_kernel: int = setting(
        3, 'Side of the square kernel that opens the class mask before distances are measured',
        unit='px', low=1, high=255)
    erosion_iteration: int = setting(
        0, 'How often the mask is opened: removes specks and thin bridges', low=0, high=50)
    dilate_kernel: int = setting(
        5, 'Side of the square kernel by which instances grow back to the class mask',
        unit='px', low=1, high=255)
    dilate_iteration: int = setting(
        5, 'How often instances grow back to the class mask', low=0, high=50)
    dist_threshold: float = setting(
        0.5, "Where touching objects are cut, relative to an object's own half width: "
        '0 never cuts, higher cuts more readily', low=0, high=1)
    size_threshold: int = setting(
        20, 'Instances of fewer pixels are dropped', unit='px', low=0, high=10_000_000)
    ignored_classes: tuple[int, ...] = setting(
        (), 'Class ids that never become instances, besides 0 (background) and 255 (no data)',
        low=0, high=255)
    memory: bool = setting(
        False, 'Objects that were seen apart stay apart when their masks melt into one')
    config_mode: bool = setting(False, 'Publish the debug images')

    @property
    def opens(self) -> bool:
        """Whether the class mask is opened."""
        return self.erosion_iteration > 0 and self.erosion_kernel > 1


class _Instance(NamedTuple):
    """One instance: class, pixels, box, hull through the pixels' centres, doubt of its cuts."""

    class_id: int
    area: int
    box: tuple[int, int, int, int]
    hull: Hull
    hull_area: float
    doubt: float


class _Keep(NamedTuple):
    """Which components are large enough: over ``area`` pixels, and the first ``equal`` of it."""

    area: int
    equal: int


def segment_instances(mask: npt.NDArray[np.uint8], settings: SegmentationSettings) -> Instances:
    """
    Split every class of a mask into instances.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel; 0 background, 255 no data.
    settings : SegmentationSettings
        How to split.

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
    keep = _Keep(1 if settings.opens else settings.size_threshold, mask.size)
    labels, found, sizes = _segment(mask, settings, keep)
    if len(sizes) > MAX_INSTANCES:
        areas = np.array(sizes)
        limit = int(np.partition(areas, -MAX_INSTANCES)[-MAX_INSTANCES])
        keep = _Keep(limit, MAX_INSTANCES - int(np.count_nonzero(areas > limit)))
        labels, found, _ = _segment(mask, settings, keep)
    measures = np.array([(one.class_id, one.area, *one.box, one.hull_area, one.doubt)
                         for one in found]).reshape(-1, 8)
    class_ids, areas = measures[:, 0].astype(np.uint8), measures[:, 1].astype(np.int64)
    boxes = measures[:, 2:6].astype(np.int32)
    return Instances(labels, class_ids, areas,
                     scores(class_ids, areas, boxes, measures[:, 6], measures[:, 7]), boxes,
                     oriented_boxes([one.hull for one in found], areas))


def check_mask(mask: npt.NDArray[np.uint8]) -> None:
    """Raise TypeError or ValueError when ``mask`` is no class mask, saying what was expected."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8:
        raise TypeError('mask: expected an ndarray of uint8, got '
                        f'{getattr(mask, "dtype", type(mask).__name__)}')
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f'mask: expected shape (H, W) with H, W >= 1, got {mask.shape}')


def classes(mask: npt.NDArray[np.uint8], settings: SegmentationSettings, min_area: int = 1,
            ) -> Iterator[tuple[int, npt.NDArray[np.uint8], int, int]]:
    """
    Yield each class id in ascending order, its pixels, and where they are.

    Classes that are never instances are left out, and so may be components of fewer pixels than
    ``min_area``.

    Yields
    ------
    class_id : int
    binary : ndarray of shape (h, w), uint8
        Non-zero on the pixels of the class, in the smallest box around them or the whole frame;
        valid until the next class.
    x, y : int
        The box's corner.

    """
    ignored = {0, NO_DATA, *settings.ignored_classes}
    left, top = cv2.countNonZero(mask), int(mask.max())
    if cv2.sumElems(mask)[0] == left * top:  # Most masks have one class.
        if top not in ignored:
            yield top, mask, 0, 0
        return
    mask = without_specks(mask, min_area)
    x0, y0, w, h = cv2.boundingRect(mask)
    mask = mask[y0:y0 + h, x0:x0 + w]
    left = cv2.countNonZero(mask)
    # 256 - class id, so that the largest is next; a histogram takes longer for a handful. Each
    # new image of a frame's size costs more than what is done with it: there are two.
    rest: npt.NDArray[Any] = np.negative(mask, order='C')
    binary = np.empty(mask.shape, np.uint8)
    while left:
        top = int(rest.max())
        np.equal(rest, top, out=binary.view(np.bool_))
        left -= cv2.countNonZero(binary)
        if left:
            cv2.threshold(rest, top - 1, 0, cv2.THRESH_TOZERO_INV, dst=rest)
        if 256 - top not in ignored:
            x, y, w, h = cv2.boundingRect(binary)
            yield 256 - top, binary[y:y + h, x:x + w], x0 + x, y0 + y


def opened(binary: npt.NDArray[np.uint8], settings: SegmentationSettings) -> npt.NDArray[Any]:
    """Return ``binary`` without what the settings' opening removes."""
    if not settings.opens:
        return binary
    side, times = settings.erosion_kernel, settings.erosion_iteration
    kernel, middle, other = np.ones((side, side), np.uint8), side // 2, side - 1 - side // 2
    # With its anchor on the other side, an even kernel takes back the shift of the erosion.
    # What lies outside of the crop is not inside.
    eroded = cv2.erode(binary, kernel, anchor=(middle, middle), iterations=times,
                       borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return cv2.dilate(eroded, kernel, anchor=(other, other), iterations=times)


def _segment(mask: npt.NDArray[np.uint8], settings: SegmentationSettings, keep: _Keep,
             ) -> tuple[npt.NDArray[np.uint16], list[_Instance], list[int]]:
    """Return labels, instances, and the areas of all components worth keeping."""
    labels = np.zeros(mask.shape, np.uint16)
    found: list[_Instance] = []
    sizes: list[int] = []
    waiting: list[tuple[int, Component]] = []
    together, left = 0, keep.equal
    for class_id, binary, x, y in classes(mask, settings, keep.area):
        before = len(found)
        for component in components(opened(binary, settings), keep.area, (x, y)):
            if component.area == keep.area:
                left -= 1
                if left < 0:
                    continue
            sizes.append(component.area)
            if len(found) + len(waiting) == MAX_INSTANCES:
                continue
            waiting.append((class_id, component))
            if component.hollow:
                # What has holes has its own pixels, all at once no more than the frame.
                x0, y0, x1, y1 = component.box
                together += (x1 - x0 + 2) * (y1 - y0 + 2)
                if together > mask.size:
                    _cut(waiting, labels, found, settings)
                    waiting, together = [], 0
        if settings.opens:
            _cut(waiting, labels, found, settings)
            waiting, together = [], 0
            found[before:] = _grow_back(binary, labels, x, y, found[before:], before, settings)
    _cut(waiting, labels, found, settings)
    return labels, found, sizes


def may_be_cut(component: Component, settings: SegmentationSettings) -> bool:
    """Return whether it is worth looking for cuts: not in shapes that are small or convex."""
    return settings.dist_threshold > 0 and component.may_be_two(settings.size_threshold)


def _cut(waiting: list[tuple[int, Component]], labels: npt.NDArray[np.uint16],
         found: list[_Instance], settings: SegmentationSettings) -> None:
    """Label the parts of components, each with its class, and list them."""
    hollow = [component for _, component in waiting
              if component.hollow and may_be_cut(component, settings)]
    room = MAX_INSTANCES - len(found) - len(waiting)
    parts: dict[Component, list[tuple[Component, float]]] = {}
    if hollow:
        parts.update(zip(hollow, splitting.split(
            hollow, settings.dist_threshold, settings.size_threshold, room), strict=True))
    room -= sum(len(pieces) - 1 for pieces in parts.values())
    for class_id, group in groupby(waiting, key=itemgetter(0)):
        whole = [part for _, component in group
                 for part in parts.get(component, ((component, 0.0),))]
        pieces = necks.split([part for part, _ in whole], settings.dist_threshold,
                             settings.size_threshold, room, labels, len(found) + 1)
        room -= len(pieces) - len(whole)
        for part, k, cuts in pieces:
            doubt = max([whole[k][1], *(cut.border.ratio / settings.dist_threshold
                                        for cut in cuts)])
            found.append(_Instance(class_id, part.area, part.box, part.hull, part.hull_area,
                                   doubt))


def _grow_back(binary: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint16], x: int, y: int,
               instances: list[_Instance], count: int, settings: SegmentationSettings,
               ) -> list[_Instance]:
    """Let the instances labelled from ``count + 1`` on grow over their class; drop small ones."""
    # Not above: SciPy takes a quarter of a second, which programs that never open can save.
    from scipy.ndimage import find_objects  # type: ignore[import-untyped]

    here = labels[y:y + binary.shape[0], x:x + binary.shape[1]]
    own = np.where(here > count, here - np.uint16(count), np.uint16(0))
    steps = round(settings.dilate_iteration * (settings.dilate_kernel - 1) / 2)
    splitting.grow(own, binary, steps)
    areas = np.bincount(own.ravel(), minlength=len(instances) + 1)[1:]
    kept = areas >= max(settings.size_threshold, 1)
    numbers = np.zeros(len(areas) + 1, np.uint16)
    numbers[1:][kept] = np.arange(1, 1 + np.count_nonzero(kept))
    own = numbers[own]
    np.copyto(here, own + np.uint16(count), where=own > 0)
    np.copyto(here, 0, where=(own == 0) & (binary != 0))
    grown: list[_Instance] = []
    for place, area, old in zip(find_objects(own), areas[kept].tolist(),
                                compress(instances, kept), strict=True):
        rows, columns = place
        inside = (own[place] == len(grown) + 1).view(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE,
                                       offset=(x + columns.start, y + rows.start))
        hull = cv2.convexHull(contours[0])
        grown.append(old._replace(
            area=area,
            box=(x + columns.start, y + rows.start, x + columns.stop, y + rows.stop),
            hull=hull, hull_area=hull_area(hull)))
    return grown
