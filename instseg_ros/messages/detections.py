"""
Results as messages, written once for whoever carries them.

The nodes fill the classes of rclpy, recordings those of ``rosbags``. Both take every field by its
name, so each function here takes the classes as a mapping from the full name of a type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .cdr import DetectionFields, Stamped
from ..core.instances import Instances
from ..errors import MessageError

Types = Mapping[str, Any]
_EXPECTED_CLASS = ('expected a class id in 0..255 as class_id of the first result of each '
                   'detection, got none or something else')


def instances_to_detections(types: Types, instances: Instances, header: Any,
                            ids: Sequence[str] | None = None) -> Any:
    """
    Return instances as a vision_msgs/Detection2DArray: label k is entry k - 1.

    Parameters
    ----------
    types : mapping of str to type
        Message classes, by names such as ``vision_msgs/msg/Detection2D``.
    instances : Instances
        The instances of a frame.
    header : std_msgs/Header
        Stamp and frame of the mask they came from.
    ids : sequence of str, optional
        Track id of each instance; '' where absent.

    """
    # A detection in an image has no pose in space: all share one that stays empty.
    nowhere = types['geometry_msgs/msg/PoseWithCovariance'](
        pose=types['geometry_msgs/msg/Pose'](
            position=types['geometry_msgs/msg/Point'](x=0.0, y=0.0, z=0.0),
            orientation=types['geometry_msgs/msg/Quaternion'](x=0.0, y=0.0, z=0.0, w=1.0)),
        covariance=np.zeros(36))
    detections = []
    for k, (cx, cy, w, h, theta) in enumerate(instances.oriented_boxes.tolist()):
        center = types['vision_msgs/msg/Pose2D'](
            position=types['vision_msgs/msg/Point2D'](x=cx, y=cy), theta=theta)
        hypothesis = types['vision_msgs/msg/ObjectHypothesis'](
            class_id=str(instances.class_ids[k]), score=float(instances.scores[k]))
        detections.append(types['vision_msgs/msg/Detection2D'](
            header=header,
            results=[types['vision_msgs/msg/ObjectHypothesisWithPose'](
                hypothesis=hypothesis, pose=nowhere)],
            bbox=types['vision_msgs/msg/BoundingBox2D'](center=center, size_x=w, size_y=h),
            id=ids[k] if ids else ''))
    return types['vision_msgs/msg/Detection2DArray'](header=header, detections=detections)


def detections_to_instances(message: Any, labels: npt.NDArray[np.uint16]) -> Instances:
    """
    Return detections and the instance mask of the same stamp as instances.

    Parameters
    ----------
    message : vision_msgs/Detection2DArray
        One detection per label. What still has these instances is not measured again.
    labels : ndarray of shape (H, W), uint16
        The instance mask.

    Raises
    ------
    MessageError
        Mask and detections do not belong together, or a class id is not a number.

    """
    given = getattr(message, 'instances', None)
    if given is not None and np.may_share_memory(given.labels, labels):
        return given  # type: ignore[no-any-return]
    fields = _fields(message)
    boxes, areas = _measured(labels, fields.oriented_boxes)
    try:
        # bytes() refuses what is not in 0..255.
        classes = np.frombuffer(bytes(map(int, fields.class_ids)), np.uint8)
    except ValueError:
        raise MessageError(_EXPECTED_CLASS) from None
    return Instances(labels, classes, areas, fields.scores, boxes, fields.oriented_boxes)


def _fields(message: Any) -> DetectionFields:
    """Return what a message holds, if it was not read in that form."""
    if (fields := getattr(message, 'fields', None)) is not None:
        return fields  # type: ignore[no-any-return]
    found = message.detections
    if not all(d.results for d in found):
        raise MessageError(_EXPECTED_CLASS)
    stamp = message.header.stamp
    return DetectionFields(
        Stamped(stamp.sec, stamp.nanosec, message.header.frame_id),
        [d.results[0].hypothesis.class_id for d in found], [d.id for d in found],
        np.array([d.results[0].hypothesis.score for d in found], np.float64),
        np.array([(d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x,
                   d.bbox.size_y, d.bbox.center.theta) for d in found], np.float64).reshape(-1, 5))


def _measured(labels: npt.NDArray[np.uint16], oriented: npt.NDArray[np.float64]
              ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """
    Return the boxes and areas of all labels, (N, 4) and (N,); MessageError where N do not fit.

    Each label is looked for around its oriented box, which is faster than to search the whole
    image; where pixels are left over then, or a label has none, that is done after all.
    """
    count = len(oriented)
    boxes, areas = np.zeros((count, 4), np.int32), np.zeros(count, np.int64)
    places = _around(oriented, labels.shape)
    for k, (x0, y0, x1, y1) in enumerate(places):
        inside = labels[y0:y1, x0:x1] == k + 1
        areas[k] = np.count_nonzero(inside)
        x, y, width, height = cv2.boundingRect(inside.view(np.uint8)) if areas[k] else (0,) * 4
        boxes[k] = x0 + x, y0 + y, x0 + x + width, y0 + y + height
    if areas.all() and areas.sum() == np.count_nonzero(labels):
        return boxes, areas
    # Not above: SciPy takes a quarter of a second, which those who only write can save.
    from scipy import ndimage

    highest = int(labels.max())
    if highest != count:
        raise MessageError(f'expected an instance mask with labels up to {count}, one for each '
                           f'detection of the same stamp, got {highest}')
    for k, found in enumerate(ndimage.find_objects(labels, count)):
        boxes[k], areas[k] = 0, 0
        if found is not None:
            rows, columns = found
            boxes[k] = columns.start, rows.start, columns.stop, rows.stop
            areas[k] = np.count_nonzero(labels[found] == k + 1)
    return boxes, areas


def _around(oriented: npt.NDArray[np.float64], shape: tuple[int, ...]) -> list[list[int]]:
    """Return a box around each oriented box, in pixels inside the frame: x0, y0, x1, y1."""
    cx, cy, width, height, theta = oriented.T
    cosine, sine = np.abs(np.cos(theta)), np.abs(np.sin(theta))
    half_x = (width * cosine + height * sine) / 2 + 1
    half_y = (width * sine + height * cosine) / 2 + 1
    limits = np.array([shape[1], shape[0]] * 2)
    edges = np.stack([cx - half_x, cy - half_y, cx + half_x + 1, cy + half_y + 1], axis=1)
    return np.nan_to_num(edges).clip(0, limits).astype(int).tolist()


def label_info(types: Types, names: Mapping[int, str], header: Any) -> Any:
    """Return the names of the classes as a vision_msgs/LabelInfo."""
    return types['vision_msgs/msg/LabelInfo'](
        header=header, threshold=0.0,
        class_map=[types['vision_msgs/msg/VisionClass'](class_id=k, class_name=name)
                   for k, name in sorted(names.items())])


def class_names(message: Any) -> dict[int, str]:
    """Return what a vision_msgs/LabelInfo says: names by class id."""
    return {c.class_id: c.class_name for c in message.class_map}


def id_texts(ids: npt.NDArray[np.int64]) -> list[str]:
    """Return track ids as detections have them: '' for 0, which is unconfirmed."""
    return [str(i) if i else '' for i in ids.tolist()]


def texts_of_ids(message: Any) -> Sequence[str]:
    """Return the id of each detection of a Detection2DArray, '' where there is none."""
    given = getattr(message, 'ids', None)
    return [d.id for d in message.detections] if given is None else given


def track_ids(message: Any) -> npt.NDArray[np.int64]:
    """
    Return the ids of the tracks in a vision_msgs/Detection2DArray, 0 where there is none.

    Raises
    ------
    MessageError
        An id is no number of 64 bits.

    """
    try:
        return np.array([int(i or 0) for i in texts_of_ids(message)], np.int64)
    except (ValueError, OverflowError):
        raise MessageError('expected track ids that are numbers, as tracker_node gives them, got '
                           'others') from None


def compressed_format(encoding: str, jpeg: bool) -> str:
    """Return the format of a sensor_msgs/CompressedImage, as image_transport writes it."""
    return f'{encoding}; {"jpeg" if jpeg else "png"} compressed {encoding}'
