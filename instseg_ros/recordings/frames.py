"""What is made of one frame, whatever came before it: the part of processing that is parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .bag import Bag, COMPRESSED, decode_message, IMAGE, Topic
from .exports import run_lengths
from .timeline import Item
from ..cameras.registration import register_mask
from ..core.drawing import draw_overlay, OverlaySettings
from ..core.instances import Instances
from ..core.scene import SceneSettings, Selected
from ..core.scene.drawing import Counts, draw_scene
from ..core.segmentation import network_instances, segment_instances, SegmentationSettings
from ..errors import MessageError
from ..messages import topics, typestore
from ..messages.detections import (compressed_format, detections_to_instances,
                                   instances_to_detections)
from ..messages.encodings import encode, invented_ids, is_jpeg, read_image, read_mask

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ARRAY = 'vision_msgs/msg/Detection2DArray'
Header = tuple[int, int, str]  # s, ns, frame_id


@dataclass(frozen=True)
class Mask:
    """A recorded mask: class ids of shape (H, W), uint8."""

    header: Header
    ids: npt.NDArray[np.uint8]
    invented: frozenset[int] | None  # ids that JPEG made; None where it is no JPEG


def recorded_mask(msgtype: str, item: Item, size: tuple[int, int] | None) -> Mask:
    """
    Return a recorded mask, registered to frames of a size (width, height) where there are some.

    Raises
    ------
    MessageError
        It is none.

    """
    message = decode_message(msgtype, item.data)
    ids = read_mask(message)
    lossy = not hasattr(message, 'encoding') and is_jpeg(message.data)
    invented = frozenset(invented_ids(ids)) if lossy else None
    if size and size != (ids.shape[1], ids.shape[0]):
        # Another grid for the same field of view, such as that of a network.
        ids = register_mask(ids, size)
    return Mask((*divmod(item.stamp_ns, 10**9), message.header.frame_id), ids, invented)


def recorded_frame(msgtype: str, item: Item) -> tuple[Header, npt.NDArray[np.uint8]]:
    """Return header and pixels (H, W, 3), BGR, of a recorded frame; MessageError if it is none."""
    message = decode_message(msgtype, item.data)
    return ((*divmod(item.stamp_ns, 10**9), message.header.frame_id),
            read_image(message, 'bgr8'))


def robot_of(mask: Topic) -> str:
    """Return what is in front of the topics beside a mask: the robot's name, if it has one."""
    name = mask.name.removesuffix('/compressed')
    robot = name.removesuffix(topics.MASK)
    return robot if robot != name else '/'


def network_topics(bag: Bag, mask: Topic) -> tuple[Topic, Topic] | None:
    """
    Return the topics of the instances that the network gave by itself, beside a mask.

    Returns
    -------
    tuple of Topic, or None
        Instance masks and detections; None where one is missing or empty.

    Raises
    ------
    RecordingError
        They are of other types.

    """
    found = [bag.find(robot_of(mask) + name)
             for name in (topics.NETWORK_MASK, topics.NETWORK_INSTANCES)]
    if any(topic is None or not topic.count for topic in found):
        return None
    return (bag.need(robot_of(mask) + topics.NETWORK_MASK, IMAGE, COMPRESSED),
            bag.need(robot_of(mask) + topics.NETWORK_INSTANCES, ARRAY))


def recorded_instances(msgtype: str, mask: Item, detections: Item) -> tuple[Header, Instances]:
    """
    Return header and instances that a network gave by itself, as they were recorded.

    Raises
    ------
    MessageError
        They are none, or do not belong together.

    """
    image = decode_message(msgtype, mask.data)
    return ((*divmod(mask.stamp_ns, 10**9), image.header.frame_id), detections_to_instances(
        decode_message(ARRAY, detections.data), read_image(image, '16UC1')))


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
    invented: frozenset[int] | None


@dataclass(frozen=True)
class Drawn:
    """An overlay: the message, and the picture where wanted."""

    message: bytes
    picture: npt.NDArray[np.uint8] | None


def first_size(bag: Bag, frames: Topic) -> tuple[int, int] | None:
    """Return width and height of the first frame that is one; None without any."""
    for topic, time_ns, data in bag.messages([frames.name]):
        with suppress(MessageError):
            _, frame = recorded_frame(frames.msgtype, Item(topic, 0, time_ns, 0, data))
            return frame.shape[1], frame.shape[0]
    return None


def split_masks(msgtype: str, masks: Sequence[Item], settings: SegmentationSettings,
                names: Mapping[int, str], size: tuple[int, int] | None, runs: bool,
                network: str = '') -> list[Split | str]:
    """
    Make instances of recorded masks; of one that is none, the reason.

    ``network`` is the type of the network's own instance masks where those are taken.
    """
    splits: list[Split | str] = []
    for item in masks:
        invented = None
        try:
            if network:
                if not item.network:
                    raise MessageError('expected instances of the network of the same stamp, got '
                                       'none')
                header, found = recorded_instances(network, *item.network)
                instances = network_instances(found, settings)
            else:
                mask = recorded_mask(msgtype, item, size)
                header, invented = mask.header, mask.invented
                instances = segment_instances(mask.ids, settings, names)
        except MessageError as error:
            splits.append(str(error))
            continue
        splits.append(Split(header, Packed(instances), describe(instances, header, runs),
                            invented))
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


def draw_frame(msgtype: str, frame: Item, stamp_ns: int, packed: Packed, ids: Sequence[str],
               names: Mapping[int, str], settings: OverlaySettings, picture: bool,
               scene: SceneSettings, selected: Mapping[str, Selected]) -> Drawn | str:
    """Draw the overlay of a recorded frame; where that cannot be, return the reason."""
    try:
        header, image = recorded_frame(msgtype, frame)
    except MessageError as error:
        return str(error)
    instances = packed.unpack()
    if image.shape[:2] != instances.labels.shape:
        return (f'expected a frame of {instances.labels.shape[1]}x{instances.labels.shape[0]} '
                f'pixels like those before it, got {image.shape[1]}x{image.shape[0]}')
    drawn = draw_overlay(image, instances, ids, names, settings)
    if settings.show_scene:
        draw_scene(drawn, scene, {name: Counts(s.count, s.forward, s.backward)
                                  for name, s in selected.items()}, settings.font_scale)
    header = (*divmod(stamp_ns, 10**9), header[2])  # that of the mask, as every result has it
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
