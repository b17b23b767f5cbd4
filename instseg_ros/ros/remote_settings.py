"""Another node's settings, followed while they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic

from instseg_ros.errors import SettingsError
from rcl_interfaces.msg import Parameter, ParameterEvent
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.parameter_event_handler import ParameterEventHandler
from rclpy.task import Future

from .live_settings import SettingsT

ASK_AGAIN_S = 1.0


class RemoteSettings(Generic[SettingsT]):
    """
    The settings of a stage that runs in another node, as far as they are known.

    Asks the node for its parameters as soon as it is there, and listens to their changes, those
    at a restart included.

    Parameters
    ----------
    node : rclpy.node.Node
        The node that wants to know.
    remote : str
        Name of the other node, in the same namespace.
    kind : type
        The settings class of the other node's stage.
    changed : callable
        Called with the settings when they are known and whenever they change.

    """

    def __init__(self, node: Node, remote: str, kind: type[SettingsT],
                 changed: Callable[[SettingsT], None]) -> None:
        self._kind = kind
        self._changed = changed
        self._current: SettingsT | None = None
        self._heard: dict[str, Any] = {}  # changes: newer than an answer that comes after them
        self._remote = f'{node.get_namespace().rstrip("/")}/{remote}'
        self._names = list(kind().parameters())
        self._events = ParameterEventHandler(node)
        self._events.add_parameter_event_callback(self._on_event)
        self._client = AsyncParameterClient(node, self._remote)
        self._asked: Future | None = None
        self._timer = node.create_timer(ASK_AGAIN_S, self._ask)

    def _ask(self) -> None:
        """Ask for the initial values, once the node answers."""
        if self._client.services_are_ready():
            self._timer.cancel()
            self._asked = self._client.get_parameters(self._names, self._on_answer)

    def _on_answer(self, answer: Future) -> None:
        values = answer.result().values if answer.result() else []
        if len(values) == len(self._names):
            answered = dict(zip(self._names, map(parameter_value_to_python, values), strict=True))
            self._take((answered | self._heard).items())

    def _on_event(self, event: ParameterEvent) -> None:
        if event.node == self._remote:
            changes: Iterable[Parameter] = (*event.new_parameters, *event.changed_parameters)
            heard = {p.name: parameter_value_to_python(p.value) for p in changes
                     if p.name in self._names}
            self._heard.update(heard)
            self._take(heard.items())

    def _take(self, changes: Iterable[tuple[str, Any]]) -> None:
        # An empty list has no type in ROS, and arrives as no value.
        values = {name: () if value is None else value for name, value in changes}
        if self._current is None and not set(self._names) <= values.keys():
            return  # a few values, with defaults for the others, are not the node's settings
        try:
            settings = (self._current or self._kind()).changed(**values)
        except SettingsError:
            return  # the other node refuses such values: they are another version's
        if settings != self._current:
            self._current = settings
            self._changed(settings)
        # Some values bring parameters of their own.
        known, self._names = set(self._names), list(settings.parameters())
        if not set(self._names) <= known:
            self._asked = self._client.get_parameters(self._names, self._on_answer)
