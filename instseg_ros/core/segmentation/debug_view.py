"""
Debug view: every step from class mask to instances as pictures, to tune the settings by.

Nothing here is needed to segment; it takes several times as long, and is meant to be called only
while somebody looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .class_masks import check_mask, classes, opened
from .components import components
from .cut_criterion import Cut
from .merging import Parts
from .segment import segment_instances
from .settings import SegmentationSettings
from .splitting import split
from .watershed import distance_map, upsampled
from ..class_names import VOC_NAMES
from ..instances import Instances

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CUT, _MERGED = (60, 60, 255), (120, 220, 120)
_INK, _DIM, _PAPER = (240, 240, 240), (150, 150, 150), (24, 24, 24)
# The mosaic's width, and the height of its rows of text, in pixels.
_WIDTH, _LINE = 1280, 18
_MOST_REASONS = 24


@dataclass(frozen=True)
class Reason:
    """
    Why two regions were cut, or merged.

    Attributes
    ----------
    number : int
        As it stands in the picture of the regions, from 1.
    class_id : int
        Class of the regions.
    x, y : int
        Where they meet: the widest place of the neck, in pixels.
    cut : Cut
        What was measured.
    is_cut : bool
        Whether it is a boundary between instances.

    """

    number: int
    class_id: int
    x: int
    y: int
    cut: Cut
    is_cut: bool

    def __str__(self) -> str:
        """Return one line for people."""
        cut = self.cut
        return (f'{self.number}: class {self.class_id}  {"CUT   " if self.is_cut else "merged"}  '
                f'neck ratio {cut.neck_ratio:.2f} / limit {cut.neck_limit:.2f} = '
                f'{cut.ratio:.2f}   (concavity {cut.concavity:.2f}, '
                f'size ratio {cut.size_ratio:.2f}, elongation {cut.elongation:.2f}'
                f'{", two heads" if cut.contact.heads else ""})')


@dataclass
class DebugView:
    """
    What :func:`debug_view` returns; all images are (H, W, 3) uint8 in BGR.

    Attributes
    ----------
    distance : ndarray of shape (H, W, 3), uint8
        Distance to the outline, bright in the middle of each component.
    cores : ndarray of shape (H, W, 3), uint8
        The opened class mask, with the peak and the half width of every region.
    basins : ndarray of shape (H, W, 3), uint8
        The regions before they are merged: watershed basins, and what is under heads. Numbers
        where they meet: red is cut, green was merged.
    merged : ndarray of shape (H, W, 3), uint8
        The instances.
    mosaic : ndarray of shape (H', W', 3), uint8
        All of them, named, and the reasons.
    reasons : list of Reason
        Every decision, clearest cuts first.

    """

    distance: npt.NDArray[np.uint8]
    cores: npt.NDArray[np.uint8]
    basins: npt.NDArray[np.uint8]
    merged: npt.NDArray[np.uint8]
    mosaic: npt.NDArray[np.uint8]
    reasons: list[Reason] = field(default_factory=list)


def debug_view(mask: npt.NDArray[np.uint8], settings: SegmentationSettings,
               instances: Instances | None = None, class_names: Mapping[int, str] = VOC_NAMES,
               ) -> DebugView:
    """
    Show how a mask is split.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel; 0 background, 255 no data.
    settings : SegmentationSettings
        How to split.
    instances : Instances, optional
        What :func:`.segment.segment_instances` returned for them, if at hand.
    class_names : mapping of int to str
        As of :func:`.segment.segment_instances`.

    Returns
    -------
    DebugView

    Raises
    ------
    TypeError, ValueError
        The mask has another dtype or shape.

    """
    check_mask(mask)
    if instances is None:
        instances = segment_instances(mask, settings, class_names)
    min_area = settings.smallest_area(mask.shape)
    distance = np.zeros(mask.shape, np.float32)
    regions = np.zeros(mask.shape, np.int32)
    cores = np.where(mask[..., None] > 0, np.uint8(70), np.uint8(0)).repeat(3, axis=2)
    peaks: list[tuple[int, int, float]] = []
    decisions: list[tuple[Cut, bool, int, int, int]] = []
    for class_id, binary, left, top in classes(mask, settings):
        core = opened(binary, settings)
        cores[top:top + binary.shape[0], left:left + binary.shape[1]][core != 0] = (120, 120, 120)
        found = [(class_id, component) for component in components(
            core, 1 if settings.opens else min_area, (left, top))]
        for one in split(found, settings.dist_threshold, min_area,
                         settings.upright_ids(class_names)):
            x0, y0, x1, y1 = one.component.box
            here = one.component.inside != 0
            map_ = upsampled(distance_map(one.component)[1:-1, 1:-1], here.shape)
            distance[y0:y1, x0:x1][here] = (map_ / map_.max())[here]
            regions[y0:y1, x0:x1][here] = regions.max() + 1
            for component, parts in one.decisions:
                x0, y0, x1, y1 = component.box
                here = component.inside != 0
                labels = upsampled(parts.graph.labels, here.shape)
                regions[y0:y1, x0:x1][here] = labels[here] + regions.max()
                scale = np.float32(math.sqrt(parts.graph.cell_area))
                depth = upsampled(parts.graph.distance, here.shape) * scale
                for k, region in enumerate(parts.graph.regions, 1):
                    y, x = divmod(int(np.where(labels == k, depth, -1).argmax()), x1 - x0)
                    peaks.append((x0 + x, y0 + y, region.half_width * float(scale)))
                decisions += [(cut, is_cut, class_id, x0 + x, y0 + y)
                              for cut, is_cut, x, y in _decided(parts, labels, depth)]
    decisions.sort(key=lambda decision: decision[0].ratio)
    reasons = [Reason(number, class_id, x, y, cut, is_cut)
               for number, (cut, is_cut, class_id, x, y) in enumerate(decisions, 1)]
    shown = cv2.applyColorMap((distance * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    shown[mask == 0] = 0
    for x, y, half in peaks:
        cv2.circle(cores, (x, y), max(round(half), 1), (200, 160, 60), 1, cv2.LINE_AA)
        cv2.circle(cores, (x, y), 2, (0, 220, 255), -1, cv2.LINE_AA)
    view = DebugView(_uint8(shown), cores, _coloured(regions), _coloured(instances.labels),
                     np.zeros((1, 1, 3), np.uint8), reasons)
    for reason in reasons:
        colour = _CUT if reason.is_cut else _MERGED
        cv2.circle(view.basins, (reason.x, reason.y), 3, colour, -1, cv2.LINE_AA)
        _write(view.basins, str(reason.number), reason.x + 4, reason.y - 3, colour)
    for k, (x0, y0, x1, y1) in enumerate(instances.boxes.tolist()):
        _write(view.merged, f'{k + 1}', (x0 + x1) // 2 - 6, (y0 + y1) // 2 + 4, _INK)
    view.mosaic = _mosaic(view, settings, len(instances))
    return view


def _decided(parts: Parts, labels: npt.NDArray[np.uint16], depth: npt.NDArray[np.float32],
             ) -> list[tuple[Cut, bool, int, int]]:
    """Return what was decided about regions, whether it is a cut, and where in a crop."""
    parted = parts.part_of[labels]
    return ([(cut, True, *_meeting(parted == a, parted == b, depth))
             for (a, b), cut in parts.cuts.items()]
            + [(cut, False, *_meeting(labels == a, labels == b, depth))
               for cut, a, b in parts.merged])


def _meeting(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_],
             depth: npt.NDArray[np.float32]) -> tuple[int, int]:
    """Return x and y of the deepest pixel of one part near the other."""
    # Parts that were merged since need not touch: then the middle of the two.
    kernel = np.ones((3, 3), np.uint8)
    near = one & (cv2.dilate(other.view(np.uint8), kernel, iterations=2) != 0)
    if near.any():
        y, x = divmod(int(np.where(near, depth, -1).argmax()), depth.shape[1])
        return x, y
    rows, columns = np.nonzero(one | other)
    return int(columns.mean()), int(rows.mean())


def _uint8(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return an image as what it is; OpenCV's stubs do not say."""
    return np.asarray(image).astype(np.uint8, copy=False)


