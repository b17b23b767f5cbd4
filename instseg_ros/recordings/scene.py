"""Scenes in recordings: what scene_node publishes, and events as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .bag import Bag
from .frames import header_of
from ..core.instances import Instances
from ..core.scene import Event, Scene, SceneSettings, Selected
from ..errors import RecordingError
from ..messages import typestore
from ..messages.detections import id_texts
from ..messages.scene import CROSSINGS, EVENTS, SceneMessages, topics_of
from ..messages.stamps import seconds, stamp_ns as stamp_of

EVENT_COLUMNS = ('stamp_ns', 'time', 'selection', 'event', 'track_id', 'class_id', 'class_name',
                 'stay_s')


@dataclass(frozen=True)
class Happened:
    """What is written of a frame: topic and serialized message, events, and who is selected."""

    messages: tuple[tuple[str, bytes], ...]
    events: tuple[Event, ...]
    selected: Mapping[str, Selected]


class SceneStage:
    """
    Applies selections to the tracks of a recording.

    Parameters
    ----------
    settings : SceneSettings
        The selections.
    names : mapping of int to str
        Names of the classes.

    Raises
    ------
    RecordingError
        A class has a name that is not among them.

    """

    def __init__(self, settings: SceneSettings, names: Mapping[int, str]) -> None:
        self._settings = settings
        self._store = typestore()
        self._scene = Scene(settings, names)
        self._messages = SceneMessages(self._store.types)
        self.types = topics_of(settings)
        if unknown := self._scene.unknown_classes:
            name, text = unknown[0]
            raise RecordingError(f'{name}: expected classes out of '
                                 f'{", ".join(names.values()) or "nothing"}, or their ids, got '
                                 f'{text!r}')

    def apply(self, instances: Instances, ids: npt.NDArray[np.int64], stamp_ns: int,
              frame_id: str, floor: npt.NDArray[np.float64] | None) -> Happened:
        """Return what is written of a frame; arguments as :meth:`Scene.update` takes them."""
        header = header_of(*divmod(stamp_ns, 10**9), frame_id)
        selected, events = self._scene.update(instances, ids, stamp_ns, floor)
        made = self._messages.of(self._settings, selected, events, instances, id_texts(ids),
                                 header)
        return Happened(tuple((topic, bytes(self._store.serialize_cdr(message, self.types[topic])))
                              for topic, message in made), tuple(events), selected)


class EventTable:
    """A CSV with a line for each event, with the columns :data:`EVENT_COLUMNS`."""

    def __init__(self, path: Path, names: Mapping[int, str]) -> None:
        self._names = names
        self._file = path.open('w', newline='')
        self._rows = csv.writer(self._file)
        self._rows.writerow(EVENT_COLUMNS)

    def add(self, stamp_ns: int, events: Sequence[Event]) -> None:
        """Write the events of a frame; time is the stamp in seconds."""
        for e in events:
            self._rows.writerow((stamp_ns, f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}',
                                 e.selection, e.kind, e.track_id, e.class_id,
                                 self._names.get(e.class_id, ''), f'{e.stay_s:.3f}'))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class RecordedEvent:
    """An event as its topic tells it."""

    stamp_ns: int
    selection: str
    kind: str
    track_id: str


def read_events(bag: Bag) -> Iterator[RecordedEvent]:
    """Yield the events of a recording, in the order in which they were recorded."""
    wanted = {}
    for name in bag.topics:
        parts = name.split('/')
        if len(parts) > 2 and parts[-3] == 'scene' and parts[-1] in (*EVENTS, *CROSSINGS):
            wanted[name] = parts[-2], parts[-1]
    for topic, time_ns, data in bag.messages(wanted) if wanted else ():
        message: Any = bag.decode(topic, time_ns, data)
        for detection in message.detections:
            yield RecordedEvent(stamp_of(message), *wanted[topic], detection.id)


def events_compared(a: Sequence[RecordedEvent], b: Sequence[RecordedEvent],
                    same: Mapping[str, str]) -> list[str]:
    """
    Return where the events of two recordings differ, in words; nothing where neither has any.

    Parameters
    ----------
    a, b : sequence of RecordedEvent
        As :func:`read_events` yields them.
    same : mapping of str to str
        For each track of A the track of B that is the same object.

    """
    if not a and not b:
        return []
    left = {(e.stamp_ns, e.selection, e.kind, same.get(e.track_id, f'{e.track_id} of A')): e
            for e in a}
    right = {(e.stamp_ns, e.selection, e.kind, e.track_id): e for e in b}
    both = left.keys() & right.keys()
    lines = [f'events: {len(both)} in both, {len(left) - len(both)} only in A, '
             f'{len(right) - len(both)} only in B']
    other = [(key, side, own[key]) for side, own in (('A', left), ('B', right))
             for key in own.keys() - both]
    return lines + [f'{seconds(event.stamp_ns)}: {event.selection} {event.kind}, track '
                    f'{event.track_id}, only in {side}'
                    for _, side, event in sorted(other, key=lambda o: (o[0], o[1]))]
