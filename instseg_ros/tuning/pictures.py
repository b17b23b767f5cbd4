"""The two pictures of the page: what is found in a frame, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
import time

import cv2
import numpy as np
import numpy.typing as npt

from .background import Processed
from .source import Frame
from ..core import Instances, segment_instances, SegmentationSettings
from ..core.class_names import VOC_NAMES
from ..core.drawing import draw_classes, draw_overlay, OverlaySettings
from ..core.segmentation.debug_view import debug_view
from ..messages.detections import id_texts
from ..messages.encodings import encode
from ..recordings.comparison import match

# What may be shown beside the instances.
SIDES = {'mask': 'Class mask', 'cuts': 'Why it is cut', 'saved': 'Saved settings',
         'found': 'Settings found'}
_QUALITY = 90
_CLASSES = 0.6  # opacity of the class mask over the frame
_OVERLAY = OverlaySettings()


@dataclass(frozen=True)
class Shown:
    """
    What is shown of a frame.

    Attributes
    ----------
    number : int
        Of the frame.
    jpeg : bytes
        The picture.
    instances, ids, other_ids : int
        How many; ids are those that are confirmed.
    ms : float
        What the frame took, in milliseconds.
    settled : bool
        Whether the whole recording up to it was processed with these settings; otherwise ids are
        those of the same objects with the settings before, and memory does not show.
    reasons : tuple of (str, bool)
        Why regions were cut (True) or merged, where that is shown.
    version : int
        Another one for each picture.

    """

    number: int
    jpeg: bytes
    instances: int = 0
    ids: int = 0
    other_ids: int = 0
    ms: float = 0.0
    settled: bool = False
    reasons: tuple[tuple[str, bool], ...] = ()
    version: int = field(default_factory=count().__next__)


def draw_result(number: int, frame: Frame, names: Mapping[int, str],
                settings: SegmentationSettings, result: Processed | None,
                before: Processed | None, instances: Instances | None = None) -> Shown:
    """
    Draw the instances of a frame.

    Parameters
    ----------
    number : int
        Of the frame.
    frame : Frame
        The frame.
    names : mapping of int to str
        Names of the classes.
    settings : SegmentationSettings
        Where there is no result yet, the frame alone is split with them.
    result : Processed or None
        What the background made of it with these settings.
    before : Processed or None
        The same with other settings, which lends its ids.
    instances : Instances, optional
        Of the frame alone, where they are at hand.

    """
    if result is not None:
        instances = result.packed.unpack()
        ids: Sequence[int] = result.ids
        ms, other = result.ms, result.other_ids
    else:
        mask, started = frame.mask, time.perf_counter()
        if instances is None:
            instances = segment_instances(mask, settings, names or VOC_NAMES)
        ms, other = 1e3 * (time.perf_counter() - started), 0
        ids = _lent(instances, before)
    drawn = draw_overlay(frame.pixels, instances, id_texts(np.asarray(ids, np.int64)), names,
                         _OVERLAY)
    return Shown(number, _jpeg(drawn), len(instances), sum(i > 0 for i in ids), other, ms,
                 result is not None)


def draw_mask(number: int, frame: Frame) -> Shown:
    """Draw the class mask over the frame, pale."""
    classes = draw_classes(frame.mask)
    return Shown(number, _jpeg(cv2.addWeighted(
        frame.pixels, 1 - _CLASSES, classes, _CLASSES, 0)))


def draw_cuts(number: int, frame: Frame, names: Mapping[int, str],
              settings: SegmentationSettings) -> Shown:
    """Draw the regions of a frame with the place of each decision: red cuts, green merges."""
    view = debug_view(frame.mask, settings, class_names=names or VOC_NAMES)
    return Shown(number, _jpeg(view.basins), reasons=tuple(
        (str(reason), reason.is_cut) for reason in view.reasons))


def _lent(instances: Instances, before: Processed | None) -> list[int]:
    """Return the ids of the same objects as they were found before; 0 for new ones."""
    ids = [0] * len(instances)
    if before is not None:
        for i, j in match(before.packed.unpack(), instances)[0]:
            ids[j] = before.ids[i]
    return ids


def _jpeg(image: npt.ArrayLike) -> bytes:
    return encode(np.asarray(image, np.uint8), _QUALITY).tobytes()
