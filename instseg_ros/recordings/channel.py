"""A topic of a file of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Channel:
    """
    A topic as a file declares it.

    Attributes
    ----------
    number : int
        Its number in the file.
    topic, msgtype : str
        Such as ``/camera/label_info`` and ``vision_msgs/msg/LabelInfo``.
    count : int
        Messages.
    definition, type_hash : str
        Definition of the message (.msg), and ``RIHS01_...``; '' where the file does not tell.
    qos : tuple
        Offered quality of service, as rosbags has it.

    """

    number: int
    topic: str
    msgtype: str
    count: int
    definition: str
    type_hash: str
    qos: tuple[Any, ...]
