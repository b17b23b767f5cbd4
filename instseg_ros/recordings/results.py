"""The results in a recording: instances with their track ids, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .bag import Bag, COMPRESSED, IMAGE
from ..core.instances import Instances
from ..errors import MessageError, RecordingError
from ..messages.detections import detections_to_instances
from ..messages.stamps import seconds, stamp_ns as stamp_of, StampPairing
from ..messages.topics import DETECTIONS, INSTANCE_MASK, TRACKS

_ARRAY = 'vision_msgs/msg/Detection2DArray'


@dataclass(frozen=True)
class Result:
    """What was found in one frame; ``ids`` are '' while unconfirmed or where nobody tracked."""

    stamp_ns: int
    instances: Instances
    ids: list[str]


def read_results(bag: Bag) -> Iterator[Result]:
    """
    Yield the results of a recording, by stamp of the mask.

    Parameters
    ----------
    bag : Bag
        Recorded from the live pipeline, or written by ``instseg process``.

    Raises
    ------
    RecordingError
        There are none, or they do not belong together.

    """
    if bag.find(TRACKS) is None and bag.find(DETECTIONS) is None:
        raise RecordingError(f'{bag.path}: expected results ({TRACKS} and {INSTANCE_MASK}), got '
                             'none; `instseg process` makes them')
    found = bag.need(TRACKS if bag.find(TRACKS) else DETECTIONS, _ARRAY)
    masks = bag.need(INSTANCE_MASK, IMAGE, COMPRESSED)
    pairing = StampPairing()
    for topic, time_ns, data in bag.messages([found.name, masks.name]):
        message = bag.decode(topic, time_ns, data)
        for stamp_ns, (detections, mask) in pairing.add(
                int(topic == masks.name), stamp_of(message), message):
            if detections is not None and mask is not None:
                yield _result(bag, found.name, masks.name, time_ns, stamp_ns, detections, mask)


def _result(bag: Bag, tracks: str, masks: str, time_ns: int, stamp_ns: int, detections: Any,
            mask: Any) -> Result:
    labels = bag.image(masks, time_ns, mask, '16UC1')
    try:
        instances = detections_to_instances(detections, labels)
    except MessageError as error:
        raise RecordingError(f'{bag.path}: {tracks} at {seconds(time_ns)}: {error}') from error
    return Result(stamp_ns, instances, [d.id for d in detections.detections])