def _coloured(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Return labels in colours that differ from one number to the next, 0 black."""
    count = int(labels.max()) + 1
    hues = (np.arange(count) * 180 * 0.618) % 180
    values = np.where(np.arange(count) % 2, 215, 150)
    palette = np.stack([hues, np.full(count, 140), values], axis=1).astype(np.uint8)[None]
    palette = cv2.cvtColor(palette, cv2.COLOR_HSV2BGR)[0]
    palette[0] = 0
    return _uint8(palette[labels])


def _write(image: npt.NDArray[np.uint8], text: str, x: int, y: int,
           colour: tuple[int, int, int]) -> None:
    """Write on an image so that it can be read on any ground."""
    x = min(max(x, 1), max(image.shape[1] - 8 * len(text), 1))
    y = min(max(y, 10), image.shape[0] - 2)
    cv2.putText(image, text, (x, y), _FONT, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, (x, y), _FONT, 0.42, colour, 1, cv2.LINE_AA)


def _mosaic(view: DebugView, settings: SegmentationSettings, count: int,
            ) -> npt.NDArray[np.uint8]:
    """Return the four pictures, two by two, with titles, settings and reasons."""
    height, width = view.distance.shape[:2]
    side = _WIDTH // 2 - 6
    tall = max(round(side * height / width), 1)
    titles = (
        ('1 distance to the outline', view.distance),
        ('2 cores: opened mask (light), peaks and their half widths', view.cores),
        ('3 regions: red = cut here, green = merged; numbers below', view.basins),
        (f'4 merged by the cut criterion: {count} instances', view.merged))
    rows = min(len(view.reasons), _MOST_REASONS) + 3
    sheet = np.full((2 * (tall + 28) + rows * _LINE + 8, _WIDTH, 3), _PAPER, np.uint8)
    way = cv2.INTER_AREA if side < width else cv2.INTER_NEAREST
    for n, (title, image) in enumerate(titles):
        y, x = n // 2 * (tall + 28), n % 2 * (_WIDTH // 2) + 3
        cv2.putText(sheet, title, (x, y + 19), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
        sheet[y + 26:y + 26 + tall, x:x + side] = cv2.resize(image, (side, tall),
                                                             interpolation=way)
    y = 2 * (tall + 28) + 14
    lines: list[tuple[str, tuple[int, int, int]]] = [(
        f'dist_threshold {settings.dist_threshold:g}   size_threshold {settings.size_threshold}   '
        f'erosion {settings.erosion_kernel} x {settings.erosion_iteration}   '
        f'dilate {settings.dilate_kernel} x {settings.dilate_iteration}   '
        'a cut is made where ratio < dist_threshold', _INK)]
    lines += [(str(reason), _CUT if reason.is_cut else _MERGED)
              for reason in view.reasons[:_MOST_REASONS]]
    left_out = len(view.reasons) - _MOST_REASONS
    if left_out > 0:
        lines.append((f'... and {left_out} more', _DIM))
    if not view.reasons:
        lines.append(('every component is one object: convex, too small, or with one peak',
                      _DIM))
    for line, colour in lines:
        cv2.putText(sheet, line, (6, y), _FONT, 0.42, colour, 1, cv2.LINE_AA)
        y += _LINE
    return sheet
