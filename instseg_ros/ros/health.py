"""The health of a node: problems in the log, at a bearable rate, and in /diagnostics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from instseg_ros.messages.stamps import seconds
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node

LOG_PERIOD_S = 5.0
SHOWN_S = 10.0
_DAY_S = 86_400.0


class Health:
    """
    Counts a node's frames and problems and publishes them to /diagnostics.

    Once a second, and at once when somebody begins to listen: nobody waits to hear of a node.

    Parameters
    ----------
    node : rclpy.node.Node
        The node spoken for.

    Attributes
    ----------
    details : callable
        Returns further key-value pairs for /diagnostics; the nodes replace it.
    connections : callable
        Returns how the node is connected, for /diagnostics.
    idle : str
        Why no frames are processed, when nothing is wrong.
    failure : str
        Why the node has given up; '' while it has not.

    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._frames = 0
        self._recent: deque[float] = deque(maxlen=100)
        self._stamp_ns = 0
        self._problems: dict[str, tuple[float, str]] = {}
        self._problem_count = 0
        self._latest = 0.0  # when the last problem was
        self._counts: dict[str, int] = {}
        self._refused: dict[str, int] = {}  # messages by topic
        self.details: Callable[[], dict[str, str]] = dict
        self.connections: Callable[[], dict[str, str]] = dict
        self.idle = 'waiting for input'
        self.failure = ''
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', 10,
            event_callbacks=PublisherEventCallbacks(matched=self._on_matched))
        # A steady clock: the node is to be heard of also when simulated time stands still.
        node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def frame(self, stamp_ns: int) -> None:
        """Count a frame that was processed."""
        self._frames += 1
        self._stamp_ns = stamp_ns
        self._recent.append(time.monotonic())

    def count(self, what: str, times: int = 1) -> None:
        """Count an event, shown in /diagnostics under its name."""
        self._counts[what] = self._counts.get(what, 0) + times

    def refuse(self, why: str, stamp_ns: int, topic: str) -> None:
        """Count a message that cannot be used, and say which it is and why."""
        self._refused[topic] = count = self._refused.get(topic, 0) + 1
        self.count('refused messages')
        self.problem(f'{why}; the message of {seconds(stamp_ns)} is left out, {count} so far',
                     topic)

    def problem(self, text: str, topic: str = '') -> None:
        """
        Say what is wrong: in the log at most every 5 s per kind, in /diagnostics for 10 s.

        Parameters
        ----------
        text : str
            What was expected, what came, and what to do about it.
        topic : str
            The topic or parameter at fault: one kind of problem each. '' when there is none.

        """
        said, now = f'{topic}: {text}' if topic else text, time.monotonic()
        self._problem_count += 1
        # Numbers differ from frame to frame; the same sentence with others is the same problem.
        kind = ''.join(c for c in said if not c.isdigit())
        last, _ = self._problems.get(kind, (-LOG_PERIOD_S, ''))
        if now - last >= LOG_PERIOD_S:
            self._node.get_logger().warning(said)
            last = now
        self._problems.pop(kind, None)
        self._problems[kind] = (last, said)
        if len(self._problems) > 50:
            del self._problems[next(iter(self._problems))]
        self._latest = now

    def _on_matched(self, event: Any) -> None:
        if event.current_count_change > 0:
            self.publish()

    def publish(self) -> None:
        """Publish the node's status."""
        now = time.monotonic()
        shown = ''
        if self._problems and now - self._latest < SHOWN_S:
            shown = next(reversed(self._problems.values()))[1]
        recent = [t for t in self._recent if now - t < 5.0]
        rate = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0
        values = {'frames': str(self._frames), 'rate (Hz)': f'{rate:.1f}',
                  'problems': str(self._problem_count)}
        if self._frames:
            age_s = self._node.get_clock().now().nanoseconds / 1e9 - self._stamp_ns / 1e9
            # A recording keeps its own stamps: the age of one means nothing.
            if 0 <= age_s < _DAY_S:
                values['age of the last frame (s)'] = f'{age_s:.3f}'
        values.update({what: str(n) for what, n in self._counts.items()})
        values.update(self.details())
        values.update(self.connections())
        status = DiagnosticStatus(
            name=self._node.get_fully_qualified_name().lstrip('/'), hardware_id='instseg_ros',
            level=(DiagnosticStatus.ERROR if self.failure else
                   DiagnosticStatus.WARN if shown else DiagnosticStatus.OK),
            message=self.failure or shown or ('running' if rate else self.idle),
            values=[KeyValue(key=k, value=v) for k, v in values.items()])
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
