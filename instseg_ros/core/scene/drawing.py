"""Drawing of a scene: zones, lines and counts over the frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .selection import as_points, in_pixels, SceneSettings
from ..drawing import colour_of, write

_FILLED = 0.18   # opacity of a zone
_ARROW = 18.0    # px, across a line, to where it counts forward


@dataclass(frozen=True)
class Counts:
    """What is written of a selection; None where it is not known yet."""

    count: int | None = None
    forward: int | None = None
    backward: int | None = None


def draw_scene(picture: npt.NDArray[np.uint8], settings: SceneSettings,
               counts: Mapping[str, Counts], scale: float) -> None:
    """
    Draw the selections into a picture.

    Parameters
    ----------
    picture : ndarray of shape (H, W, 3), uint8
        BGR; is changed.
    settings : SceneSettings
        The selections. Zones and lines in metres are not drawn, their counts are.
    counts : mapping of str to Counts
        By name of the selection.
    scale : float
        Size of the text, as for :class:`~instseg_ros.core.drawing.OverlaySettings`.

    """
    shape = (picture.shape[0], picture.shape[1])
    row = 0
    for name, selection in settings.named.items():
        own, colour = counts.get(name, Counts()), colour_of(name)
        words = name if own.count is None else f'{name}: {own.count}'
        place = None
        if selection.units != 'metres' and selection.zone:
            corners = np.rint(in_pixels(as_points(selection.zone), selection.units, shape) - 0.5
                              ).astype(np.int32)
            filled = picture.copy()
            cv2.fillPoly(filled, [corners], colour)
            cv2.addWeighted(filled, _FILLED, picture, 1 - _FILLED, 0, picture)
            cv2.polylines(picture, [corners], True, colour, 2, cv2.LINE_AA)
            place = corners[corners.sum(axis=1).argmin()]
        if selection.line:
            words = f'{name}: {own.forward or 0} forward, {own.backward or 0} backward'
            if selection.units != 'metres':
                place = _draw_line(picture, in_pixels(as_points(selection.line), selection.units,
                                                      shape), colour)
        if place is None:
            row += 1
            place = (8, row * round(60 * scale))
        write(picture, words, int(place[0]), int(place[1]), colour, scale)


def _draw_line(picture: npt.NDArray[np.uint8], line: npt.NDArray[np.float64],
               colour: tuple[int, int, int]) -> npt.NDArray[np.int32]:
    """Draw a line with an arrow to where it counts forward; returns its first point."""
    points = np.rint(line - 0.5).astype(np.int32)
    cv2.polylines(picture, [points], False, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.polylines(picture, [points], False, colour, 3, cv2.LINE_AA)
    middle = len(line) // 2
    a, b = line[middle - 1], line[middle]
    way = (b - a) / np.hypot(*(b - a))
    start = (a + b) / 2 - 0.5
    end = start + _ARROW * np.array([-way[1], way[0]])  # to the right, as seen on the screen
    cv2.arrowedLine(picture, (round(start[0]), round(start[1])), (round(end[0]), round(end[1])),
                    colour, 3, cv2.LINE_AA, tipLength=0.4)
    return points[0]
