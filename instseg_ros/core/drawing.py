"""Drawing: instances, oriented boxes, names and ids over the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import colorsys
from dataclasses import dataclass, replace
from functools import lru_cache
import math
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from .instances import Instances
from .segmentation.oriented_boxes import oriented_box
from .settings import setting, Settings

_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class OverlaySettings(Settings):
    """What the overlay shows."""

    opacity: float = setting(
        0.45, 'Opacity of the instance colours over the frame', low=0, high=1)
    show_boxes: bool = setting(True, 'Draw the oriented boxes')
    show_labels: bool = setting(True, 'Write class name, track id and score')
    show_scene: bool = setting(True, 'Draw zones, lines and counts of scene_node')
    font_scale: float = setting(
        0.45, 'Size of the text, as a factor of the base size of the font', low=0.1, high=5)
    line_width: int = setting(2, 'Width of the lines of boxes', unit='px', low=1, high=20)
    jpeg_quality: int = setting(
        85, 'Quality of the compressed overlay, in percent', low=1, high=100)
    stamp_tolerance: float = setting(
        0.05, 'How far apart the stamps of a mask and of the frame under it may be', unit='s',
        low=0, high=10)


def colour_of(key: str) -> tuple[int, int, int]:
    """
    Return a bright BGR colour for a key: the same in every process, neighbours far apart.

    >>> colour_of('7') == colour_of('7') != colour_of('8')
    True
    """
    # Steps of the golden ratio spread successive ids over the hues.
    number = int(key) if key.isdecimal() else zlib.crc32(key.encode())
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.85, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)


def draw_overlay(frame: npt.NDArray[np.uint8], instances: Instances, ids: Sequence[str],
                 names: Mapping[int, str], settings: OverlaySettings) -> npt.NDArray[np.uint8]:
    """
    Draw instances over a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
        BGR; not changed.
    instances : Instances
        Of a label image of shape (H, W).
    ids : sequence of str
        Track id of each instance, '' while unconfirmed: such an instance is drawn in grey.
    names : mapping of int to str
        Class names; a class without one is written as its number.
    settings : OverlaySettings
        What to show.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        BGR.

    """
    drawn = frame.copy()
    colours = [colour_of(i) if i else (150, 150, 150) for i in ids]
    visible = [k for k, box in enumerate(instances.boxes.tolist()) if box[2] > box[0]]
    for k in visible:
        x0, y0, x1, y1 = instances.boxes[k].tolist()
        inside = (instances.labels[y0:y1, x0:x1] == k + 1).view(np.uint8)
        region = drawn[y0:y1, x0:x1]
        cv2.copyTo(cv2.LUT(region, _tint(colours[k], settings.opacity)), inside, region)
    if settings.show_boxes:
        for k in visible:
            cx, cy, w, h, theta = instances.oriented_boxes[k].tolist()
            # Pixel (x, y) covers [x, x + 1): OpenCV draws at pixel centres.
            corners = cv2.boxPoints(((cx - 0.5, cy - 0.5), (w, h), -math.degrees(theta)))
            cv2.polylines(drawn, [np.round(corners).astype(np.int32)], True, colours[k],
                          settings.line_width, cv2.LINE_AA)
    if settings.show_labels:
        for k in visible:
            x0, y0 = instances.boxes[k, :2].tolist()
            class_id = int(instances.class_ids[k])
            words = [names.get(class_id, f'class {class_id}'), f'#{ids[k]}' if ids[k] else '',
                     f'{instances.scores[k]:.2f}']
            write(drawn, ' '.join(filter(None, words)), x0, y0, colours[k], settings.font_scale)
    return drawn


def _tint(colour: tuple[int, int, int], opacity: float) -> npt.NDArray[np.uint8]:
    """Return what each value of each channel becomes under a colour, (256, 1, 3)."""
    levels = np.arange(256).reshape(-1, 1, 1)
    return np.rint((1 - opacity) * levels + opacity * np.array(colour)).astype(np.uint8)


def draw_classes(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """
    Return a class mask in colours, for viewers that show it as grey: nearly black.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class ids; background is black, no data (255) grey.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        BGR.

    """
    return _class_colours()[mask]


@lru_cache(maxsize=1)
def _class_colours() -> npt.NDArray[np.uint8]:
    colours = [colour_of(str(k)) for k in range(256)]
    colours[0], colours[255] = (0, 0, 0), (90, 90, 90)
    return np.array(colours, np.uint8)


def enlarge(instances: Instances, size: tuple[int, int]) -> Instances:
    """
    Return instances in the pixels of an image of another size that shows the same.

    Parameters
    ----------
    instances : Instances
        Of a label image of any size.
    size : tuple of int
        Width and height of the image.

    """
    labels = cv2.resize(instances.labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    boxes = np.zeros((len(instances.boxes), 4), np.int32)
    oriented = np.zeros((len(instances.boxes), 5))
    for k in range(len(boxes)):
        rows, columns = np.nonzero(labels == k + 1)
        if len(rows):  # else it vanished in a smaller image
            x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            boxes[k] = x0, y0, x1, y1
            oriented[k] = oriented_box((labels[y0:y1, x0:x1] == k + 1).astype(np.uint8))
            oriented[k, :2] += x0, y0
    areas = np.bincount(labels.ravel(), minlength=len(boxes) + 1)[1:]
    return replace(instances, labels=labels, areas=areas, boxes=boxes, oriented_boxes=oriented)


def write(image: npt.NDArray[np.uint8], text: str, x: int, y: int,
          colour: tuple[int, int, int], scale: float) -> None:
    """Write text above a point, on a plate of the colour, moved into the image."""
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    x = max(0, min(x, image.shape[1] - width - 4))
    y = max(height + below + 2, y)
    cv2.rectangle(image, (x, y - height - below - 2), (x + width + 4, y), colour, cv2.FILLED)
    bright = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2] > 128
    cv2.putText(image, text, (x + 2, y - below), _FONT, scale, (0, 0, 0) if bright
                else (255, 255, 255), 1, cv2.LINE_AA)
