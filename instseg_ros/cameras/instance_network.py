"""
Networks that give instances by themselves: boxes, scores, classes and masks of YOLO-seg.

The mask of an instance is a sum of the network's prototypes, weighted by coefficients of its own,
and cut by its box (YOLACT, Bolya et al. 2019, which YOLOv8-seg and YOLO11-seg follow). So each
mask is made inside its box alone, never on the whole grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from .registration import NO_DATA, Rectangle
from ..core.instances import Instances
from ..errors import CameraError

STRIDES = (8, 16, 32)  # of the three grids of cells that YOLOv8 and YOLO11 look from
NMS_OVERLAP = 0.7  # of two boxes of a class, from which on they are the same object: Ultralytics'
TENSORS = ('boxes Nx4, scores N, classes N, coefficients NxM and prototypes MxHxW, or distances '
           '4xA, scores CxA, coefficients MxA and prototypes MxHxW')
_MOST, _CANDIDATES = 300, 1000  # instances, and boxes before the suppression
_HIGHEST_CLASS = NO_DATA - 2  # of the network, whose ids begin with 0
_PIXELS = 2  # boxes with a larger number in them are in pixels, not in [0, 1]
_Floats = npt.NDArray[np.floating[Any]]


class Outputs(Protocol):
    """The output tensors of a network; what is not asked for need not be converted."""

    @property
    def sizes(self) -> Sequence[tuple[int, ...]]:
        """Return the shape of each tensor."""

    def array(self, index: int) -> npt.NDArray[np.float32]:
        """Return a tensor."""


@dataclass(frozen=True)
class Found:
    """
    What a network found in a picture, the highest score first.

    Attributes
    ----------
    boxes : ndarray of shape (N, 4), float32
        x0, y0, x1, y1 in [0, 1] of the network's input.
    scores : ndarray of shape (N,), float32
        In (0, 1].
    classes : ndarray of shape (N,), int64
        As the network counts them, from 0 on.
    coefficients : ndarray of shape (N, M), float32
    prototypes : ndarray of shape (M, h, w), float32

    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    coefficients: npt.NDArray[np.float32]
    prototypes: npt.NDArray[np.float32]

    def logits(self, index: int, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """Return a part of an instance's mask: above 0 where its probability is above one half."""
        # einsum takes the axes as they lie in memory; a matrix product would copy them first.
        return np.einsum('m,mhw->hw', self.coefficients[index],
                         self.prototypes[:, rows, columns])

    def mirrored(self, horizontal: bool, vertical: bool) -> Found:
        """Return what would be found in the mirrored picture."""
        boxes, prototypes = self.boxes, self.prototypes
        if horizontal:
            boxes, prototypes = _opposite(boxes, 0), prototypes[:, :, ::-1]
        if vertical:
            boxes, prototypes = _opposite(boxes, 1), prototypes[:, ::-1]
        return replace(self, boxes=boxes, prototypes=prototypes)


def _opposite(boxes: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Return boxes mirrored along x (0) or y (1)."""
    mirrored = boxes.copy()
    mirrored[:, axis], mirrored[:, axis + 2] = 1 - boxes[:, axis + 2], 1 - boxes[:, axis]
    return mirrored


def gives_instances(sizes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether tensors of these shapes are those of an export for the AI Camera."""
    return _form(sizes) is not None


def _form(sizes: Sequence[tuple[int, ...]]) -> str | None:
    """Return which export for the AI Camera has tensors of these shapes; None: no such one."""
    dimensions = [len(size) for size in sizes]
    if dimensions == [2, 1, 1, 2, 3]:
        count, coefficients = sizes[0][0], sizes[4][0]
        if tuple(sizes[:4]) == ((count, 4), (count,), (count,), (count, coefficients)):
            return 'suppressed'
    elif dimensions == [2, 2, 2, 3]:
        count, coefficients = sizes[0][1], sizes[3][0]
        if (sizes[0], sizes[2]) == ((4, count), (coefficients, count)) and sizes[1][1] == count:
            return 'distances'
    return None


def read_outputs(outputs: Outputs, size: tuple[int, int], min_score: float,
                 in_pixels: bool | None = None, rows_first: bool = False) -> Found:
    """
    Return what a network of the AI Camera found; both forms of exports are understood.

    With the suppression of double boxes in the network, the tensors are boxes (N, 4), scores
    (N,), classes (N,), coefficients (N, M) and prototypes (M, h, w). Without it they are
    distances (4, A) from the centres of A cells to the sides of the boxes, in cells, scores of
    each class (C, A), coefficients (M, A) and prototypes.

    Parameters
    ----------
    outputs : Outputs
        The tensors.
    size : tuple of int
        Width and height of the network's input.
    min_score : float
        What has a lower score is left out.
    in_pixels : bool or None
        Of suppressed boxes: whether they are in pixels of the input, or in [0, 1]; None: see.
    rows_first : bool
        Of suppressed boxes: whether they are y0, x0, y1, x1.

    Raises
    ------
    CameraError
        The tensors are of another kind.

    """
    form = _form(outputs.sizes)
    if form == 'suppressed':
        return _suppressed(outputs, size, min_score, in_pixels, rows_first)
    if form == 'distances':
        return _from_distances(outputs, size, min_score)
    raise CameraError(f'expected a network of instances, with {TENSORS}, got {outputs}')


def _suppressed(outputs: Outputs, size: tuple[int, int], min_score: float,
                in_pixels: bool | None, rows_first: bool) -> Found:
    scores = outputs.array(1)
    # Behind the last one all are 0. A min_score of 0 does not ask for those.
    rows = np.flatnonzero((scores >= min_score) & (scores > 0))
    rows = rows[np.argsort(-scores[rows], kind='stable')]
    boxes = outputs.array(0)[rows]
    if rows_first:
        boxes = boxes[:, [1, 0, 3, 2]]
    if in_pixels or in_pixels is None and bool((boxes > _PIXELS).any()):
        boxes /= np.array((*size, *size), np.float32)
    return _found(boxes, scores[rows], outputs.array(2)[rows].astype(np.int64),
                  outputs.array(3)[rows], outputs, 4)


def _from_distances(outputs: Outputs, size: tuple[int, int], min_score: float) -> Found:
    width, height = size
    centres, steps = _centres(width, height)
    if len(steps) != outputs.sizes[0][1]:
        raise CameraError(f'expected {len(steps)} boxes of a network whose input is {width}x'
                          f'{height}, got {outputs.sizes[0][1]}')
    sides = outputs.array(0).T
    boxes = np.hstack([centres - sides[:, :2], centres + sides[:, 2:]]).astype(np.float32)
    boxes *= steps[:, np.newaxis]
    scores, classes, rows = _best(boxes, outputs.array(1).T, min_score)
    boxes /= np.array((*size, *size), np.float32)
    return _found(boxes[rows], scores, classes, outputs.array(2).T[rows], outputs, 3)


def _found(boxes: _Floats, scores: _Floats, classes: npt.NDArray[np.int64],
           coefficients: npt.NDArray[np.float32], outputs: Outputs, prototypes: int) -> Found:
    if len(classes) and not 0 <= classes.min() <= classes.max() <= _HIGHEST_CLASS:
        raise CameraError(f'expected classes from 0 to {_HIGHEST_CLASS}, got {classes.min()} to '
                          f'{classes.max()}')
    # The largest tensor by far: nobody converts it for an empty picture.
    shape = outputs.sizes[prototypes]
    kernels = outputs.array(prototypes) if len(classes) else np.zeros(shape, np.float32)
    return Found(boxes.astype(np.float32), scores.astype(np.float32), classes,
                 np.ascontiguousarray(coefficients), kernels)


def _centres(width: int, height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the centres of all cells, (A, 2), in cells, and the pixels in a cell, (A,)."""
    centres, steps = [], []
    for stride in STRIDES:
        rows, columns = np.indices((height // stride, width // stride), np.float32)
        centres.append(np.stack([columns.ravel(), rows.ravel()], axis=1) + np.float32(0.5))
        steps.append(np.full(rows.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(steps)


def _best(boxes: _Floats, scores: _Floats, min_score: float
          ) -> tuple[_Floats, npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """
    Return scores, classes and rows of the boxes that are left after non-maximum suppression.

    Boxes of one class that overlap by more than :data:`NMS_OVERLAP` are the same object.
    """
    classes = scores.argmax(axis=1)
    highest = scores[np.arange(len(scores)), classes]
    rows = np.flatnonzero((highest >= min_score) & (highest > 0))
    # Each class in a place of its own, so that only boxes of one class meet: OpenCV knows
    # classes from 4.7 on, and Bookworm has 4.6.
    corners = boxes[rows, :2] - boxes[rows, :2].min(initial=0)
    sizes = boxes[rows, 2:] - boxes[rows, :2]
    apart = classes[rows] * (corners + sizes).max(initial=1)
    kept = cv2.dnn.NMSBoxes(np.hstack([corners + apart[:, np.newaxis], sizes]).tolist(),
                            highest[rows].tolist(), 0.0, NMS_OVERLAP, top_k=_CANDIDATES)
    rows = rows[np.array(kept, np.intp).ravel()][:_MOST]
    return highest[rows], classes[rows], rows


def read_plain(predictions: npt.NDArray[np.float32], prototypes: npt.NDArray[np.float32],
               size: tuple[int, int], min_score: float) -> Found:
    """
    Return what a plain export found.

    Parameters
    ----------
    predictions : ndarray of shape (4 + C + M, A), float32
        For each of A boxes its centre and size in pixels of the input, scores of C classes, and
        M coefficients.
    prototypes : ndarray of shape (M, h, w), float32
        As in :class:`Found`.
    size : tuple of int
        Width and height of the network's input.
    min_score : float
        What has a lower score is left out.

    Raises
    ------
    CameraError
        There are more classes than a mask can hold.

    """
    count = len(predictions) - len(prototypes)
    centres, sizes = predictions[:2].T, predictions[2:4].T
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2])
    scores, classes, rows = _best(boxes, predictions[4:count].T, min_score)
    if count - 5 > _HIGHEST_CLASS:
        raise CameraError(f'expected at most {_HIGHEST_CLASS + 1} classes, got {count - 4}')
    return Found((boxes[rows] / np.array((*size, *size))).astype(np.float32), scores, classes,
                 predictions[count:, rows].T, prototypes)


def register(found: Found, size: tuple[int, int], roi: Rectangle | None = None,
             crop: Rectangle | None = None) -> tuple[Instances, npt.NDArray[np.uint8]]:
    """
    Return what was found in the pixels of the frame.

    A mask is interpolated first and cut at one half then, so its outline is as smooth as the
    frame allows. Where instances overlap, the one with the higher score is in front; one that is
    hidden altogether is left out.

    Parameters
    ----------
    found : Found
        What the network found.
    size : tuple of int
        Width and height of the frame.
    roi, crop : tuple of float, optional
        As for :func:`~.registration.register_mask`.

    Returns
    -------
    instances : Instances
        The highest score first; class ids are those of the network + 1, since 0 is background.
        The oriented boxes are the network's own, not turned.
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel; 255 where the network saw nothing.

    """
    roi = roi or (0.0, 0.0, 1.0, 1.0)
    crop = crop or roi
    across, down = (
        _Axis(cells, pixels, roi[k], roi[2 + k], crop[k], crop[2 + k])
        for k, (cells, pixels) in enumerate(zip(found.prototypes.shape[:0:-1], size, strict=True)))
    labels = np.zeros(size[::-1], np.uint16)
    boxes = np.clip(found.boxes, 0, 1).astype(np.float64)
    boxes[np.isnan(boxes).any(axis=1)] = 0
    boxes[:, 0::2], boxes[:, 1::2] = across.to_pixel(boxes[:, 0::2]), down.to_pixel(boxes[:, 1::2])
    places = [(down.pixels_between(y0, y1), across.pixels_between(x0, x1))
              for x0, y0, x1, y1 in boxes.tolist()]
    for k in reversed(range(len(places))):  # the highest score last: it is in front
        if labels[places[k]].size:
            np.copyto(labels[places[k]], np.uint16(k + 1),
                      where=_smooth(found, k, places[k], across, down) > 0)
    instances = _measured(labels, found, boxes, places)
    mask = np.take(np.append(np.uint8(0), instances.class_ids), instances.labels)
    rows, columns = (axis.pixels_between(*axis.to_pixel(np.array((0.0, 1.0))).tolist())
                     for axis in (down, across))
    mask[:rows.start] = mask[rows.stop:] = NO_DATA
    mask[:, :columns.start] = mask[:, columns.stop:] = NO_DATA
    return instances, mask


class _Axis:
    """Rows or columns: from the network's cells to the pixels of the frame."""

    def __init__(self, cells: int, pixels: int, roi_start: float, roi_length: float,
                 crop_start: float, crop_length: float) -> None:
        self.cells, self.pixels = cells, pixels
        self._first, self._scale = crop_start - roi_start, pixels / crop_length
        self._length = roi_length
        # From the number of a pixel to the place among the cells' centres.
        self.step = crop_length / pixels / roi_length * cells
        self.start = self._first / roi_length * cells + self.step / 2 - 0.5

    def to_pixel(self, place: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return where in the frame a place is that is in [0, 1] of what the network sees."""
        return (place * self._length - self._first) * self._scale

    def pixels_between(self, low: float, high: float) -> slice:
        """Return the pixels whose centres lie between two places in the frame."""
        first = min(max(math.ceil(low - 0.5), 0), self.pixels)
        return slice(first, max(min(math.ceil(high - 0.5), self.pixels), first))

    def cells_under(self, pixels: slice) -> slice:
        """Return the cells between whose centres the centres of some pixels lie."""
        low, high = (self.start + self.step * n for n in (pixels.start, pixels.stop - 1))
        return slice(max(math.floor(low), 0), min(math.floor(high) + 2, self.cells))


def _smooth(found: Found, index: int, place: tuple[slice, slice], across: _Axis, down: _Axis
            ) -> npt.NDArray[np.float32]:
    """Return an instance's logits at the centres of some pixels of the frame."""
    rows, columns = place
    there = down.cells_under(rows), across.cells_under(columns)
    # From a pixel of the result to a place in the logits.
    way = np.array([
        [across.step, 0, across.start + across.step * columns.start - there[1].start],
        [0, down.step, down.start + down.step * rows.start - there[0].start]])
    return cv2.warpAffine(
        found.logits(index, *there), way, (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32, copy=False)


def _measured(labels: npt.NDArray[np.uint16], found: Found, boxes: npt.NDArray[np.float64],
              places: Sequence[tuple[slice, slice]]) -> Instances:
    """Return the instances of a label image, without those of which nothing is seen."""
    areas, visible = np.zeros(len(boxes), np.int64), np.zeros((len(boxes), 4), np.int32)
    for k, (rows, columns) in enumerate(places):
        pixels = (labels[rows, columns] == k + 1).view(np.uint8)
        if pixels.size:
            areas[k] = cv2.countNonZero(pixels)
            x, y, width, height = cv2.boundingRect(pixels)
            x, y = x + columns.start, y + rows.start
            visible[k] = x, y, x + width, y + height
    there = areas > 0
    if not there.all():
        dense = np.zeros(len(there) + 1, np.uint16)
        dense[1:][there] = np.arange(1, np.count_nonzero(there) + 1)
        labels = dense[labels]
    return Instances(
        labels, (found.classes[there] + 1).astype(np.uint8), areas[there],
        found.scores[there].astype(np.float64), visible[there], _level(boxes[there]))


def _level(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return boxes x0, y0, x1, y1 in the canonical form of oriented boxes."""
    corners = boxes.reshape(-1, 2, 2)
    sizes = corners[:, 1] - corners[:, 0]
    taller = sizes[:, 1] > sizes[:, 0]
    return np.column_stack([corners.mean(axis=1), sizes.max(axis=1, initial=0),
                            sizes.min(axis=1, initial=np.inf),
                            np.where(taller, math.pi / 2, 0.0)])
