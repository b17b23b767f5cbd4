"""
Images and detections as the middleware carries them, without message objects in between.

Nested message objects cost rclpy 50 microseconds for each detection, written or read; here it is
7. The format is CDR, little-endian, version 1, as the middlewares of ROS 2 have it
(https://www.omg.org/spec/DDSI-RTPS, chapter 10). What comes in another format is left to rclpy.
"""

from __future__ import annotations

from collections.abc import Sequence
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.instances import Instances

_LITTLE_ENDIAN = b'\0\1'
_START = 4  # bytes before the first field; alignment counts from there
_UINT = struct.Struct('<I')
_TWO_UINTS = struct.Struct('<II')
_STAMP = struct.Struct('<iI')
# Of one detection: score, pose in space and its covariance, centre, theta, width and height.
_NUMBERS = struct.Struct('<49d')
_NOWHERE = (0.0,) * 6 + (1.0,) + (0.0,) * 36  # a detection in an image has no pose in space


class OtherFormatError(ValueError):
    """The bytes are none that this module reads; rclpy may."""


class Stamped(NamedTuple):
    """The fields of a std_msgs/Header."""

    sec: int
    nanosec: int
    frame_id: str


class ImageFields(NamedTuple):
    """The fields of a sensor_msgs/Image; the data is a view of the bytes that were read."""

    header: Stamped
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


class DetectionFields(NamedTuple):
    """
    The fields of a vision_msgs/Detection2DArray whose detections have one result each.

    Attributes
    ----------
    header : Stamped
        Stamp and frame.
    class_ids, ids : list of str
        Of each detection.
    scores : ndarray of shape (N,), float64
        Of each detection.
    oriented_boxes : ndarray of shape (N, 5), float64
        As in :class:`~instseg_ros.core.Instances`.

    """

    header: Stamped
    class_ids: list[str]
    ids: list[str]
    scores: npt.NDArray[np.float64]
    oriented_boxes: npt.NDArray[np.float64]


class _Writer:

    def __init__(self) -> None:
        self.out = bytearray(_LITTLE_ENDIAN + b'\0\0')

    def align(self, size: int) -> None:
        self.out += bytes((_START - len(self.out)) % size)

    def uint(self, value: int) -> None:
        self.align(4)
        self.out += _UINT.pack(value)

    def text(self, text: str) -> None:
        data = text.encode()
        self.uint(len(data) + 1)
        self.out += data + b'\0'

    def header(self, header: Any) -> None:
        self.align(4)
        self.out += _STAMP.pack(header.stamp.sec, header.stamp.nanosec)
        self.text(header.frame_id)


class _Reader:

    def __init__(self, data: bytes) -> None:
        if data[:2] != _LITTLE_ENDIAN:
            raise OtherFormatError
        self.data = data
        self.at = _START

    def align(self, size: int) -> None:
        self.at += (_START - self.at) % size

    def take(self, layout: struct.Struct, alignment: int = 4) -> tuple[Any, ...]:
        self.align(alignment)
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def text(self) -> str:
        size: int = self.take(_UINT)[0]
        text = self.data[self.at:self.at + size - 1].decode()
        self.at += size
        return text

    def header(self) -> Stamped:
        sec, nanosec = self.take(_STAMP)
        return Stamped(sec, nanosec, self.text())


def write_image(header: Any, height: int, width: int, encoding: str, is_bigendian: int, step: int,
                data: memoryview) -> bytes:
    """Return a serialized sensor_msgs/Image: one copy of the data."""
    writer = _Writer()
    writer.header(header)
    writer.align(4)
    writer.out += _TWO_UINTS.pack(height, width)
    writer.text(encoding)
    writer.out.append(is_bigendian)
    writer.uint(step)
    writer.uint(len(data))
    return b''.join((writer.out, data))


def read_image(data: bytes) -> ImageFields:
    """Return the fields of a serialized sensor_msgs/Image; OtherFormatError where it is none."""
    try:
        reader = _Reader(data)
        header, (height, width) = reader.header(), reader.take(_TWO_UINTS)
        encoding, is_bigendian = reader.text(), reader.data[reader.at]
        reader.at += 1
        step, size = reader.take(_TWO_UINTS)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise OtherFormatError from error
    pixels = memoryview(data)[reader.at:reader.at + size]
    if len(pixels) != size:
        raise OtherFormatError
    return ImageFields(header, height, width, encoding, is_bigendian, step, pixels)


def write_detections(instances: Instances, header: Any, ids: Sequence[str] = ()) -> bytes:
    """Return instances as a serialized vision_msgs/Detection2DArray: label k is entry k - 1."""
    writer = _Writer()
    writer.header(header)
    boxes = instances.oriented_boxes.tolist()
    writer.uint(len(boxes))
    for k, (class_id, score, (cx, cy, width, height, theta)) in enumerate(zip(
            instances.class_ids.tolist(), instances.scores.tolist(), boxes, strict=True)):
        writer.header(header)
        writer.uint(1)
        writer.text(str(class_id))
        writer.align(8)
        writer.out += _NUMBERS.pack(score, *_NOWHERE, cx, cy, theta, width, height)
        writer.text(ids[k] if ids else '')
    return bytes(writer.out)


def read_detections(data: bytes) -> DetectionFields:
    """
    Return the fields of a serialized vision_msgs/Detection2DArray.

    Raises
    ------
    OtherFormatError
        It is none, or a detection has no result or several.

    """
    try:
        reader = _Reader(data)
        header, (count,) = reader.header(), reader.take(_UINT)
        class_ids, ids, numbers = [], [], []
        for _ in range(count):
            reader.header()
            if reader.take(_UINT)[0] != 1:
                raise OtherFormatError
            class_ids.append(reader.text())
            numbers.append(reader.take(_NUMBERS, 8))
            ids.append(reader.text())
    except (struct.error, UnicodeDecodeError) as error:
        raise OtherFormatError from error
    table = np.array(numbers, np.float64).reshape(-1, 49)
    return DetectionFields(header, class_ids, ids, table[:, 0], table[:, [44, 45, 47, 48, 46]])
