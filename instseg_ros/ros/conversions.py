"""
Conversions between arrays and messages, in pairs.

The encodings of this package's own topics are handled here, with at most one copy and with row
padding and byte order honoured. Every other encoding goes to cv_bridge, where it is installed.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
import sys
from typing import Any

from builtin_interfaces.msg import Time
from instseg_ros.core import Instances
from instseg_ros.errors import MessageError
from instseg_ros.messages import cdr
from instseg_ros.messages import detections as messages
from instseg_ros.messages.encodings import check_pixels, encode, ENCODINGS, unpack
import numpy as np
import numpy.typing as npt
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray


class MessageTypes(dict[str, Any]):
    """Message classes by their full names, imported when they are asked for."""

    def __missing__(self, name: str) -> Any:
        package, _, kind = name.split('/')
        self[name] = getattr(import_module(f'{package}.msg'), kind)
        return self[name]


# What results are made of here; recordings make them of other classes.
TYPES = MessageTypes()


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def image_to_array(message: Image, encoding: str) -> npt.NDArray[Any]:
    """
    Return an image message as an array.

    Parameters
    ----------
    message : sensor_msgs.msg.Image
        Of any encoding of :data:`~instseg_ros.messages.encodings.ENCODINGS`, or of one that
        cv_bridge knows.
    encoding : str
        The encoding wanted.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, channels)
        In native byte order. A read-only view of the message's data where nothing had to change.

    Raises
    ------
    MessageError
        The message has no pixels, too small a step, too few bytes or an encoding that cannot be
        converted.

    """
    if message.encoding in ENCODINGS or 0 in (message.height, message.width):
        return unpack(message, encoding)
    try:
        import cv_bridge
        return cv_bridge.CvBridge().imgmsg_to_cv2(message, encoding)
    except ImportError:
        raise MessageError(
            f'expected one of {", ".join(ENCODINGS)}, got {message.encoding!r}, which takes '
            'cv_bridge, and that is not installed here') from None
    except Exception as error:  # cv_bridge raises its own, OpenCV's and Python's errors
        raise MessageError(f'expected {encoding}, got {message.encoding!r}, which cv_bridge '
                           f'does not convert: {error}') from error


@dataclass(frozen=True)
class ArrayImage:
    """
    An image message whose data is still an array: nothing is copied between nodes of a process.

    The fields are those of sensor_msgs/Image.
    """

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview

    @classmethod
    def of(cls, pixels: npt.NDArray[Any], encoding: str, header: Header) -> ArrayImage:
        """Return an array as an image; arguments and errors as of :func:`array_to_image`."""
        check_pixels(pixels, encoding)
        return cls(header, pixels.shape[0], pixels.shape[1], encoding,
                   int(sys.byteorder == 'big'), pixels[0].nbytes,
                   np.ascontiguousarray(pixels).data.cast('B'))

    @classmethod
    def read(cls, data: bytes) -> ArrayImage:
        """Return a serialized sensor_msgs/Image; its data stay where they are."""
        found = cdr.read_image(data)
        return cls(**(found._asdict() | {'header': _header(found.header)}))

    def serialized(self) -> bytes:
        """Return the image as the middleware carries it."""
        return cdr.write_image(self.header, self.height, self.width, self.encoding,
                               self.is_bigendian, self.step, self.data)


@dataclass(frozen=True)
class InstanceDetections:
    """
    Detections that are still instances: nothing is converted between nodes of a process.

    Attributes
    ----------
    instances : Instances
        The instances of a frame.
    header : std_msgs.msg.Header
        Stamp and frame of the mask they came from.
    ids : sequence of str
        Track id of each instance, '' where there is none.

    """

    instances: Instances
    header: Header
    ids: Sequence[str] = ()

    def serialized(self) -> bytes:
        """Return the detections as the middleware carries them."""
        return cdr.write_detections(self.instances, self.header, self.ids)

    @cached_property
    def detections(self) -> list[Any]:
        """Return the detections as a message has them."""
        return list(instances_to_detections(self.instances, self.header, self.ids).detections)


@dataclass(frozen=True)
class ReadDetections:
    """Detections as they were read: their numbers in arrays."""

    header: Header
    fields: cdr.DetectionFields
    data: bytes

    @classmethod
    def read(cls, data: bytes) -> ReadDetections:
        """Return a serialized vision_msgs/Detection2DArray."""
        fields = cdr.read_detections(data)
        return cls(_header(fields.header), fields, data)

    @property
    def ids(self) -> list[str]:
        """Return the id of each detection."""
        return self.fields.ids

    @cached_property
    def detections(self) -> list[Any]:
        """Return the detections as a message has them."""
        return list(deserialize_message(self.data, Detection2DArray).detections)


# What is read without rclpy, which makes an object of everything.
READERS: dict[type, Callable[[bytes], Any]] = {
    Image: ArrayImage.read, Detection2DArray: ReadDetections.read}


def read_message(kind: type, data: bytes) -> Any:
    """Return a message of a kind that was taken as bytes."""
    if kind in READERS:
        try:
            return READERS[kind](data)
        except cdr.OtherFormatError:
            pass
    return deserialize_message(data, kind)


def _header(fields: cdr.Stamped) -> Header:
    return Header(stamp=Time(sec=fields.sec, nanosec=fields.nanosec), frame_id=fields.frame_id)


def array_to_image(pixels: npt.NDArray[Any], encoding: str, header: Header) -> Image:
    """
    Return an array as an image message: one copy.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, channels)
        Of the encoding's dtype and channels.
    encoding : str
        One of :data:`~instseg_ros.messages.encodings.ENCODINGS`.
    header : std_msgs.msg.Header
        Stamp and frame of the image.

    Raises
    ------
    MessageError
        The array does not have the encoding's dtype and channels.

    """
    check_pixels(pixels, encoding)
    return Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 is_bigendian=sys.byteorder == 'big', step=pixels[0].nbytes,
                 data=_to_bytes(pixels))


def _to_bytes(pixels: npt.NDArray[Any]) -> array.array[int]:
    return as_bytes(np.ascontiguousarray(pixels).data.cast('B'))


def as_bytes(content: bytes | memoryview) -> array.array[int]:
    """Return bytes as rclpy wants them: bytes are checked one by one, 100 times slower."""
    data = array.array('B')
    data.frombytes(content)
    return data


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
    return CompressedImage(header=header,
                           format=messages.compressed_format(encoding, jpeg_quality > 0),
                           data=_to_bytes(encode(pixels, jpeg_quality)))


def instances_to_detections(instances: Instances, header: Header, ids: Sequence[str] = ()
                            ) -> Detection2DArray:
    """
    Return instances as detections: label k is entry k - 1.

    Parameters
    ----------
    instances : Instances
        The instances of a frame.
    header : std_msgs.msg.Header
        Stamp and frame of the mask they came from.
    ids : sequence of str, optional
        Track id of each instance; '' where absent.

    """
    return messages.instances_to_detections(TYPES, instances, header, ids)
