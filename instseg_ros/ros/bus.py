"""
Messages from node to node of one process, past the middleware.

rclpy has no intra-process communication: even inside a process a message is written, sent, read
and made into objects again. Here publishers hand what they publish to the subscriptions of their
process themselves, and to the middleware only while somebody else subscribes. What they hand over
is a message, or what becomes one when the middleware needs it (by a method ``serialized``).

Publishers and subscriptions stay known to the middleware: tools see the same graph, and publishers
of other processes are heard. What was sent to others comes back from the middleware too, and is
left out there. It is known by its stamp and by the time that the middleware gives it while it is
published: Jazzy does not say who published, and rclpy has no ignore_local_publications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import wraps
import math
import threading
import time
from typing import Any

from instseg_ros.messages.stamps import serialized_stamp
from rclpy.publisher import Publisher
from rclpy.qos import (DurabilityPolicy, HistoryPolicy, qos_check_compatible, QoSCompatibility,
                       QoSProfile)
from rclpy.subscription import Subscription

MAX_WAITING = 2  # messages that may wait for a node that skips
_TURN_S = 0.02  # after which timers, services and other topics have their turn
_MATCHED_S = 1.0  # after which the middleware has matched two ends in one process
_SENT = 300  # messages of a topic that are remembered, more than wait anywhere
_ROUNDING_NS = 1000  # more than the middlewares' times lose on their way


def has_header(kind: type) -> bool:
    """Return whether a message type begins with a header, as all do that go over the bus."""
    fields: dict[str, str] = kind.get_fields_and_field_types()  # type: ignore[attr-defined]
    return next(iter(fields.values()), '') == 'std_msgs/Header'


class _Sent:
    """
    A message that a publisher gave to the middleware.

    Parameters
    ----------
    message : Any
        The message, or what becomes one.

    """

    def __init__(self, message: Any) -> None:
        self._stamp = message.header.stamp.sec, message.header.stamp.nanosec
        self._since_ns = time.time_ns()
        self._until_ns = math.inf

    def end(self) -> None:
        """Tell that it is published."""
        self._until_ns = time.time_ns()

    def is_this(self, stamp: tuple[int, int] | None, source_ns: int) -> bool:
        """Whether a message is this one, by its stamp and the time when it was published."""
        return stamp == self._stamp and (
            self._since_ns - _ROUNDING_NS <= source_ns <= self._until_ns + _ROUNDING_NS)


class BusPublisher(Publisher):  # a generic type from Kilted on only
    """
    A publisher that hands messages to the subscriptions of its process itself.

    Attributes
    ----------
    bus : Bus or None
        Where these subscriptions are; without it, everything goes through the middleware.

    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.bus: Bus | None = None
        self.full_name = self.topic_name
        self.since = time.monotonic()
        self.latched = self.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        self.kept: deque[Any] = deque(maxlen=_depth(self.qos_profile))
        self.sent: deque[_Sent] = deque(maxlen=_SENT)

    def publish(self, msg: Any) -> None:
        """Publish a message or what becomes one; it must not change from then on."""
        bus = self.bus
        own = bus.deliver(self, msg) if bus else 0
        if not self.latched and self.get_subscription_count() <= own:
            return
        ready = msg if isinstance(msg, self.msg_type) else msg.serialized()
        sent = bus.send(self, msg) if bus else None  # known before it can come back
        super().publish(ready)
        if sent:
            sent.end()

    def destroy(self) -> None:
        """Destroy the publisher."""
        if self.bus:
            self.bus.leave(self)
        super().destroy()


def _with_info(callback: Callable[..., None]) -> Callable[..., None]:
    """
    Return a method that takes a message and what the middleware says about it.

    Executors call it with two arguments, the EventsExecutor with both in a tuple.
    """
    @wraps(callback)
    def called(inbox: Any, *taken: Any) -> None:
        callback(inbox, *(taken[0] if len(taken) == 1 else taken))

    return called


