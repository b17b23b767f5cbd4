"""Whether the nodes that follow a camera are connected: a recording waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray
from instseg_ros.messages.topics import is_optional
from rclpy.node import Node

PUBLISHERS, SUBSCRIBERS = 'publishers of ', 'subscribers of '  # in /diagnostics of every node


class Followers:
    """
    Listens to what nodes say of their connections in /diagnostics.

    Only the two ends of a topic know whether they have found each other: a node that is known
    to all may still miss the first messages of its neighbour.

    Parameters
    ----------
    node : rclpy.node.Node
        The node that asks.
    names : sequence of str
        The nodes that are waited for, in the namespace of the one that asks; with a slash in
        it, a topic of these nodes that somebody has to subscribe to.

    """

    def __init__(self, node: Node, names: Sequence[str]) -> None:
        self._node = node
        prefix = node.get_namespace().strip('/')
        names = [f'{prefix}/{name}'.lstrip('/') for name in names]
        nodes = [name for name in names if '/' not in name.removeprefix(prefix + '/')]
        self._names = nodes
        self._topics = ['/' + name for name in names if name not in nodes]
        self._said: dict[str, dict[str, str]] = {}
        self._subscription = node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, 100)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._said[status.name] = {v.key: v.value for v in status.values}

    def missing(self, own: Mapping[str, str]) -> list[str]:
        """
        Return the nodes that do not run yet and the topics whose ends have not met.

        Parameters
        ----------
        own : mapping of str to str
            The connections of the asking node, as in /diagnostics.

        """
        said = dict(self._said)
        found = [own, *(said[name] for name in self._names if name in said)]
        missing = [name for name in self._names if name not in said]
        received = {key.removeprefix(SUBSCRIBERS) for values in found for key in values
                    if key.startswith(SUBSCRIBERS) and values[key] != '0'}
        awaited = {key.removeprefix(PUBLISHERS): values[key] for values in found
                   for key in values if key.startswith(PUBLISHERS)}
        unmet = {topic for topic, count in awaited.items()
                 if (count == '0' or topic not in received)
                 and (topic in self._topics or not is_optional(topic))}
        return missing + sorted(unmet | set(self._topics) - received)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)
