"""When recorded images were taken: their stamps in order, made up where there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from .bag import LeftOut
from ..messages.stamps import serialized_stamp, StampOrder, StampPairing

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
    network : tuple of Item
        Of a mask: instance mask and detections that the network gave by itself, of the same
        stamp; empty where there are none.

    """

    topic: str
    index: int
    time_ns: int
    stamp_ns: int
    data: bytes
    network: tuple[Item, ...] = ()


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


class MaskTimeline:
    """
    The masks of a recording in order, each with the instances that the network gave by itself.

    Parameters
    ----------
    mask : str
        Topic of the masks.
    network : tuple of str
        Topics of the network's instance masks and detections; empty where there are none.
    window_ns : int
        As for :class:`Timeline`.
    left_out : LeftOut
        Is told of messages that belong nowhere.

    """

    def __init__(self, mask: str, network: tuple[str, ...], window_ns: int, left_out: LeftOut
                 ) -> None:
        self._left_out = left_out
        self._lines = {name: Timeline(name, window_ns, left_out) for name in (mask, *network)}
        self._pairing = StampPairing(1 + len(network)) if network else None
        self._places = {name: place for place, name in enumerate(self._lines)}

    @property
    def topics(self) -> Collection[str]:
        """Return the names of all topics."""
        return self._lines.keys()

    def add(self, topic: str, time_ns: int, data: bytes) -> list[Item]:
        """Take a message of one of the topics; returns the masks whose turn has come."""
        return self._joined(self._lines[topic].add(time_ns, data))

    def flush(self) -> list[Item]:
        """Return what waits: nothing more will come."""
        ready = [item for line in self._lines.values() for item in self._joined(line.flush())]
        return ready + (self._whole(self._pairing.flush()) if self._pairing else [])

    def notes(self) -> list[str]:
        """Return what is odd about the stamps."""
        return [note for line in self._lines.values() for note in line.notes()]

    def _joined(self, items: list[Item]) -> list[Item]:
        if self._pairing is None:
            return items
        return [mask for item in items for mask in self._whole(self._pairing.add(
            self._places[item.topic], item.stamp_ns, item))]

    def _whole(self, pairs: list[tuple[int, list[Item | None]]]) -> list[Item]:
        """Return masks with what belongs to them; what belongs to no mask is left out."""
        masks = []
        for _, (mask, *network) in pairs:
            there = tuple(item for item in network if item is not None)
            if mask is not None:
                masks.append(replace(mask, network=there if len(there) == len(network) else ()))
                continue
            for item in there:
                self._left_out.add(item.topic, item.index, item.time_ns,
                                   'expected a mask of the same stamp, got none')
        return masks


def _stamp(data: bytes) -> int | None:
    """Return the stamp of a message that begins with a header; None when there is none."""
    sec, nanosec = serialized_stamp(data) or (-1, 0)
    return sec * 10**9 + nanosec if sec >= 0 and nanosec < 10**9 else None