class Inbox:
    """
    The messages that wait for the callback of a subscription.

    Parameters
    ----------
    callback : callable
        Called with each message.
    skips : callable
        Returns whether to go on with the newest when more than :data:`MAX_WAITING` wait.
    skipped : callable
        Called with the number of messages that were skipped.
    read : callable, optional
        Reads messages of the middleware, where the subscription takes bytes.
    bus : Bus, optional
        Where messages of the same process come from; needs ``read``.

    """

    def __init__(self, callback: Callable[[Any], None], skips: Callable[[], bool],
                 skipped: Callable[[int], None], read: Callable[[bytes], Any] | None = None,
                 bus: Bus | None = None) -> None:
        self._callback = callback
        self._skips = skips
        self._skipped = skipped
        self._read = read
        self._bus = bus
        self.waiting: deque[Any] = deque()
        self.since = time.monotonic()

    def attach(self, subscription: Subscription) -> None:
        """Tell whose messages they are."""
        self.subscription = subscription
        self.topic = subscription.topic_name
        self.waiting = deque(maxlen=_depth(subscription.qos_profile))
        if self._bus:
            self._bus.subscribe(self)

    def close(self) -> None:
        """Forget what waits, and take no more."""
        if self._bus:
            self._bus.unsubscribe(self)
        self.waiting.clear()

    @_with_info
    def on_message(self, message: Any, info: Mapping[str, Any]) -> None:
        """Take a message from the middleware, with all that wait if some are to be skipped."""
        self._take(message, info)
        while self._skips() and (found := self._next()):
            self._take(*found)
        for _ in range(len(self.waiting)):
            self.serve()

    def _next(self) -> Any:
        with self.subscription.handle:
            return self.subscription.handle.take_message(
                self.subscription.msg_type, self.subscription.raw)

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        if not (self._bus and self._bus.has_delivered(self.topic, message,
                                                      info['source_timestamp'])):
            self.waiting.append(self._read(message) if self._read else message)

    def serve(self) -> None:
        """Call back with the message whose turn it is, if there is one."""
        skipped = len(self.waiting) - 1
        if skipped >= MAX_WAITING and self._skips():
            for _ in range(skipped):
                self.waiting.popleft()
            self._skipped(skipped)
        if self.waiting:
            self._callback(self.waiting.popleft())

    def fits(self, publisher: BusPublisher) -> bool:
        """Whether the middleware connects it with a publisher."""
        return (publisher.full_name == self.topic
                and publisher.msg_type is self.subscription.msg_type
                and qos_check_compatible(publisher.qos_profile, self.subscription.qos_profile)[0]
                != QoSCompatibility.ERROR)


class Bus:
    """
    The topics of one process.

    Callbacks run one after the other, in the thread of the executor. What a callback publishes is
    delivered before what waited already: a frame passes all nodes before the next one begins.

    Parameters
    ----------
    executor : rclpy.executors.Executor
        The executor of all nodes.

    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._lock = threading.RLock()
        self._publishers: list[BusPublisher] = []
        self._inboxes: list[Inbox] = []
        self._receivers: dict[BusPublisher, list[Inbox]] = {}
        self._turns: deque[Inbox] = deque()
        self._scheduled = False
        self._caller: int | None = None  # the thread of the callback that runs
        self._called: list[Inbox] = []  # those that it published to

    def join(self, publisher: BusPublisher) -> None:
        """Take in a publisher."""
        with self._lock:
            publisher.bus = self
            self._publishers.append(publisher)
            self._match()

    def leave(self, publisher: BusPublisher) -> None:
        """Forget a publisher."""
        with self._lock:
            publisher.bus = None
            self._publishers.remove(publisher)
            self._match()

    def subscribe(self, inbox: Inbox) -> None:
        """Take in a subscription; it gets what latched topics keep."""
        with self._lock:
            self._inboxes.append(inbox)
            self._match()
            if inbox.subscription.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                for publisher, receivers in self._receivers.items():
                    if inbox in receivers and publisher.latched:
                        for message in publisher.kept:
                            self._put(inbox, message)

    def unsubscribe(self, inbox: Inbox) -> None:
        """Forget a subscription."""
        with self._lock:
            self._inboxes.remove(inbox)
            self._match()

    def _match(self) -> None:
        self._receivers = {publisher: [inbox for inbox in self._inboxes if inbox.fits(publisher)]
                           for publisher in self._publishers}

    def deliver(self, publisher: BusPublisher, message: Any) -> int:
        """
        Give a message to the subscriptions of this process.

        Returns
        -------
        int
            How many of the subscriptions that the middleware counts are these. One that it may not
            count yet is left out: rather is a message sent in vain than not at all.

        """
        with self._lock:
            if publisher.latched:
                publisher.kept.append(message)
            for inbox in self._receivers[publisher]:
                self._put(inbox, message)
            until = time.monotonic() - _MATCHED_S
            return sum(max(inbox.since, publisher.since) < until
                       for inbox in self._receivers[publisher])

    def send(self, publisher: BusPublisher, message: Any) -> _Sent:
        """Remember a message that goes to the middleware."""
        sent = _Sent(message)
        with self._lock:
            publisher.sent.appendleft(sent)
        return sent

    def has_delivered(self, topic: str, data: bytes, source_ns: int) -> bool:
        """Return whether a message, published at a time, is one that this process sent itself."""
        stamp = serialized_stamp(data)
        with self._lock:
            return any(sent.is_this(stamp, source_ns) for publisher in self._publishers
                       if publisher.full_name == topic for sent in publisher.sent)

    def _put(self, inbox: Inbox, message: Any) -> None:
        inbox.waiting.append(message)
        if self._caller == threading.get_ident():
            self._called.append(inbox)
        else:
            self._turns.append(inbox)
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._executor.create_task(self._run)

    def _run(self) -> None:
        """Call back until nothing waits, or others have their turn."""
        until = time.monotonic() + _TURN_S
        with self._lock:
            self._scheduled = False
        while time.monotonic() < until:
            with self._lock:
                if not self._turns:
                    return
                inbox = self._turns.popleft()
                self._caller = threading.get_ident()
            try:
                inbox.serve()
            finally:
                with self._lock:
                    self._caller = None
                    self._turns.extendleft(reversed(self._called))
                    self._called = []
        with self._lock:
            if self._turns:
                self._schedule()


def _depth(qos: QoSProfile) -> int | None:
    return None if qos.history == HistoryPolicy.KEEP_ALL else max(qos.depth, 1)
