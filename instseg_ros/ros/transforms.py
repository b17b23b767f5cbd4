"""Transforms from TF: by tf2_ros, or where that is not installed by listening to its topics."""

from __future__ import annotations

from functools import partial
from typing import Any

from instseg_ros.core.ground import Pose, TransformTree
from instseg_ros.errors import TransformError
from instseg_ros.messages import topics
from instseg_ros.messages.ground import add_transforms
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time

_DEPTH = 100
_STATIC = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Transforms:
    """
    What TF says.

    Parameters
    ----------
    node : rclpy.node.Node
        Whose executor receives the transforms.

    """

    def __init__(self, node: Node) -> None:
        self._tree = TransformTree()
        self._buffer: Any = None
        self._missing = ''
        try:
            import tf2_ros
            self._buffer = tf2_ros.Buffer(node=node)
            self._listener = tf2_ros.TransformListener(self._buffer, node)
        except ImportError:
            try:
                from tf2_msgs.msg import TFMessage
            except ImportError:
                self._missing = 'neither tf2_ros nor tf2_msgs is installed'
                return
            for topic, static, qos in ((topics.TF, False, _DEPTH),
                                       (topics.TF_STATIC, True, _STATIC)):
                node.create_subscription(
                    TFMessage, topic, partial(self._on_transforms, static), qos)

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Pose:
        """
        Return the pose of the source frame in the target frame.

        Parameters
        ----------
        target, source : str
            Frames.
        stamp_ns : int or None
            Time in nanoseconds; None takes the last known.

        Raises
        ------
        TransformError
            It is not known (yet).

        """
        if self._missing:
            raise TransformError(self._missing)
        if self._buffer is None:
            return self._tree.lookup(target, source, stamp_ns)
        import tf2_ros
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns or 0)).transform
        except tf2_ros.TransformException as error:
            raise TransformError(str(error)) from None
        place, turn = found.translation, found.rotation
        return Pose.from_quaternion([place.x, place.y, place.z], [turn.x, turn.y, turn.z, turn.w])

    def _on_transforms(self, static: bool, message: Any) -> None:
        add_transforms(self._tree, message, static)
