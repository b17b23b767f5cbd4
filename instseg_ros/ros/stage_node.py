"""What the nodes share: live settings, health, quality of service, guarded callbacks."""

from __future__ import annotations

from collections.abc import Callable
from instseg_ros.errors import MessageError
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
from rcl_interfaces.msg import SetParametersResult
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from .conversions import array_to_compressed, array_to_image
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
    **options
        As for :class:`rclpy.node.Node`.

    """

    def __init__(self, name: str, kind: type[SettingsT], **options: Any) -> None:
        super().__init__(name, **options)
        self.health = Health(self)
        self.live = LiveSettings(self, kind, self.health.problem)

    @property
    def settings(self) -> SettingsT:
        """Return the settings in force; read once per frame."""
        return self.live.current

    def report_unknown_parameters(self) -> None:
        """Name the parameters that were given but do not exist; call when all are declared."""
        for name in self._parameter_overrides:
            if not self.has_parameter(name) and not name.startswith(_QOS_IN_FILE):
                own = ', '.join(s.name for s in type(self.settings).declared())
                self.health.problem(f'expected one of {own}; got a value for it, which is ignored',
                                    f'parameter {name}')

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """
        Set parameters as rclpy does, with our reason where the values are at fault.

        rclpy checks ranges and types before it asks the node, so a refusal of its own would
        reach neither the log nor /diagnostics.
        """
        parameter_list = [self.live.in_own_type(p) for p in parameter_list]
        unknown = [p.name for p in parameter_list if not self.has_parameter(p.name)]
        reason = (f'{unknown[0]}: no such parameter; `ros2 param list` names them' if unknown
                  else self.live.refusal(parameter_list))
        if reason:
            self.health.problem(reason, 'parameter refused')
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def offer(self, kind: type, topic: str, qos: QoSProfile = OFFERED,
              matched: Callable[[Any], None] | None = None) -> Publisher:
        """Create a publisher that can be overridden and that reports QoS mismatches."""
        def mismatch(event: Any) -> None:
            self.health.problem(
                'a subscriber asks for a quality of service that is not offered '
                f'({event.last_policy_kind.name}); set qos_overrides or mend the subscriber',
                publisher.topic_name)

        publisher = self.create_publisher(
            kind, topic, qos, qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=mismatch, matched=matched))
        return publisher

    def request(self, kind: type, topic: str, callback: Callable[[Any], None],
                qos: QoSProfile = REQUESTED) -> Subscription:
        """Create a subscription whose callback survives bad input; it is reported instead."""
        def mismatch(event: Any) -> None:
            self.health.problem(
                'the publisher offers less than this node asks for '
                f'({event.last_policy_kind.name}); set qos_overrides or mend the publisher',
                subscription.topic_name)

        def guarded(message: Any) -> None:
            try:
                callback(message)
            except MessageError as error:
                self.health.problem(str(error), subscription.topic_name)
                self.health.count('refused messages')

        subscription = self.create_subscription(
            kind, topic, guarded, qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=mismatch))
        return subscription


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
        """Publish the raw image."""
        if self._raw.get_subscription_count():
            self._raw.publish(array_to_image(pixels, self._encoding, header))

    def publish_compressed(self, pixels: npt.NDArray[np.generic], header: Header,
                           jpeg_quality: int = 90) -> None:
        """Publish the compressed image: it takes milliseconds, so do what is urgent before."""
        if self._compressed.get_subscription_count():
            self._compressed.publish(array_to_compressed(
                pixels, self._encoding, header, jpeg_quality if self._encoding == 'bgr8' else 0))
