"""When recorded images were taken: their stamps in order, made up where there are none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .bag import LeftOut
from ..messages.stamps import serialized_stamp, StampOrder

_HELD = 50  # messages without a stamp that wait for the first one with a stamp


@dataclass(frozen=True)
class Item:
    """
    A recorded message.

    Attributes
    ----------
    topic : str
        Name.
    index : int
        Its number in the topic, from 0 on.
    time_ns, stamp_ns : int
        When it was recorded and when it was taken, in nanoseconds since 1970.
    data : bytes
        The message.

    """

    topic: str
    index: int
    time_ns: int
    stamp_ns: int
    data: bytes


class Timeline:
    """
    Puts the messages of a topic in the order of their stamps.

    A stamp of zero was never set: the message gets the time at which it was recorded, shifted as
    the stamps around it are.

    Parameters
    ----------
    topic : str
        Name.
    window_ns : int
        By how much messages may overtake each other, in nanoseconds.
    left_out : LeftOut
        Is told of messages that belong nowhere.

    """

    def __init__(self, topic: str, window_ns: int, left_out: LeftOut) -> None:
        self._topic = topic
        self._left_out = left_out
        self._order: StampOrder[Item] = StampOrder(window_ns)
        self._shift_ns: int | None = None  # from times of recording to stamps
        self._held: list[Item] = []
        self._counts: Counter[str] = Counter()

    def add(self, time_ns: int, data: bytes) -> list[Item]:
        """Take a message; returns those whose turn has come."""
        index = self._counts['messages']
        self._counts['messages'] += 1
        stamp_ns = _stamp(data)
        if stamp_ns is None:
            self._left_out.add(self._topic, index, time_ns,
                               f'expected a message with a header, got {len(data)} bytes that are '
                               'none')
            return []
        item = Item(self._topic, index, time_ns, stamp_ns, data)
        if stamp_ns:
            self._shift_ns = stamp_ns - time_ns
            return [*self._release(), *self._take(item)]
        self._counts['zero'] += 1
        self._held.append(item)
        if self._shift_ns is None and len(self._held) > _HELD:
            self._shift_ns = 0
        return self._release()

    def flush(self) -> list[Item]:
        """Return what waits: nothing more will come."""
        self._shift_ns = self._shift_ns or 0
        ready = [*self._release(), *(item for _, item in self._order.flush())]
        self._note()
        return ready

    def notes(self) -> list[str]:
        """Return what is odd about the stamps."""
        zero, total, back = (self._counts[k] for k in ('zero', 'messages', 'back'))
        notes = []
        if zero:
            notes.append(f'{self._topic}: {zero} of {total} stamps are zero, never set: the times '
                         'of recording stand in for them; set the stamps in the driver')
        if back:
            notes.append(f'{self._topic}: the clock was set back {back} times (first by '
                         f'{self._back_ns / 1e9:.1f} s): ids start anew there')
        return notes

    def _release(self) -> list[Item]:
        if self._shift_ns is None:
            return []
        held, self._held = self._held, []
        return [ready for item in held for ready in self._take(Item(
            item.topic, item.index, item.time_ns, item.time_ns + self._shift_ns, item.data))]

    def _take(self, item: Item) -> list[Item]:
        ready = [item for _, item in self._order.add(item.stamp_ns, item)]
        self._note()
        return ready

    def _note(self) -> None:
        for item, reason in self._order.left_out:
            self._left_out.add(self._topic, item.index, item.time_ns, reason)
        for item, before_ns in self._order.jumps:
            if not self._counts['back']:
                self._back_ns = before_ns - item.stamp_ns
            self._counts['back'] += 1
        self._order.left_out.clear()
        self._order.jumps.clear()


def _stamp(data: bytes) -> int | None:
    """Return the stamp of a message that begins with a header; None when there is none."""
    sec, nanosec = serialized_stamp(data) or (-1, 0)
    return sec * 10**9 + nanosec if sec >= 0 and nanosec < 10**9 else None
