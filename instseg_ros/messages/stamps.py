"""
Stamps of messages: which frame belongs to which mask, and in what order masks were taken.

The nodes, the playback of recordings and their processing all use these classes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
import struct
from typing import Any, Generic, TypeVar

_T = TypeVar('_T')
# Farther back than messages overtake each other: time was set anew, or a recording starts again.
_RESTART_NS = 10**9


def stamp_to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message's header in nanoseconds."""
    return stamp_to_ns(message.header.stamp)


def serialized_stamp(data: bytes) -> tuple[int, int] | None:
    """Return sec and nanosec of a serialized message that begins with a header; None if short."""
    if len(data) < 12:
        return None
    order = '<' if data[1] & 1 else '>'  # CDR: https://www.omg.org/spec/DDSI-RTPS
    sec, nanosec = struct.unpack_from(order + 'iI', data, 4)
    return sec, nanosec


def seconds(time_ns: int) -> str:
    """Return a time as the sentences of this package write it."""
    return f'{time_ns // 10**9}.{time_ns % 10**9 // 10**6:03d} s'


class StampPairing:
    """
    Puts messages of several topics together by the nearest stamp.

    All topics but the first have to have the same stamp, like the results of one mask. The stamp
    of the first, of the frames, may be off by a tolerance: the frame that is nearest to a set
    belongs to it, unless another set is nearer to that frame. Each message is used once.
    (message_filters' ApproximateTime has no tolerance between some topics and equality between
    others, and takes ROS.)

    A set is handed on as soon as no message that is still to come can change it: at once with a
    frame of equal stamp, else when the next frame is there. Each topic keeps its order; messages
    that overtake each other by less than a second are put in order.

    Parameters
    ----------
    count : int
        Topics, numbered from 0, which is that of the frames.
    tolerance_ns : int
        How far the stamp of a frame may be off, in nanoseconds.
    capacity : int
        Sets, and frames, that may wait.

    """

    def __init__(self, count: int = 2, tolerance_ns: int = 0, capacity: int = 100) -> None:
        self.tolerance_ns = tolerance_ns
        self.count = count
        self._capacity = capacity
        self._last_ns: list[int | None] = [None] * count
        self._frames: list[tuple[int, Any]] = []  # by stamp, as the sets are
        self._sets: list[tuple[int, list[Any]]] = []
        self._late: set[int] = set()  # sets that were overtaken: so may their frames be

    def add(self, topic: int, stamp_ns: int, item: Any) -> list[tuple[int, list[Any]]]:
        """
        Take a message.

        Parameters
        ----------
        topic : int
            Number of the topic.
        stamp_ns : int
            Stamp of the message in nanoseconds.
        item : object
            What stands for it in the result.

        Returns
        -------
        list of (int, list)
            What is settled now, each with its stamp (that of the set, where there is one) and an
            item for each topic, None for each that is missing.

        """
        last_ns = self._last_ns[topic]
        restarted = last_ns is not None and stamp_ns < last_ns - _RESTART_NS
        settled = self.flush() if restarted else []
        self._last_ns[topic] = stamp_ns
        if topic == 0:
            insort(self._frames, (stamp_ns, item), key=_stamp)
            self._late = {late_ns for late_ns in self._late if late_ns > stamp_ns}
        else:
            if last_ns is not None and stamp_ns < last_ns:
                self._late.add(stamp_ns)
            at = bisect_left(self._sets, stamp_ns, key=_stamp)
            if at == len(self._sets) or self._sets[at][0] != stamp_ns:
                self._sets.insert(at, (stamp_ns, [None] * self.count))
            self._sets[at][1][topic] = item
        return settled + list(self._settle())

    def flush(self) -> list[tuple[int, list[Any]]]:
        """Settle all that waits: nothing more will come."""
        settled = [*self._settle(final=True), *self._alone(None)]
        self._last_ns = [None] * self.count
        return settled

    def _settle(self, final: bool = False) -> Iterator[tuple[int, list[Any]]]:
        while self._sets:
            stamp_ns, parts = self._sets[0]
            full = final or len(self._sets) > self._capacity
            if None in parts[1:]:
                # The topics keep their order: what a later set has was lost for this one.
                if not full and not any(None not in later[1:] for _, later in self._sets[1:]):
                    break
                frame = None
            else:
                frame, sure = self._nearest(stamp_ns)
                if not sure and not full:
                    break
            del self._sets[0]
            self._late.discard(stamp_ns)
            if frame is None:
                yield from self._alone(stamp_ns)
            else:
                yield from self._alone(self._frames[frame][0])
                parts[0] = self._frames.pop(0)[1]
            yield stamp_ns, parts
        while len(self._frames) > self._capacity:
            yield from self._alone(self._frames[1][0])

    def _nearest(self, stamp_ns: int) -> tuple[int | None, bool]:
        """Return the place of the frame of the first set, and whether that can change no more."""
        at = bisect_left(self._frames, stamp_ns, key=_stamp)
        if at < len(self._frames) and self._frames[at][0] == stamp_ns:
            return at, True
        later = self._sets[1][0] if len(self._sets) > 1 else None
        near = [i for i in (at - 1, at) if 0 <= i < len(self._frames)
                and abs(self._frames[i][0] - stamp_ns) <= self.tolerance_ns
                and (later is None or abs(self._frames[i][0] - stamp_ns)
                     <= abs(self._frames[i][0] - later))]
        best = min(near, key=lambda i: abs(self._frames[i][0] - stamp_ns), default=None)
        passed = (self._last_ns[0] is not None and self._last_ns[0] > stamp_ns
                  and stamp_ns not in self._late)
        # A frame behind the mask may be that of the next one.
        return best, passed and (best is None or best < at or later is not None)

    def _alone(self, before_ns: int | None) -> Iterator[tuple[int, list[Any]]]:
        """Give up the frames before a stamp."""
        while self._frames and (before_ns is None or self._frames[0][0] < before_ns):
            stamp_ns, item = self._frames.pop(0)
            yield stamp_ns, [item] + [None] * (self.count - 1)


