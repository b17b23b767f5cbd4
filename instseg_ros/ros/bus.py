"""
Messages from node to node of one process, past the middleware.

rclpy has no intra-process communication: even inside a process a message is written, sent, read
and made into objects again. Here publishers hand what they publish to the subscriptions of their
process themselves, and to the middleware only while somebody else subscribes. What they hand over
is a message, or what becomes one when the middleware needs it (by a method ``serialized``).

Publishers and subscriptions stay known to the middleware: tools see the same graph, and publishers
of other processes are heard. What was sent to others comes back from the middleware too; it is
known by its stamp: Jazzy does not say who published, and the EventsExecutor hands that to nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
_SENT = 300  # stamps of a topic, more than messages wait anywhere


def has_header(kind: type) -> bool:
    """Return whether a message type begins with a header, as all do that go over the bus."""
    fields: dict[str, str] = kind.get_fields_and_field_types()  # type: ignore[attr-defined]
    return next(iter(fields.values()), '') == 'std_msgs/Header'


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
        self.sent: deque[tuple[int, int]] = deque(maxlen=_SENT)

    def publish(self, msg: Any) -> None:
        """Publish a message or what becomes one; it must not change from then on."""
        own = self.bus.deliver(self, msg) if self.bus else 0
        if not self.latched and self.get_subscription_count() <= own:
            return
        if self.bus:
            self.sent.append((msg.header.stamp.sec, msg.header.stamp.nanosec))
        super().publish(msg if isinstance(msg, self.msg_type) else msg.serialized())

    def destroy(self) -> None:
        """Destroy the publisher."""
        if self.bus:
            self.bus.leave(self)
        super().destroy()


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

    def on_message(self, first: Any) -> None:
        """Take a message from the middleware, with all that wait if some are to be skipped."""
        self._take(first)
        while self._skips() and (found := self._next()):
            self._take(found[0])
        for _ in range(len(self.waiting)):
            self.serve()

    def _next(self) -> Any:
        with self.subscription.handle:
            return self.subscription.handle.take_message(
                self.subscription.msg_type, self.subscription.raw)

    def _take(self, message: Any) -> None:
        if self._bus is None or not self._bus.has_delivered(self.topic, message):
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

    def has_delivered(self, topic: str, data: bytes) -> bool:
        """Return whether a serialized message is one that this process sent itself."""
        stamp = serialized_stamp(data)
        with self._lock:
            return any(stamp in p.sent for p in self._publishers if p.full_name == topic)

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
