"""Splitting: from a class mask to instances."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .instances import Instances
from .oriented_boxes import oriented_box
from .settings import setting, Settings

NO_DATA = 255
MAX_INSTANCES = np.iinfo(np.uint16).max


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
        True, 'Objects that were seen apart stay apart when their masks melt into one')
    config_mode: bool = setting(False, 'Publish the debug images')


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

    Raises
    ------
    TypeError, ValueError
        The mask has another dtype or shape.

    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8:
        raise TypeError('mask: expected an ndarray of uint8, got '
                        f'{getattr(mask, "dtype", type(mask).__name__)}')
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f'mask: expected shape (H, W) with H, W >= 1, got {mask.shape}')
    labels = np.zeros(mask.shape, np.uint16)
    rows: list[tuple] = []
    for class_id in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist():
        if class_id in (0, NO_DATA) or class_id in settings.ignored_classes:
            continue
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (mask == class_id).view(np.uint8), connectivity=8)
        for part in range(1, count):
            x, y, w, h, area = stats[part].tolist()
            if area < settings.size_threshold or len(rows) == MAX_INSTANCES:
                continue
            inside = parts[y:y + h, x:x + w] == part
            cx, cy, bw, bh, theta = oriented_box(inside.view(np.uint8))
            rows.append((class_id, area, min(1.0, area / (bw * bh)), (x, y, x + w, y + h),
                         (cx + x, cy + y, bw, bh, theta)))
            labels[y:y + h, x:x + w][inside] = len(rows)
    classes, areas, scores, boxes, oriented = zip(*rows, strict=True) if rows else ((),) * 5
    return Instances(labels, np.array(classes, np.uint8), np.array(areas, np.int64),
                     np.array(scores, np.float64),
                     np.array(boxes, np.int32).reshape(-1, 4),
                     np.array(oriented, np.float64).reshape(-1, 5))
