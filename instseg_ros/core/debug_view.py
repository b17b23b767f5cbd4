"""
Debug view: every step from class mask to instances as pictures, to tune the settings by.

Nothing here is needed to segment; it takes several times as long, and is meant to be called only
while somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from . import necks, splitting
from .components import Component, components
from .instances import Instances
from .segmentation import (check_mask, classes, MAX_INSTANCES, may_be_cut, opened,
                           segment_instances, SegmentationSettings)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CUT, _JOINED = (60, 60, 255), (120, 220, 120)
_INK, _DIM, _PAPER = (240, 240, 240), (150, 150, 150), (24, 24, 24)
# The mosaic's width, and the height of its rows of text, in pixels.
_WIDTH, _LINE = 1280, 18
_MOST_REASONS = 24


@dataclass(frozen=True)
class Reason:
    """
    Why two parts were cut, or joined.

    Attributes
    ----------
    number : int
        As it stands in the picture of the basins, from 1.
    class_id : int
        Class of the parts.
    x, y : int
        Where they meet: the widest place of the neck, in pixels.
    border : Border
        What was measured.
    is_cut : bool
        Whether it is a border between instances.

    """

    number: int
    class_id: int
    x: int
    y: int
    border: splitting.Border
    is_cut: bool

    def __str__(self) -> str:
        """Return one line for people."""
        border = self.border
        if border.ratio == math.inf:
            return (f'{self.number}: class {self.class_id}  joined: a side is smaller than '
                    'size_threshold')
        return (f'{self.number}: class {self.class_id}  {"CUT   " if self.is_cut else "joined"}  '
                f'saddle {border.saddle:.1f} / peak {border.saddle / border.neck:.1f} = neck '
                f'{border.neck:.2f}   / allowed {border.neck / border.ratio:.2f} = ratio '
                f'{border.ratio:.2f}   (concave: together {border.whole:.2f}, '
                f'apart {border.parts:.2f})')


@dataclass
class DebugView:
    """
    What :func:`debug_view` returns; all images are (H, W, 3) uint8 in BGR.

    Attributes
    ----------
    distance : ndarray of shape (H, W, 3), uint8
        Distance to the border, bright in the middle of each component.
    cores : ndarray of shape (H, W, 3), uint8
        The opened class mask, with the peak of every hill.
    basins : ndarray of shape (H, W, 3), uint8
        The parts at the highest ``dist_threshold`` (of components with holes the hills before
        they are joined), with numbers where they meet: red is cut.
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
               instances: Instances | None = None) -> DebugView:
    """
    Show how a mask is split.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel; 0 background, 255 no data.
    settings : SegmentationSettings
        How to split.
    instances : Instances, optional
        What :func:`~.segmentation.segment_instances` returned for them, if at hand.

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
        instances = segment_instances(mask, settings)
    height, width = mask.shape
    distance = np.zeros((height, width), np.float32)
    hills = np.zeros((height, width), np.int32)
    cores = np.where(mask[..., None] > 0, np.uint8(70), np.uint8(0)).repeat(3, axis=2)
    peaks: list[tuple[int, int, float]] = []
    decisions: list[tuple[splitting.Border, bool, int, int, int]] = []
    for class_id, binary, left, top in classes(mask, settings):
        core = opened(binary, settings)
        place = np.s_[top:top + binary.shape[0], left:left + binary.shape[1]]
        cores[place][core != 0] = (120, 120, 120)
        for component in components(core, 1 if settings.opens else settings.size_threshold):
            x0, y0, x1, y1 = component.box
            x0, y0, x1, y1 = x0 + left, y0 + top, x1 + left, y1 + top
            inside = component.inside[1:-1, 1:-1] != 0
            depth, basins, made = _looked_at(component, settings)
            distance[y0:y1, x0:x1][inside] = (depth / max(float(depth.max()), 1e-6))[inside]
            hills[y0:y1, x0:x1][inside] = basins[inside] + hills.max()
            for k in range(1, int(basins.max()) + 1):
                at = np.where((basins == k) & inside, depth, -1)
                y, x = divmod(int(at.argmax()), at.shape[1])
                peaks.append((x0 + x, y0 + y, float(depth[y, x])))
            decisions += [(border, is_cut, class_id, x0 + x, y0 + y)
                          for border, is_cut, x, y in made]
    decisions.sort(key=lambda d: d[0].ratio)
    reasons = [Reason(n, class_id, x, y, border, is_cut)
               for n, (border, is_cut, class_id, x, y) in enumerate(decisions, 1)]
    shown = cv2.applyColorMap((distance * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    shown[mask == 0] = 0
    for x, y, half in peaks:
        cv2.circle(cores, (x, y), max(round(half), 1), (200, 160, 60), 1, cv2.LINE_AA)
        cv2.circle(cores, (x, y), 2, (0, 220, 255), -1, cv2.LINE_AA)
    view = DebugView(_uint8(shown), cores, _coloured(hills), _coloured(instances.labels),
                     np.zeros((1, 1, 3), np.uint8), reasons)
    for reason in reasons:
        colour = _CUT if reason.is_cut else _JOINED
        cv2.circle(view.basins, (reason.x, reason.y), 3, colour, -1, cv2.LINE_AA)
        _write(view.basins, str(reason.number), reason.x + 4, reason.y - 3, colour)
    for k, (x0, y0, x1, y1) in enumerate(instances.boxes.tolist()):
        _write(view.merged, f'{k + 1}', (x0 + x1) // 2 - 6, (y0 + y1) // 2 + 4, _INK)
    view.mosaic = _mosaic(view, settings, len(instances))
    return view


def _looked_at(component: Component, settings: SegmentationSettings,
               ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.integer],
                          list[tuple[splitting.Border, bool, int, int]]]:
    """Return distances to the border in pixels, basins from 1, and what was decided where."""
    inside = component.inside[1:-1, 1:-1]
    cut = may_be_cut(component, settings)
    if component.hollow and cut:
        found, = splitting.survey([component])
        depth = splitting.spread(found.depth, inside.shape) * np.float32(math.sqrt(found.cell))
        basins = splitting.spread(found.basins, inside.shape)
        return depth, basins, _joined(found, basins, depth, settings)
    depth = np.asarray(cv2.distanceTransform(component.inside, cv2.DIST_L2, 5))[1:-1, 1:-1]
    basins = inside.astype(np.uint16)
    if not cut:
        return depth, basins, []
    x0, y0, _, _ = component.box
    # All cuts that the highest setting would make.
    pieces = _pieces(component, 1.0, settings)
    made = {c for piece in _pieces(component, settings.dist_threshold, settings)
            for c in piece.cuts}
    for k, piece in enumerate(pieces, 1):
        left, top, right, bottom = piece.component.box
        basins[top - y0:bottom - y0, left - x0:right - x0][
            piece.component.inside[1:-1, 1:-1] != 0] = k
    return depth, basins, [
        (c.border, c in made, (c.start[0] + c.end[0]) // 2 - x0,
         (c.start[1] + c.end[1]) // 2 - y0)
        for c in dict.fromkeys(c for piece in pieces for c in piece.cuts)]


def _pieces(component: Component, dist_threshold: float, settings: SegmentationSettings,
            ) -> list[necks.Piece]:
    """Return the parts of a component without holes."""
    return necks.split([component], dist_threshold, settings.size_threshold, MAX_INSTANCES)


def _joined(found: splitting.Survey, basins: npt.NDArray[np.uint16],
            depth: npt.NDArray[np.float32], settings: SegmentationSettings,
            ) -> list[tuple[splitting.Border, bool, int, int]]:
    """Return what was decided about the hills of a component with holes, and where."""
    parts = splitting.join(found, settings.dist_threshold, settings.size_threshold)
    parted = parts.group[basins]
    return ([(border, True, *_meeting(parted == a, parted == b, depth))
             for (a, b), border in parts.cuts.items()]
            + [(border, False, *_meeting(basins == a, basins == b, depth))
               for border, a, b in parts.joined])


def _meeting(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_],
             depth: npt.NDArray[np.float32]) -> tuple[int, int]:
    """Return x and y of the deepest pixel of one part near the other."""
    # Parts that were joined since need not touch: then the middle of the two.
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
        ('1 distance to the border', view.distance),
        ('2 cores: opened mask (light), peaks and their half widths', view.cores),
        ('3 basins: red = cut here, green = joined; numbers below', view.basins),
        (f'4 merged: {count} instances', view.merged))
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
    lines += [(str(reason), _CUT if reason.is_cut else _JOINED)
              for reason in view.reasons[:_MOST_REASONS]]
    left_out = len(view.reasons) - _MOST_REASONS
    if left_out > 0:
        lines.append((f'... and {left_out} more', _DIM))
    if not view.reasons:
        lines.append(('every component is convex enough, or too small, to be one object', _DIM))
    for line, colour in lines:
        cv2.putText(sheet, line, (6, y), _FONT, 0.42, colour, 1, cv2.LINE_AA)
        y += _LINE
    return sheet
