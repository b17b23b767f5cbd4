"""Settings as live ROS parameters: declared, described and ranged from one dataclass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from instseg_ros.core.settings import Setting, Settings
from instseg_ros.errors import SettingsError
from rcl_interfaces.msg import (FloatingPointRange, IntegerRange, ParameterDescriptor,
                                SetParametersResult)
from rclpy.node import Node
from rclpy.parameter import Parameter

SettingsT = TypeVar('SettingsT', bound=Settings)


class LiveSettings(Generic[SettingsT]):
    """
    One stage's settings as the parameters of one node.

    Parameters
    ----------
    node : rclpy.node.Node
        Gets one parameter per setting; overrides from the command line or a file that are wrong
        are reported, and the default is used.
    kind : type
        The settings class.
    report : callable
        Called with a sentence for every value that was refused.

    Attributes
    ----------
    current : Settings
        The settings in force. Read it once per frame: a change replaces the object.

    """

    def __init__(self, node: Node, kind: type[SettingsT], report: Callable[[str], None]) -> None:
        self._declared = {s.name: s for s in kind.declared()}
        self._report = report
        self.current: SettingsT = self._chosen(node, kind)
        for declared in self._declared.values():
            _declare(node, declared, getattr(self.current, declared.name))
        # After the declarations, which would otherwise pass through the check one by one.
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _chosen(self, node: Node, kind: type[SettingsT]) -> SettingsT:
        """Return the settings with the node's overrides, without those that are wrong."""
        chosen = {}
        # rclpy has no public way to see overrides of undeclared parameters.
        for name, override in node._parameter_overrides.items():
            if name not in self._declared:
                continue
            # An empty list in a file or on the command line arrives as no value at all.
            empty = override.value is None and self._declared[name].kind is tuple
            try:
                chosen[name] = self._declared[name].checked(() if empty else override.value)
            except SettingsError as error:
                self._report(f'parameter {error}; the default is used')
        try:
            return kind(**chosen)
        except SettingsError as error:
            self._report(f'parameters: {error}; the defaults are used')
            return kind()

    def in_own_type(self, parameter: Parameter) -> Parameter:
        """
        Return a parameter in the type that is declared, where that is what is meant.

        rclpy refuses 1 for 1.0, and an empty list comes as one of any type, or as no value.
        """
        declared = self._declared.get(parameter.name)
        if declared and declared.kind is float and type(parameter.value) is int:
            return Parameter(parameter.name, value=float(parameter.value))
        if declared and declared.kind is tuple and (
                parameter.value is None or not isinstance(parameter.value, str)
                and isinstance(parameter.value, Sequence) and len(parameter.value) == 0):
            return Parameter(parameter.name, Parameter.Type.INTEGER_ARRAY, [])
        return parameter

    def refusal(self, parameters: Iterable[Parameter]) -> str:
        """Return why the parameters cannot all be set, '' when they can; changes nothing."""
        try:
            self._proposed(parameters)
        except SettingsError as error:
            return str(error)
        return ''

    def _proposed(self, parameters: Iterable[Parameter]) -> SettingsT:
        """Return the current settings with changes; other owners' parameters pass untouched."""
        return self.current.changed(**{
            p.name: p.value for p in parameters if p.name in self._declared})

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = self.refusal(parameters)
        if reason:
            self._report(f'parameter refused: {reason}')
        return SetParametersResult(successful=not reason, reason=reason)

    def _apply(self, parameters: list[Parameter]) -> None:
        self.current = self._proposed(parameters)


def _declare(node: Node, declared: Setting, value: Any) -> None:
    """Declare a setting as a parameter of its own type, whatever the command line says."""
    descriptor = describe(declared)
    if declared.kind is not tuple:
        node.declare_parameter(declared.name, value, descriptor, ignore_override=True)
        return
    # An empty list would be declared as one of bytes: the type first, then the value, and only
    # then read-only.
    kind = Parameter.Type.INTEGER_ARRAY
    node.declare_parameter(declared.name, kind, ParameterDescriptor(), ignore_override=True)
    Node.set_parameters_atomically(node, [Parameter(declared.name, kind, list(value))])
    descriptor.type = kind.value
    node.set_descriptor(declared.name, descriptor)


def describe(declared: Setting) -> ParameterDescriptor:
    """Return the descriptor of a setting: meaning, unit, range; read-only when it is not live."""
    descriptor = ParameterDescriptor(
        name=declared.name, read_only=not declared.live,
        description=declared.doc + (f' [{declared.unit}]' if declared.unit else ''),
        additional_constraints=declared.expectation)
    if declared.kind is int and declared.low is not None and declared.high is not None:
        descriptor.integer_range = [IntegerRange(
            from_value=int(declared.low), to_value=int(declared.high), step=1)]
    if declared.kind is float and declared.low is not None and declared.high is not None:
        descriptor.floating_point_range = [FloatingPointRange(
            from_value=float(declared.low), to_value=float(declared.high), step=0.0)]
    return descriptor
