"""Instances that a network knows by itself: measured and chosen as those of split masks are."""

from __future__ import annotations

import cv2
import numpy as np

from .class_masks import NO_DATA
from .oriented_boxes import oriented_boxes
from .settings import SegmentationSettings
from ..instances import Instances


def network_instances(found: Instances, settings: SegmentationSettings) -> Instances:
    """
    Return the instances of a network as the settings want them, with boxes fitted to their pixels.

    Parameters
    ----------
    found : Instances
        Those of the network; its own oriented boxes are not looked at.
    settings : SegmentationSettings
        ``min_score``, ``ignored_classes`` and ``size_threshold`` choose; an automatic
        ``size_threshold`` leaves all, since their scores tell what is rubbish.

    Returns
    -------
    Instances
        In the same order and with the same scores; labels are dense again.

    """
    kept = ((found.scores >= settings.min_score)
            & (found.areas >= max(settings.size_threshold, 1))
            & ~np.isin(found.class_ids, (0, NO_DATA, *settings.ignored_classes)))
    hulls = []
    for k in np.flatnonzero(kept).tolist():
        x0, y0, x1, y1 = found.boxes[k].tolist()
        pixels = (found.labels[y0:y1, x0:x1] == k + 1).view(np.uint8)
        outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE,
                                       offset=(x0, y0))
        hulls.append(cv2.convexHull(np.concatenate(outlines)))
    labels, areas = found.labels, found.areas[kept]
    if not kept.all():
        dense = np.zeros(len(kept) + 1, np.uint16)
        dense[1:][kept] = np.arange(1, len(areas) + 1)
        labels = dense[labels]
    return Instances(labels, found.class_ids[kept], areas, found.scores[kept], found.boxes[kept],
                     oriented_boxes(hulls, areas))
