"""
Segmentation: from a class mask to instances.

Each class goes through the same steps, and none of them sees more of the frame than the box
around the class, or around one component of it: opening (off by default), 8-connected components,
the cuts of :mod:`.splitting`, growing back, and the measures of each instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
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
# Components are surveyed together until their boxes have so many pixels.
_TOGETHER = 1 << 17


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
        30, 'Instances of fewer pixels are dropped', unit='px', low=0, high=10_000_000)
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
    """One instance: pixels, box, hull through the centres of its pixels, doubt of its cuts."""

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
    labels, class_ids, found, sizes = _segment(mask, settings, keep)
    if len(sizes) > MAX_INSTANCES:
        limit = int(np.partition(sizes, -MAX_INSTANCES)[-MAX_INSTANCES])
        keep = _Keep(limit, MAX_INSTANCES - int(np.count_nonzero(sizes > limit)))
        labels, class_ids, found, _ = _segment(mask, settings, keep)
    areas = np.array([instance.area for instance in found], np.int64)
    boxes = np.array([instance.box for instance in found], np.int32).reshape(-1, 4)
    hulls = [instance.hull for instance in found]
    # Hull area and doubt.
    shapes = np.array([instance[3:] for instance in found], np.float64).reshape(-1, 2)
    classes_found = np.array(class_ids, np.uint8)
    return Instances(labels, classes_found, areas,
                     scores(classes_found, areas, boxes, shapes[:, 0], shapes[:, 1]), boxes,
                     oriented_boxes(hulls, areas))


def check_mask(mask: npt.NDArray[np.uint8]) -> None:
    """Raise TypeError or ValueError when ``mask`` is no class mask, saying what was expected."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8:
        raise TypeError('mask: expected an ndarray of uint8, got '
                        f'{getattr(mask, "dtype", type(mask).__name__)}')
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f'mask: expected shape (H, W) with H, W >= 1, got {mask.shape}')


def classes(mask: npt.NDArray[np.uint8], settings: SegmentationSettings,
            ) -> Iterator[tuple[int, npt.NDArray[np.uint8], int, int]]:
    """
    Yield each class id in ascending order, its pixels, and where they are.

    Classes that are never instances are left out.

    Yields
    ------
    class_id : int
    binary : ndarray of shape (h, w), uint8
        255 on the pixels of the class, in the smallest box around them.
    x, y : int
        The box's corner.

    """
    ignored = {0, NO_DATA, *settings.ignored_classes}
    present = []
    top = int(mask.max())
    rest: npt.NDArray[Any] = mask
    binary = (mask == top).view(np.uint8)
    # Most masks have one class; and a histogram takes longer than these passes for a handful.
    left = cv2.countNonZero(mask) - cv2.countNonZero(binary)
    while top:
        present.append(top)
        if not left:
            break
        rest = cv2.threshold(rest, top - 1, 0, cv2.THRESH_TOZERO_INV)[1]
        top = int(rest.max())
    del rest
    for class_id in reversed(present):
        if class_id not in ignored:
            if len(present) > 1:
                binary = (mask == class_id).view(np.uint8)
            x, y, w, h = cv2.boundingRect(binary)
            yield class_id, binary[y:y + h, x:x + w], x, y


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
             ) -> tuple[npt.NDArray[np.uint16], list[int], list[_Instance], npt.NDArray[np.int64]]:
    """Return labels, classes and instances, and the areas of all components worth keeping."""
    labels = np.zeros(mask.shape, np.uint16)
    class_ids: list[int] = []
    found: list[_Instance] = []
    sizes = np.empty(0, np.int64)
    for class_id, binary, x, y in classes(without_specks(mask, keep.area), settings):
        here = labels[y:y + binary.shape[0], x:x + binary.shape[1]]
        instances: list[_Instance] = []
        waiting: list[Component] = []
        together = 0
        some: list[int] = []
        left = keep.equal - int(np.count_nonzero(sizes == keep.area))
        for component in components(opened(binary, settings), keep.area):
            if component.area == keep.area:
                left -= 1
                if left < 0:
                    continue
            some.append(component.area)
            if len(found) + len(instances) + len(waiting) == MAX_INSTANCES:
                continue
            if may_be_cut(component, settings):
                waiting.append(component)
                together += component.inside.size
                if together > _TOGETHER:
                    _cut(waiting, here, instances, len(found), settings)
                    waiting, together = [], 0
            else:
                _add(component, here, instances, len(found))
        _cut(waiting, here, instances, len(found), settings)
        if settings.opens:
            instances = _grow_back(binary, here, instances, len(found), settings)
        corner = np.array([x, y], np.int32)
        found += [one._replace(box=(x + one.box[0], y + one.box[1], x + one.box[2],
                                    y + one.box[3]), hull=one.hull + corner)
                  for one in instances]
        class_ids += [class_id] * len(instances)
        sizes = np.concatenate([sizes, np.array(some, np.int64)])
    return labels, class_ids, found, sizes


