"""Scenes as messages: who is selected, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .detections import instances_to_detections, Types
from ..core.instances import Instances
from ..core.scene import BACKWARD, ENTERED, Event, FORWARD, LEFT, SceneSettings, Selected

ARRAY, COUNT = 'vision_msgs/msg/Detection2DArray', 'std_msgs/msg/UInt32'
EVENTS, CROSSINGS = (ENTERED, LEFT), (FORWARD, BACKWARD)


def topics_of(settings: SceneSettings) -> dict[str, str]:
    """Return name and type of the topics of all selections."""
    found: dict[str, str] = {}
    for name, selection in settings.named.items():
        found |= {f'scene/{name}/tracks': ARRAY, f'scene/{name}/count': COUNT}
        if selection.line:
            for kind in CROSSINGS:
                found |= {f'scene/{name}/{kind}': ARRAY, f'scene/{name}/{kind}_count': COUNT}
        else:
            found |= {f'scene/{name}/{kind}': ARRAY for kind in EVENTS}
    return found


def is_latched(topic: str) -> bool:
    """Return whether a topic is a count, which whoever comes later is told too."""
    return topic.startswith('scene/') and topic.endswith('count')


class SceneMessages:
    """
    What is published of a scene; counts only when they change.

    Parameters
    ----------
    types : mapping of str to type
        Message classes by full name.

    """

    def __init__(self, types: Types) -> None:
        self._types = types
        self._counts: dict[str, int] = {}

    def forget(self, topic: str) -> None:
        """Publish the count of a topic again, which has begun anew."""
        self._counts.pop(topic, None)

    def of(self, settings: SceneSettings, selected: Mapping[str, Selected],
           events: Sequence[Event], instances: Instances, ids: Sequence[str], header: Any
           ) -> list[tuple[str, Any]]:
        """
        Return topic and message of everything that is to be published of a frame, in order.

        Parameters
        ----------
        settings : SceneSettings
            The settings that were in force.
        selected, events
            As :meth:`~instseg_ros.core.scene.Scene.update` returns them.
        instances : Instances
            Of the frame.
        ids : sequence of str
            Track id of each.
        header : std_msgs/Header
            Stamp and frame of the mask.

        """
        made: list[tuple[str, Any]] = []
        for name, own in selected.items():
            rows = own.rows.tolist()
            made.append((f'scene/{name}/tracks', instances_to_detections(
                self._types, _only(instances, own.rows), header, [ids[r] for r in rows])))
            kinds = CROSSINGS if settings.named[name].line else EVENTS
            for kind in kinds:
                happened = [e for e in events if e.selection == name and e.kind == kind]
                if happened:
                    made.append((f'scene/{name}/{kind}', instances_to_detections(
                        self._types, _of_events(happened), header,
                        [str(e.track_id) for e in happened])))
            counts = {'count': own.count}
            if kinds is CROSSINGS:
                counts |= {'forward_count': own.forward, 'backward_count': own.backward}
            for what, count in counts.items():
                topic = f'scene/{name}/{what}'
                if self._counts.get(topic) != count:
                    self._counts[topic] = count
                    made.append((topic, self._types[COUNT](data=count)))
        return made


def _only(instances: Instances, rows: Any) -> Instances:
    """Return some of the instances, without a label image."""
    return Instances(np.zeros((0, 0), np.uint16), instances.class_ids[rows],
                     instances.areas[rows], instances.scores[rows], instances.boxes[rows],
                     instances.oriented_boxes[rows])


def _of_events(events: Sequence[Event]) -> Instances:
    """Return the tracks of events as they were last seen, without a label image."""
    count = len(events)
    return Instances(np.zeros((0, 0), np.uint16), np.array([e.class_id for e in events], np.uint8),
                     np.zeros(count, np.int64), np.array([e.score for e in events]),
                     np.zeros((count, 4), np.int32), np.array([e.oriented_box for e in events]))
