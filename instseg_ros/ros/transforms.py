"""Transforms from TF: by tf2_ros, or where that is not installed by listening to its topics."""

from __future__ import annotations

from typing import Any

from instseg_ros.core.ground import Pose, TransformTree
from instseg_ros.errors import TransformError
from instseg_ros.messages import topics
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from .conversions import stamp_to_ns

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
            node.create_subscription(TFMessage, topics.TF, self._on_moving, _DEPTH)
            node.create_subscription(TFMessage, topics.TF_STATIC, self._on_static, _STATIC)

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

    def _on_moving(self, message: Any) -> None:
        self._add(message, False)

    def _on_static(self, message: Any) -> None:
        self._add(message, True)

    def _add(self, message: Any, static: bool) -> None:
        for entry in message.transforms:
            place, turn = entry.transform.translation, entry.transform.rotation
            self._tree.add(entry.header.frame_id, entry.child_frame_id,
                           stamp_to_ns(entry.header.stamp), (place.x, place.y, place.z),
                           (turn.x, turn.y, turn.z, turn.w), static)
