"""Measurement: what one frame shows, in the form that tracks are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import kalman
from .footprints import contacts, Footprints
from ..instances import Instances

SAMPLED_SIDE = 160   # px: masks of larger frames are compared on every 2nd, 3rd... pixel, as
SAMPLES_ACROSS = 8   # long as the smallest object still has this many across

# Factors on the noise of an edge. IDF1 of seven crowds, true masks: 0.916, without COVERED_DOUBT
# 0.876; of moving cameras 0.878, without INWARD_DOUBT 0.852, with gaps 0.899 and 0.866.
# What it is between 8 and 20 matters little: on nine kinds of scenes means of 0.834 and 0.831.
COVERED = 0.25       # share of a side of the box along another instance that hides the edge there
COVERED_DOUBT = 4.0
INWARD = 1.0         # standard deviations inside the forecast from which on something hides it
INWARD_DOUBT = 20.0


@dataclass(frozen=True)
class Measurement:
    """
    The instances of one frame.

    Attributes
    ----------
    labels : ndarray of shape (H, W), uint16
        The label image; (0, 0) when only boxes are known.
    class_ids, areas, boxes : ndarray
        As in ``Instances``; areas and boxes as float64.
    footprints : Footprints
        Sampled pixels of each instance.
    covered : ndarray of shape (N, 4), float64
        Share of each side of the box along another instance.
    cut : ndarray of shape (N, 4), bool
        Sides where the frame cuts it off.

    """

    labels: npt.NDArray[np.uint16]
    class_ids: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float64]
    footprints: Footprints
    covered: npt.NDArray[np.float64]
    cut: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, instances: Instances) -> Measurement:
        """Return the measurement that instances are."""
        count, labels = len(instances), instances.labels
        areas = instances.areas.astype(np.float64)
        boxes = instances.boxes.astype(np.float64).reshape(-1, 4)
        if not labels.size:
            return cls(labels, instances.class_ids, areas, boxes,
                       Footprints.none().placed(np.zeros(0, np.intp), count),
                       np.zeros((count, 4)), np.zeros((count, 4), bool))
        height, width = labels.shape
        side = float(np.sqrt(areas.min(initial=np.inf)))
        stride = int(max(1, min(max(labels.shape) / SAMPLED_SIDE, side / SAMPLES_ACROSS)))
        cut = np.concatenate([boxes[:, :2] <= 0, boxes[:, 2:] >= (width, height)], axis=1)
        return cls(labels, instances.class_ids, areas, boxes,
                   Footprints.of(labels, count, stride), contacts(labels, boxes), cut)


def edge_doubt(forecast: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64],
               seen: Measurement, columns: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """
    Return the factor on the noise of each edge, (M, 4); what is hidden says little.

    Occlusion only ever hides: an edge inside its forecast, or along another object, is probably
    that of what stands in front. An edge at the border of the frame says nothing.

    Parameters
    ----------
    forecast : ndarray of shape (M, 4), float64
        Expected boxes.
    covariance : ndarray of shape (M, 2, 4, 4), float64
        Their uncertainty.
    seen : Measurement
        What the frame shows.
    columns : ndarray of shape (M,), intp
        The instance that each of them was seen as.

    """
    boxes, cut = seen.boxes[columns], seen.cut[columns]
    noise = kalman.MODEL.edge * kalman.sizes(boxes)[:, None]
    deviation = np.sqrt(kalman.edge_variances(covariance) + noise**2)
    inward = (boxes - forecast) * (1, 1, -1, -1) / deviation
    doubt = 1 + COVERED_DOUBT * (seen.covered[columns] > COVERED) \
        + INWARD_DOUBT * (inward > INWARD)
    doubt[cut] = kalman.UNSEEN
    return doubt
