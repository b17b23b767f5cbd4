"""
Results as messages, written once for whoever carries them.

The nodes fill the classes of rclpy, recordings those of ``rosbags``. Both take every field by its
name, so each function here takes the classes as a mapping from the full name of a type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.instances import Instances
from ..errors import MessageError

Types = Mapping[str, Any]


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
        One detection per label.
    labels : ndarray of shape (H, W), uint16
        The instance mask.

    Raises
    ------
    MessageError
        Mask and detections do not belong together, or a class id is not a number.

    """
    # Not above: SciPy takes a quarter of a second, which those who only write can save.
    from scipy import ndimage

    count = len(message.detections)
    highest = int(labels.max())
    if highest != count:
        raise MessageError(f'expected an instance mask with labels up to {count}, one for each '
                           f'detection of the same stamp, got {highest}')
    boxes, areas = np.zeros((count, 4), np.int32), np.zeros(count, np.int64)
    for k, found in enumerate(ndimage.find_objects(labels, count)):
        if found is not None:
            rows, columns = found
            boxes[k] = columns.start, rows.start, columns.stop, rows.stop
            areas[k] = np.count_nonzero(labels[found] == k + 1)
    oriented = np.array([(d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x,
                          d.bbox.size_y, d.bbox.center.theta) for d in message.detections])
    try:
        # bytes() refuses what is not in 0..255.
        classes = np.frombuffer(bytes(int(d.results[0].hypothesis.class_id)
                                      for d in message.detections), np.uint8)
    except (IndexError, ValueError):
        raise MessageError('expected a class id in 0..255 as class_id of the first result of '
                           'each detection, got none or something else') from None
    return Instances(labels, classes, areas,
                     np.array([d.results[0].hypothesis.score for d in message.detections]),
                     boxes, oriented.reshape(-1, 5))


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


def track_ids(message: Any) -> npt.NDArray[np.int64]:
    """
    Return the ids of the tracks in a vision_msgs/Detection2DArray, 0 where there is none.

    Raises
    ------
    MessageError
        An id is no number of 64 bits.

    """
    try:
        return np.array([int(d.id or 0) for d in message.detections], np.int64)
    except (ValueError, OverflowError):
        raise MessageError('expected track ids that are numbers, as tracker_node gives them, got '
                           'others') from None


def compressed_format(encoding: str, jpeg: bool) -> str:
    """Return the format of a sensor_msgs/CompressedImage, as image_transport writes it."""
    return f'{encoding}; {"jpeg" if jpeg else "png"} compressed {encoding}'
