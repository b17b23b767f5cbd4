"""What the nodes share: live settings, health, quality of service, guarded callbacks."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, Generic

from instseg_ros.errors import MessageError
from instseg_ros.messages.stamps import stamp_ns
from instseg_ros.reference import STAGES
import numpy as np
import numpy.typing as npt
from rcl_interfaces.msg import ParameterEvent, SetParametersResult
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import (DurabilityPolicy, qos_profile_parameter_events, QoSProfile,
                       ReliabilityPolicy)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from .bus import Bus, BusPublisher, has_header, Inbox
from .conversions import array_to_compressed, ArrayImage, read_message, READERS
from .followers import PUBLISHERS, SUBSCRIBERS
from .health import Health
from .live_settings import LiveSettings, SettingsT

# A second of frames: a subscriber that is busy for a moment loses none.
OFFERED = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
REQUESTED = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)
_QOS_IN_FILE = 'qos_overrides.'


class StageNode(Node, Generic[SettingsT]):
    """
    A node with live settings and a health report.

    Parameters
    ----------
    name : str
        Node name.
    kind : type
        The settings class of the stage.
    bus : Bus, optional
        Carries messages between the nodes of a process.
    **options
        As for :class:`rclpy.node.Node`.

    """

    def __init__(self, name: str, kind: type[SettingsT], bus: Bus | None = None,
                 **options: Any) -> None:
        super().__init__(name, **options)
        self._bus = bus
        self.health = Health(self)
        self.health.connections = self.connections
        self._outputs: list[Publisher] = []
        self._inputs: dict[Subscription, Inbox] = {}
        self.live = LiveSettings(self, kind, self.health.problem)
        # Says when somebody begins to listen.
        self._events = self.create_publisher(
            ParameterEvent, '/parameter_events', qos_profile_parameter_events,
            event_callbacks=PublisherEventCallbacks(matched=self._tell_parameters))

    @property
    def settings(self) -> SettingsT:
        """Return the settings in force; read once per frame."""
        return self.live.current

    def report_unknown_parameters(self) -> None:
        """
        Name the parameters that were given but do not exist; call when all are declared.

        A section ``/**`` and ``-p NAME:=VALUE`` of the pipeline reach every node of a process:
        what another node of the package has is meant for that one.
        """
        of_others = {s.name for stage in STAGES.values() for s in stage.declared()}
        for name in self._parameter_overrides:
            if not (self.has_parameter(name) or name in of_others
                    or name.startswith(_QOS_IN_FILE)):
                own = ', '.join(self.settings.parameters())
                self.health.problem(f'expected one of {own}; got a value for it, which is ignored',
                                    f'parameter {name}')

    def connections(self) -> dict[str, str]:
        """Return how many publishers each input has, and subscribers each output that has any."""
        counts = {PUBLISHERS + s.topic_name: s.get_publisher_count() for s in self._inputs}
        counts.update({SUBSCRIBERS + p.topic_name: count for p in self._outputs
                       if (count := p.get_subscription_count())})
        return {key: str(count) for key, count in counts.items()}

    def _tell_parameters(self, event: Any) -> None:
        """Tell a new subscriber, like a recorder, the parameters that are in force already."""
        if event.current_count_change > 0:
            message = ParameterEvent(node=self.get_fully_qualified_name())
            message.stamp = self.get_clock().now().to_msg()
            message.changed_parameters = [p.to_parameter_msg() for p in self._parameters.values()]
            # By rclpy's own publisher: another one's message might arrive after later changes.
            self._parameter_event_publisher.publish(message)

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """
        Set parameters as rclpy does, with our reason where the values are at fault.

        rclpy checks ranges and types before it asks the node, so a refusal of its own would
        reach neither the log nor /diagnostics. What is read-only may be set to what it is: so
        `ros2 param load` takes what `ros2 param dump` wrote.
        """
        given = [self.live.in_own_type(p) for p in parameter_list]
        parameter_list = [p for p in given if not self._is_so_for_good(p)]
        if given and not parameter_list:
            return SetParametersResult(successful=True)
        unknown = [p.name for p in parameter_list if not self.has_parameter(p.name)]
        reason = (f'{unknown[0]}: no such parameter; `ros2 param list` names them' if unknown
                  else self.live.refusal(parameter_list))
        if reason:
            self.health.problem(reason, 'parameter refused')
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def _is_so_for_good(self, parameter: Parameter) -> bool:
        return (self.has_parameter(parameter.name)
                and self.describe_parameter(parameter.name).read_only
                and parameter.get_parameter_value()
                == self.get_parameter(parameter.name).get_parameter_value())

    def destroy_node(self) -> None:
        """Take no more messages, then destroy the node."""
        for inbox in self._inputs.values():
            inbox.close()
        self._inputs = {}
        super().destroy_node()

    def offer(self, kind: type, topic: str, qos: QoSProfile = OFFERED,
              matched: Callable[[Any], None] | None = None) -> Publisher:
        """Create a publisher that can be overridden and that reports QoS mismatches."""
        def mismatch(event: Any) -> None:
            self.health.problem(
                'a subscriber asks for a quality of service that is not offered '
                f'({event.last_policy_kind.name}); set qos_overrides or mend the subscriber',
                publisher.topic_name)

        publisher = self.create_publisher(
            kind, topic, copy(qos), publisher_class=BusPublisher,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=mismatch, matched=matched))
        self._outputs.append(publisher)
        if self._bus and has_header(kind):
            self._bus.join(publisher)
        return publisher

    def request(self, kind: type, topic: str, callback: Callable[[Any], None],
                qos: QoSProfile = REQUESTED, raw: bool = False,
                skips: Callable[[], bool] = lambda: False) -> Subscription:
        """
        Create a subscription whose callback survives bad input; it is reported instead.

        With ``raw`` the callback gets messages as bytes. Where ``skips`` returns true, it gets the
        newest message when more than two wait.
        """
        def mismatch(event: Any) -> None:
            self.health.problem(
                'the publisher offers less than this node asks for '
                f'({event.last_policy_kind.name}); set qos_overrides or mend the publisher',
                subscription.topic_name)

        def guarded(message: Any) -> None:
            try:
                callback(message)
            except MessageError as error:
                self.health.refuse(str(error), stamp_ns(message), subscription.topic_name)

        def skipped(count: int) -> None:
            self.health.count('skipped messages', count)
            self.health.problem(
                f'expected this node to keep up with its input, got {count + 1} messages that '
                'waited: all but the newest were skipped; ask for fewer or smaller masks, or set '
                'when_late to wait', subscription.topic_name)

        bus = self._bus if has_header(kind) and not raw else None
        read = (partial(read_message, kind) if bus or kind in READERS and not raw else None)
        inbox = Inbox(callback if raw else guarded, skips, skipped, read, bus)
        subscription = self.create_subscription(
            kind, topic, inbox.on_message, copy(qos), raw=raw or read is not None,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=mismatch))
        inbox.attach(subscription)
        self._inputs[subscription] = inbox
        return subscription

    def dismiss(self, subscription: Subscription) -> None:
        """End a subscription that `request` made."""
        self._inputs.pop(subscription).close()
        self.destroy_subscription(subscription)


class ImagePublisher:
    """
    An image topic and its compressed twin; nothing is converted that nobody subscribes to.

    Parameters
    ----------
    node : StageNode
        The node that publishes.
    topic : str
        Topic of the raw image; the compressed one ends in ``/compressed``.
    encoding : str
        Encoding of the images; ``bgr8`` is compressed to JPEG, labels to PNG.

    """

    def __init__(self, node: StageNode[Any], topic: str, encoding: str,
                 matched: Callable[[Any], None] | None = None) -> None:
        self._encoding = encoding
        self._raw = node.offer(Image, topic, matched=matched)
        self._compressed = node.offer(CompressedImage, topic + '/compressed', matched=matched)

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self._raw.get_subscription_count()
                    or self._compressed.get_subscription_count())

    def publish(self, pixels: npt.NDArray[np.generic], header: Header) -> None:
        """Publish the raw image; the pixels are not changed from then on."""
        if self._raw.get_subscription_count():
            self._raw.publish(ArrayImage.of(pixels, self._encoding, header))

    def publish_compressed(self, pixels: npt.NDArray[np.generic], header: Header,
                           jpeg_quality: int = 90) -> None:
        """Publish the compressed image: it takes milliseconds, so do what is urgent before."""
        if self._compressed.get_subscription_count():
            self._compressed.publish(array_to_compressed(
                pixels, self._encoding, header, jpeg_quality if self._encoding == 'bgr8' else 0))
