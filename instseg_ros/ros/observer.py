"""Listens to what runs, and says what it saw as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from itertools import product
import os
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock as ClockMessage

from .stage_node import LATCHED, OFFERED
from .transport import transport_variables
from ..doctor.graph import Arrival, Endpoint, Graph, Status, Topic
from ..messages.stamps import serialized_stamp

NAME = 'instseg_doctor'
SETTLING_S = 1.5  # until nodes have found each other
_PERIOD_S = 0.5  # between looks at the graph
_DIAGNOSTICS = '/diagnostics'
_HARDWARE = 'instseg_ros'  # what nodes of this package call themselves in /diagnostics
_IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
# Best effort: a doctor who is slow holds nobody up.
_LISTENING = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
_HOST = slice(0, 4)  # of an endpoint's id, with Fast DDS: vendor and machine


class Observer(Node):
    """
    Listens to the topics of the pipeline and looks who is at their ends.

    Images are only listened to where somebody else does: what nobody subscribes to is not made,
    and is not to be made for this.

    Parameters
    ----------
    namespace : str
        Only nodes and topics in it are looked at; '' for all.

    """

    def __init__(self, namespace: str = '') -> None:
        super().__init__(NAME, enable_rosout=False, start_parameter_services=False)
        namespace = namespace.strip('/')
        self._prefix = f'/{namespace}/' if namespace else '/'
        self._graph = Graph(where=f'in domain {os.environ.get("ROS_DOMAIN_ID") or 0}'
                            + (f' and namespace /{namespace}' if namespace else ''))
        self._since: dict[str, float] = {}
        self._clock_ns = 0
        self._own = self.get_fully_qualified_name()
        self._host = b''
        self.create_subscription(DiagnosticArray, _DIAGNOSTICS, self._on_diagnostics, OFFERED)
        self.create_subscription(ClockMessage, '/clock', self._on_clock, _LISTENING)
        self._steady_s, self._wall_s = time.monotonic(), time.time()
        self._idle = _processor_times()
        self.create_timer(_PERIOD_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            node = f'/{status.name}'
            if status.hardware_id == _HARDWARE and node.startswith(self._prefix):
                healthy = status.level in (DiagnosticStatus.OK, b'\0')
                self._graph.statuses[node] = Status(
                    node, healthy, status.message, {v.key: v.value for v in status.values})

    def _on_clock(self, message: ClockMessage) -> None:
        self._clock_ns = message.clock.sec * 10**9 + message.clock.nanosec

    def look(self) -> None:
        """Look at the graph, and listen to what is new in it."""
        graph = self._graph
        graph.nodes = [f'{space.rstrip("/")}/{name}'
                       for name, space in self.get_node_names_and_namespaces()]
        graph.nodes.remove(self._own)
        graph.nodes = [n for n in graph.nodes if n.startswith(self._prefix)
                       and not n.rsplit('/', 1)[-1].startswith('_')]
        for name, _ in self.get_topic_names_and_types():
            if name.startswith(self._prefix) or name == '/clock':
                self._look_at(graph.topics.setdefault(name, Topic(name)))
        for topic in list(graph.own_topics()):
            if topic.publishers and topic.name not in self._since and topic.name != '/clock' and (
                    topic.subscribers or not topic.types & set(_IMAGES)):
                self._listen(topic)

    def _look_at(self, topic: Topic) -> None:
        publishers = self.get_publishers_info_by_topic(topic.name)
        subscribers = self.get_subscriptions_info_by_topic(topic.name)
        for info in (*publishers, *subscribers):
            if info.node_name == NAME:
                self._host = bytes(info.endpoint_gid)[_HOST]
        publishers, subscribers = ([i for i in infos if i.node_name != NAME]
                                   for infos in (publishers, subscribers))
        topic.publishers = [self._endpoint(info) for info in publishers]
        topic.subscribers = [self._endpoint(info) for info in subscribers]
        topic.mismatches = [
            (self._endpoint(publisher), self._endpoint(subscriber), _plain(reason))
            for publisher, subscriber in product(publishers, subscribers)
            for fits, reason in [qos_check_compatible(publisher.qos_profile,
                                                      subscriber.qos_profile)]
            if fits == QoSCompatibility.ERROR]

    def _endpoint(self, info: Any) -> Endpoint:
        host = bytes(info.endpoint_gid)[_HOST]
        fast_dds = rclpy.get_rmw_implementation_identifier() == 'rmw_fastrtps_cpp'
        return Endpoint(f'{info.node_namespace.rstrip("/")}/{info.node_name}',
                        info.qos_profile.reliability.name.lower(),
                        info.qos_profile.durability.name.lower(), info.topic_type,
                        str(info.topic_type_hash), bool(
                            fast_dds and self._host and host != self._host))

    def _listen(self, topic: Topic) -> None:
        type_name = topic.publishers[0].type_name
        package, _, name = type_name.split('/')
        self._since[topic.name] = time.monotonic()
        try:
            kind = getattr(import_module(f'{package}.msg'), name)
        except (ImportError, AttributeError):
            topic.unknown_type = (f'{type_name} is not known in this shell: source the workspace '
                                  'that has it')
            return
        stamped = next(iter(kind.get_fields_and_field_types().values()), '') == 'std_msgs/Header'

        def on_message(data: bytes, info: dict[str, Any]) -> None:
            received_ns = info['received_timestamp']
            stamp = serialized_stamp(data) if stamped else None
            topic.arrivals.append(Arrival(
                received_ns, self._clock_ns or received_ns,
                None if stamp is None else stamp[0] * 10**9 + stamp[1],
                bytes(info.get('publisher_gid', {}).get('data', b'')),
                info.get('publication_sequence_number')))

        # Raw: most of a message is pixels that nobody looks at.
        self.create_subscription(
            kind, topic.name, on_message, LATCHED if topic.latched else _LISTENING, raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    def seen(self) -> Graph:
        """Return what was seen until now."""
        graph, now = self._graph, time.monotonic()
        self.look()
        for name, since in self._since.items():
            topic = graph.topics[name]
            if not topic.unknown_type:
                topic.heard_s = now - since
        graph.duration_s = now - self._steady_s
        graph.clock_jump_s = time.time() - self._wall_s - graph.duration_s
        idle, total = (b - a for a, b in zip(self._idle, _processor_times(), strict=True))
        graph.busy = 1 - idle / total if total else 0.0
        graph.left_out = _left_out()
        # A node that was not there at the end has ended.
        graph.statuses = {node: s for node, s in graph.statuses.items() if node in graph.nodes}
        return graph


def observe(duration_s: float, namespace: str = '') -> Graph:
    """
    Listen to what runs.

    Parameters
    ----------
    duration_s : float
        How long to listen when nodes have found each other, in seconds.
    namespace : str
        Only what is in it is looked at; '' for all.

    Returns
    -------
    Graph

    """
    # Before rclpy loads the middleware: the doctor is to lose no images himself.
    os.environ.update(transport_variables(os.environ))
    # Ctrl-C is the command's own affair.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    observer = None
    try:
        observer = Observer(namespace)
        executor.add_node(observer)
        until = time.monotonic() + SETTLING_S + duration_s
        while time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        return observer.seen()
    finally:
        if observer is not None:
            observer.destroy_node()
        rclpy.try_shutdown()


def _plain(reason: str) -> str:
    return '; '.join(part.removeprefix('ERROR: ') for part in reason.strip('; ').split('; '))


def _left_out() -> set[str]:
    """Return the nodes that a launch of this machine was told to leave away."""
    nodes = set()
    for file in Path('/proc').glob('[0-9]*/cmdline'):
        with suppress(OSError):
            words = file.read_bytes().split(b'\0')
            nodes |= {f'{name}_node' for name in ('tracker', 'overlay')
                      if f'{name}:=false'.encode() in words}
    return nodes


def _processor_times() -> tuple[int, int]:
    """Return the time in which processors had nothing to do, and all of it, in ticks."""
    def numbers() -> Iterator[int]:
        with open('/proc/stat') as file:
            yield from map(int, file.readline().split()[1:9])

    times = list(numbers())
    return times[3] + times[4], sum(times)
