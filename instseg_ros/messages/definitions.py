"""The message definitions of vision_msgs, for programs that read and write them without ROS."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the ROS 2 message types with those of vision_msgs."""
    # Not above: the nodes have messages of their own and need no rosbags.
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    folder = resources.files('instseg_ros') / 'interfaces' / 'vision_msgs' / 'msg'
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith('.msg'):
            types.update(get_types_from_msg(file.read_text(),
                                            'vision_msgs/msg/' + file.name[:-len('.msg')]))
    store.register(types)
    return store
