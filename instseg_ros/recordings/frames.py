"""What is made of one frame, whatever came before it: the part of processing that is parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .bag import COMPRESSED, decode_message, pixels, Topic
from .exports import run_lengths
from ..core.drawing import draw_overlay, OverlaySettings
from ..messages.encodings import encode
from ..core.instances import Instances
from ..core.segmentation import segment_instances, SegmentationSettings
from ..messages import typestore
from ..messages.detections import compressed_format, instances_to_detections

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ARRAY = 'vision_msgs/msg/Detection2DArray'
Header = tuple[int, int, str]  # s, ns, frame_id


@dataclass(frozen=True)
class Recorded:
    """A recorded message, and where it is from for the words of an error."""

    path: str
    topic: Topic
    time_ns: int
    data: bytes

    def decode(self, encoding: str) -> tuple[Header, npt.NDArray[Any]]:
        """Return header and pixels of an image; raises what :func:`.bag.pixels` raises."""
        message = decode_message(self.path, self.topic.name, self.topic.msgtype, self.time_ns,
                                 self.data)
        stamp = message.header.stamp
        return ((stamp.sec, stamp.nanosec, message.header.frame_id),
                pixels(self.path, self.topic.name, self.time_ns, message, encoding))


class Packed:
    """
    Instances on their way to another process.

    A label image shrinks to a hundredth in less time than a pipe takes to carry it as it is.
    """

    def __init__(self, instances: Instances) -> None:
        labels = instances.labels
        narrow = labels.astype(np.uint8) if len(instances) < 256 else labels
        self._shape, self._dtype = labels.shape, narrow.dtype
        self._labels = zstd.compress(np.ascontiguousarray(narrow).data, level=1)
        self._rest = replace(instances, labels=np.zeros((0, 0), np.uint16))

    def unpack(self) -> Instances:
        """Return the instances."""
        labels = np.frombuffer(zstd.decompress(self._labels), self._dtype).reshape(self._shape)
        return replace(self._rest, labels=labels.astype(np.uint16))


@dataclass(frozen=True)
class Described:
    """What is written of the instances of a frame: messages, and run lengths where wanted."""

    detections: bytes
    mask: bytes
    runs: list[str]


@dataclass(frozen=True)
class Split:
    """The instances of a frame as far as it alone tells, and what is written if that is all."""

    header: Header
    packed: Packed
    described: Described


@dataclass(frozen=True)
class Drawn:
    """An overlay: the message, and the picture where wanted."""

    message: bytes
    picture: npt.NDArray[np.uint8] | None


def split_masks(masks: Sequence[Recorded], settings: SegmentationSettings, runs: bool
                ) -> list[Split]:
    """Make instances of recorded masks."""
    splits = []
    for recorded in masks:
        header, mask = recorded.decode('mono8')
        instances = segment_instances(mask, settings)
        splits.append(Split(header, Packed(instances), describe(instances, header, runs)))
    return splits


def describe(instances: Instances | Packed, header: Header, runs: bool) -> Described:
    """Write the instances of a frame as messages, and as run lengths where wanted."""
    if isinstance(instances, Packed):
        instances = instances.unpack()
    return Described(detections(instances, header),
                     _compressed(encode(instances.labels), '16UC1', False, header),
                     run_lengths(instances) if runs else [])


def detections(instances: Instances, header: Header, ids: Sequence[str] | None = None) -> bytes:
    """Return instances as a serialized Detection2DArray."""
    store = typestore()
    return bytes(store.serialize_cdr(instances_to_detections(
        store.types, instances, header_of(*header), ids), ARRAY))


def draw_frame(frame: Recorded, packed: Packed, ids: Sequence[str], names: Mapping[int, str],
               settings: OverlaySettings, picture: bool) -> Drawn:
    """Draw the overlay of a recorded frame."""
    header, image = frame.decode('bgr8')
    drawn = draw_overlay(image, packed.unpack(), ids, names, settings)
    return Drawn(_compressed(encode(drawn, settings.jpeg_quality), 'bgr8', True, header),
                 drawn if picture else None)


def header_of(stamp_s: int, stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header of rosbags' classes."""
    types = typestore().types
    return types['std_msgs/msg/Header'](
        types['builtin_interfaces/msg/Time'](stamp_s, stamp_ns), frame_id)


def _compressed(data: npt.NDArray[np.uint8], encoding: str, jpeg: bool, header: Header) -> bytes:
    store = typestore()
    return bytes(store.serialize_cdr(store.types[COMPRESSED](
        header_of(*header), compressed_format(encoding, jpeg), data.ravel()), COMPRESSED))