def may_be_cut(component: Component, settings: SegmentationSettings) -> bool:
    """Return whether it is worth looking for cuts: not in shapes that are small or convex."""
    return settings.dist_threshold > 0 and component.may_be_two(settings.size_threshold)


def _add(component: Component, labels: npt.NDArray[np.uint16], instances: list[_Instance],
         count: int, doubt: float = 0.0) -> None:
    """Label a whole component, and list it."""
    component.paint(labels, count + len(instances) + 1)
    instances.append(_Instance(component.area, component.box, component.hull,
                               component.hull_area, doubt))


def _cut(waiting: list[Component], labels: npt.NDArray[np.uint16], instances: list[_Instance],
         count: int, settings: SegmentationSettings) -> None:
    """Label the parts of components, after ``count`` instances of other classes; list them."""
    solid = [component for component in waiting if not component.hollow]
    waiting = [component for component in waiting if component.hollow]
    if solid:
        room = MAX_INSTANCES - count - len(instances) - len(waiting) - len(solid)
        for pieces in necks.split(solid, settings.dist_threshold, settings.size_threshold, room):
            for piece, cuts in pieces:
                _add(piece, labels, instances, count, max(
                    (cut.border.ratio / settings.dist_threshold for cut in cuts), default=0.0))
    if not waiting:
        return
    surveys = splitting.survey(waiting)
    for done, (component, found) in enumerate(zip(waiting, surveys, strict=True), 1):
        parts = splitting.join(found, settings.dist_threshold, settings.size_threshold)
        doubts = parts.doubts(settings.dist_threshold)
        room = MAX_INSTANCES - count - len(instances) - (len(waiting) - done)
        if not 1 < len(parts) <= room:
            _add(component, labels, instances, count, doubts[0])
            continue
        x0, y0, x1, y1 = component.box
        here = labels[y0:y1, x0:x1]
        for part, pixels, contour in splitting.paint(parts, component.inside,
                                                     settings.size_threshold):
            np.copyto(here, count + len(instances) + 1, where=pixels.view(np.bool_),
                      casting='unsafe')
            hull = cv2.convexHull(contour) + np.array([x0, y0], np.int32)
            x, y, w, h = cv2.boundingRect(hull)
            instances.append(_Instance(cv2.countNonZero(pixels), (x, y, x + w, y + h), hull,
                                       hull_area(hull), doubts[part - 1]))


def _grow_back(binary: npt.NDArray[np.uint8], here: npt.NDArray[np.uint16],
               instances: list[_Instance], count: int, settings: SegmentationSettings,
               ) -> list[_Instance]:
    """Let the instances labelled from ``count + 1`` on grow over their class; drop small ones."""
    # Not above: SciPy takes a quarter of a second, which programs that never open can save.
    from scipy.ndimage import find_objects  # type: ignore[import-untyped]

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
                                       offset=(columns.start, rows.start))
        hull = cv2.convexHull(contours[0])
        grown.append(old._replace(
            area=area, box=(columns.start, rows.start, columns.stop, rows.stop),
            hull=hull, hull_area=hull_area(hull)))
    return grown
