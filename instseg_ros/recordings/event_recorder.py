"""Recordings of what led up to an event, and of what came after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
import queue
import threading
import time

from .writer import BagWriter, offered_qos
from ..errors import RecordingError

_Message = tuple[int, str, bytes]  # time in ns, topic, serialized


class EventRecorder:
    """
    Keeps the last seconds in memory, and writes them to a recording when something happens.

    Nothing here waits for the disk: a thread of its own writes. What it has not written yet counts
    against the same limit as the memory; beyond it messages are dropped, and said so.

    Parameters
    ----------
    folder : Path
        Where recordings are made, a folder each, named by selection and time.
    topics : mapping of str to (str, bool)
        Type of each topic, and whether it is latched: its last message is part of every recording.
    report : callable
        Called with a sentence about each recording, and whether all went well; from any thread.

    """

    def __init__(self, folder: Path, topics: Mapping[str, tuple[str, bool]],
                 report: Callable[[str, bool], None]) -> None:
        self._folder, self._topics, self._report = folder, dict(topics), report
        self._ring: deque[_Message] = deque()
        self._held = 0              # bytes in the ring
        self._waiting = 0           # bytes that the thread has not written yet
        self._lock = threading.Lock()
        self._latched: dict[str, bytes] = {}
        self._until_ns = 0
        self._queue: queue.SimpleQueue[_Message | Path | None] = queue.SimpleQueue()
        self._dropped = 0
        self._open = False
        self._thread = threading.Thread(target=self._write, name='events', daemon=True)
        self._thread.start()

    def add(self, topic: str, time_ns: int, data: bytes, keep_s: float, most_bytes: int) -> None:
        """
        Take a message.

        Parameters
        ----------
        topic : str
            One of those that were declared; of others nothing is kept.
        time_ns : int
            When it came, in nanoseconds.
        data : bytes
            Serialized.
        keep_s : float
            How much of the past is to be kept, in seconds.
        most_bytes : int
            How much memory may be used; what is older goes first.

        """
        if topic not in self._topics:
            return
        self.tick(time_ns)
        message = time_ns, topic, data
        if self._open:
            self._put(message, most_bytes)
        if self._topics[topic][1]:
            self._latched[topic] = data
        self._ring.append(message)
        self._held += len(data)
        oldest_ns = time_ns - round(keep_s * 1e9)
        while self._ring and (self._held > most_bytes or self._ring[0][0] < oldest_ns):
            self._held -= len(self._ring.popleft()[2])

    def happened(self, name: str, time_ns: int, before_s: float, after_s: float) -> None:
        """
        Record an event: begin a recording, or make the one that runs last longer.

        Parameters
        ----------
        name : str
            Of the selection.
        time_ns : int
            When it happened, in nanoseconds.
        before_s, after_s : float
            How much of the time before and after it is recorded, in seconds.

        """
        self.tick(time_ns)
        self._until_ns = max(self._until_ns, time_ns + round(after_s * 1e9))
        if self._open:
            return
        self._open = True
        self._queue.put(self._folder / f'{name}_{time.strftime("%Y%m%d_%H%M%S")}')
        start_ns = time_ns - round(before_s * 1e9)
        past = [m for m in self._ring if m[0] >= start_ns]
        there = {topic for _, topic, _ in past}
        first_ns = past[0][0] if past else time_ns
        for topic, data in self._latched.items():
            if topic not in there:
                self._put((first_ns, topic, data))
        for message in past:
            self._put(message)

    def tick(self, time_ns: int) -> None:
        """End the recording when its time is over; call now and then while no messages come."""
        if self._open and time_ns > self._until_ns:
            self._open = False
            self._queue.put(None)

    def close(self) -> None:
        """End the recording that runs, and wait until it is written."""
        if self._open:
            self._open = False
            self._queue.put(None)
        self._queue.put(Path())
        self._thread.join()

    def _put(self, message: _Message, most_bytes: int | None = None) -> None:
        with self._lock:
            if most_bytes is not None and self._waiting > most_bytes:
                self._dropped += 1
                return
            self._waiting += len(message[2])
        self._queue.put(message)

    def _write(self) -> None:
        """Write what is in the queue: a path begins a recording, None ends it."""
        writer: BagWriter | None = None
        count = 0
        while (item := self._queue.get()) != Path():
            try:
                if isinstance(item, Path):
                    writer, count = self._begin(item), 0
                elif item is None:
                    if writer:
                        writer.close()
                        self._say(writer.path, count)
                    writer = None
                else:
                    with self._lock:
                        self._waiting -= len(item[2])
                    if writer:
                        writer.write(item[1], item[0], item[2])
                        count += 1
            except (OSError, RecordingError) as error:
                self._report(f'the recording of an event was given up: {error}', False)
                if writer:
                    writer.abort()
                writer = None

    def _begin(self, path: Path) -> BagWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        number, free = 1, path
        while free.exists():
            number += 1
            free = path.with_name(f'{path.name}_{number}')
        writer = BagWriter(free)
        for topic, (kind, latched) in self._topics.items():
            writer.add_topic(topic, kind, (offered_qos(latched=True),) if latched else None)
        return writer

    def _say(self, path: Path, count: int) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        lost = f', {dropped} were dropped since the disk was too slow' if dropped else ''
        self._report(f'event recorded: {path}, {count} messages{lost}', not dropped)
