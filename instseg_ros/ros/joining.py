"""Messages that belong together: joined by exactly equal stamps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conversions import stamp_to_ns


class StampJoin:
    """
    Collects messages of several topics and hands on those of one stamp together.

    The topics may arrive in any order. A set is given up when a later one is complete (each
    topic keeps its order, so the missing part was lost) or when too many wait.

    Parameters
    ----------
    count : int
        Topics, numbered from 0.
    complete : callable
        Called with one message per topic, in the topics' order.
    given_up : callable
        Called with the parts of a set that stays incomplete, None for each missing one.
    capacity : int
        Incomplete sets that may wait: by default as many as messages do in a queue.

    """

    def __init__(self, count: int, complete: Callable[..., None],
                 given_up: Callable[[list[Any]], None], capacity: int = 30) -> None:
        self._count = count
        self._complete = complete
        self._given_up = given_up
        self._capacity = capacity
        self._waiting: dict[int, list[Any]] = {}  # in order of arrival

    def add(self, topic: int, message: Any) -> None:
        """Take a message of a topic; calls back at once when its set is complete."""
        stamp_ns = stamp_to_ns(message.header.stamp)
        parts = self._waiting.setdefault(stamp_ns, [None] * self._count)
        parts[topic] = message
        if all(part is not None for part in parts):
            while (oldest := next(iter(self._waiting))) != stamp_ns:
                self._given_up(self._waiting.pop(oldest))
            del self._waiting[stamp_ns]
            self._complete(*parts)
        elif len(self._waiting) > self._capacity:
            self._given_up(self._waiting.pop(next(iter(self._waiting))))
