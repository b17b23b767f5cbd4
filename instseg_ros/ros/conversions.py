"""
Conversions between arrays and messages, in pairs.

The encodings of this package's own topics are handled here, with at most one copy and with row
padding and byte order honoured. Every other encoding goes to cv_bridge, where it is installed.
"""

from __future__ import annotations

import array
import sys
from typing import Any

from builtin_interfaces.msg import Time
from instseg_ros.core import Instances
from instseg_ros.core.images import check_pixels, decode, encode, ENCODINGS, ImageError, unpack
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose


class ConversionError(ValueError):
    """A message cannot be used; says what was expected and what came."""


def stamp_to_ns(stamp: Time) -> int:
    """Return a message's stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def image_to_array(message: Image, encoding: str) -> npt.NDArray[Any]:
    """
    Return an image message as an array.

    Parameters
    ----------
    message : sensor_msgs.msg.Image
        Of any encoding of :data:`~instseg_ros.core.images.ENCODINGS`, or of one that cv_bridge
        knows.
    encoding : str
        The encoding wanted.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, channels)
        In native byte order. A read-only view of the message's data where nothing had to change.

    Raises
    ------
    ConversionError
        The message has no pixels, too small a step, too few bytes or an encoding that cannot be
        converted.

    """
    try:
        if message.encoding in ENCODINGS or 0 in (message.height, message.width):
            return unpack(message, encoding)
        import cv_bridge
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, encoding)
    except ImageError as error:
        raise ConversionError(str(error)) from None
    except ImportError:
        raise ConversionError(
            f'expected one of {", ".join(ENCODINGS)}, got {message.encoding!r}, which takes '
            'cv_bridge, and that is not installed here') from None
    except Exception as error:  # cv_bridge raises its own, OpenCV's and Python's errors
        raise ConversionError(f'expected {encoding}, got {message.encoding!r}, which cv_bridge '
                              f'does not convert: {error}') from error


def array_to_image(pixels: npt.NDArray[Any], encoding: str, header: Header) -> Image:
    """
    Return an array as an image message: one copy.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, channels)
        Of the encoding's dtype and channels.
    encoding : str
        One of :data:`~instseg_ros.core.images.ENCODINGS`.
    header : std_msgs.msg.Header
        Stamp and frame of the image.

    Raises
    ------
    ImageError
        The array does not have the encoding's dtype and channels.

    """
    check_pixels(pixels, encoding)
    return Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 is_bigendian=sys.byteorder == 'big', step=pixels[0].nbytes,
                 data=_to_bytes(pixels))


def _to_bytes(pixels: npt.NDArray[Any]) -> array.array[int]:
    """Return an array's bytes as rclpy wants them: bytes are checked one by one, 100x slower."""
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(pixels).data.cast('B'))
    return data


def compressed_to_array(message: CompressedImage, encoding: str) -> npt.NDArray[Any]:
    """
    Return a JPEG or PNG image message as an array of an encoding.

    Raises
    ------
    ConversionError
        The data is no image, or one of another encoding.

    """
    try:
        return decode(message.data, encoding)
    except ImageError as error:
        raise ConversionError(str(error)) from None


def array_to_compressed(pixels: npt.NDArray[Any], encoding: str, header: Header,
                        jpeg_quality: int = 0) -> CompressedImage:
    """
    Return an array as a compressed image message.

    Parameters
    ----------
    pixels : ndarray
        As in :func:`array_to_image`.
    encoding : str
        ``bgr8``, ``mono8`` or ``16UC1``.
    header : std_msgs.msg.Header
        Stamp and frame of the image.
    jpeg_quality : int
        1 to 100 for JPEG; 0 for PNG, which keeps every label.

    """
    kind = 'jpeg' if jpeg_quality else 'png'
    return CompressedImage(header=header, format=f'{encoding}; {kind} compressed {encoding}',
                           data=_to_bytes(encode(pixels, jpeg_quality)))


def instances_to_detections(instances: Instances, header: Header,
                            ids: list[str] | None = None) -> Detection2DArray:
    """
    Return instances as detections: label k is entry k - 1.

    Parameters
    ----------
    instances : Instances
        The instances of a frame.
    header : std_msgs.msg.Header
        Stamp and frame of the mask they came from.
    ids : list of str, optional
        Track id of each instance; '' where absent.

    """
    message = Detection2DArray(header=header)
    for k, (cx, cy, w, h, theta) in enumerate(instances.oriented_boxes.tolist()):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = str(instances.class_ids[k])
        result.hypothesis.score = float(instances.scores[k])
        detection = Detection2D(header=header, results=[result], id=ids[k] if ids else '')
        detection.bbox.center.position.x, detection.bbox.center.position.y = cx, cy
        detection.bbox.center.theta = theta
        detection.bbox.size_x, detection.bbox.size_y = w, h
        message.detections.append(detection)
    return message


def detections_to_instances(message: Detection2DArray,
                            labels: npt.NDArray[np.uint16]) -> Instances:
    """
    Return detections and the instance mask of the same stamp as instances.

    Parameters
    ----------
    message : vision_msgs.msg.Detection2DArray
        One detection per label.
    labels : ndarray of shape (H, W), uint16
        The instance mask.

    Raises
    ------
    ConversionError
        Mask and detections do not belong together, or a class id is not a number.

    """
    count = len(message.detections)
    highest = int(labels.max())
    if highest != count:
        raise ConversionError(f'expected an instance mask with labels up to {count}, one for each '
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
        raise ConversionError('expected a class id in 0..255 as class_id of the first result of '
                              'each detection, got none or something else') from None
    return Instances(labels, classes, areas,
                     np.array([d.results[0].hypothesis.score for d in message.detections]),
                     boxes, oriented.reshape(-1, 5))