class StampOrder(Generic[_T]):
    """
    Puts the messages of one topic in the order of their stamps, as far as a window goes.

    What jumps, back by more than the window or ahead by more than :attr:`LEAP_NS`, is taken for
    a clock that was set if the next message agrees with it, and for a stray stamp otherwise.

    Parameters
    ----------
    window_ns : int
        By how much messages may overtake each other, in nanoseconds of their stamps.

    Attributes
    ----------
    left_out : list of (T, str)
        Messages that were left out since the last look at the list, each with the reason.
    jumps : list of (T, int)
        Messages with which the clock jumped back, each with the stamp before it.

    """

    LEAP_NS = 10 * 10**9

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._waiting: list[tuple[int, _T]] = []  # by stamp
        self._odd: tuple[int, _T] | None = None
        self._newest_ns: int | None = None
        self._given_ns: int | None = None
        self.left_out: list[tuple[_T, str]] = []
        self.jumps: list[tuple[_T, int]] = []

    def add(self, stamp_ns: int, item: _T) -> list[tuple[int, _T]]:
        """Take a message; returns those whose turn has come, with their stamps."""
        odd, self._odd = self._odd, None
        newest_ns, given = self._newest_ns, []
        if odd is not None and newest_ns is not None:
            if abs(stamp_ns - odd[0]) < abs(stamp_ns - newest_ns):
                given = self._start_again(*odd)
            else:
                self.left_out.append((odd[1], f'its stamp {seconds(odd[0])} is far from those '
                                              f'before and after it ({seconds(newest_ns)})'))
        newest_ns = self._newest_ns
        if newest_ns is not None and not (-self._window_ns <= stamp_ns - newest_ns
                                          <= self.LEAP_NS):
            self._odd = stamp_ns, item
            return given
        return given + self._take(stamp_ns, item)

    def flush(self) -> list[tuple[int, _T]]:
        """Return what waits: nothing more will come."""
        given = []
        if self._odd is not None and self._newest_ns is not None:
            odd, self._odd = self._odd, None
            if odd[0] > self._newest_ns:
                given = self._start_again(*odd)
            else:
                self.left_out.append((odd[1], f'its stamp {seconds(odd[0])} is before the last '
                                              f'one ({seconds(self._newest_ns)})'))
        given += self._waiting
        self._waiting = []
        return given

    def _start_again(self, stamp_ns: int, item: _T) -> list[tuple[int, _T]]:
        """Go on from a stamp far away."""
        given, self._waiting = self._waiting, []
        assert self._newest_ns is not None
        if stamp_ns < self._newest_ns:
            self.jumps.append((item, self._newest_ns))
        self._newest_ns = self._given_ns = None
        return given + self._take(stamp_ns, item)

    def _take(self, stamp_ns: int, item: _T) -> list[tuple[int, _T]]:
        at = bisect_left(self._waiting, stamp_ns, key=_stamp)
        if (stamp_ns == self._given_ns
                or at < len(self._waiting) and self._waiting[at][0] == stamp_ns):
            self.left_out.append((item, f'its stamp {seconds(stamp_ns)} was there before'))
            return []
        self._waiting.insert(at, (stamp_ns, item))
        self._newest_ns = max(stamp_ns, self._newest_ns or stamp_ns)
        # Some wait even where the window is as good as nothing.
        ready = bisect_left(self._waiting, self._newest_ns - self._window_ns + 1, key=_stamp)
        given, self._waiting = self._waiting[:ready], self._waiting[ready:]
        if given:
            self._given_ns = given[-1][0]
        return given


class LateStamps:
    """
    Says which messages of a topic came too late, for those who cannot wait to put them in order.

    A single message from less than a second before the last one was overtaken. Several in a row
    are a recording that starts again, or a clock that was set.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._late = False

    def late(self, stamp_ns: int) -> bool:
        """Take the stamp of a message; return whether it is to be left out."""
        before = 0 if self._last_ns is None else self._last_ns - stamp_ns
        self._late = 0 < before < _RESTART_NS and not self._late
        if not self._late:
            self._last_ns = stamp_ns
        return self._late


def _stamp(item: tuple[int, Any]) -> int:
    return item[0]
