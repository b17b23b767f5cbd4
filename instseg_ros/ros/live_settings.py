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
_ARRAYS = {int: Parameter.Type.INTEGER_ARRAY, float: Parameter.Type.DOUBLE_ARRAY,
           str: Parameter.Type.STRING_ARRAY}


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
        self._node = node
        self._declared: dict[str, Setting] = {}
        self._declaring = False
        self._report = report
        self.current: SettingsT = self._chosen(node, kind)
        self._declare()
        # After the declarations, which would otherwise pass through the check one by one.
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _declare(self) -> None:
        """Declare the parameters that there are now, and no others: some come with values."""
        if self._declaring:
            return  # each declaration calls back
        self._declaring = True
        now = self.current.parameters()
        for name in self._declared.keys() - now.keys():
            self._node.undeclare_parameter(name)
            del self._declared[name]
        for name, declared in now.items():
            if name not in self._declared:
                _declare(self._node, declared, self.current.value(name))
                self._declared[name] = declared
        self._declaring = False

    def _chosen(self, node: Node, kind: type[SettingsT]) -> SettingsT:
        """Return the settings with the node's overrides, without those that are wrong."""
        chosen = kind()
        taken: set[str] = set()
        while True:
            # Once more for the parameters that came with values of others.
            known = chosen.parameters()
            # rclpy has no public way to see overrides of undeclared parameters.
            given = {name: o.value for name, o in node._parameter_overrides.items()
                     if name in known and name not in taken}
            if not given:
                return chosen
            taken |= given.keys()
            changes = {}
            for name, value in given.items():
                # An empty list in a file or on the command line arrives as no value at all.
                empty = value is None and known[name].kind is tuple
                try:
                    changes[name] = known[name].checked(() if empty else value)
                except SettingsError as error:
                    self._report(f'parameter {error}; the default is used')
            try:
                chosen = chosen.changed(**changes)
            except SettingsError as error:
                self._report(f'parameters: {error}; the defaults are used')

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
            return Parameter(parameter.name, _ARRAYS[declared.item], [])
        if declared and declared.item is float and parameter.type_ == _ARRAYS[int]:
            return Parameter(parameter.name, _ARRAYS[float],
                             [float(v) for v in parameter.value])
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
        changes = {p.name: p.value for p in parameters if p.name in self._declared}
        return self.current.changed(**changes) if changes else self.current

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = self.refusal(parameters)
        if reason:
            self._report(f'parameter refused: {reason}')
        return SetParametersResult(successful=not reason, reason=reason)

    def _apply(self, parameters: list[Parameter]) -> None:
        self.current = self._proposed(parameters)
        self._declare()


def _declare(node: Node, declared: Setting, value: Any) -> None:
    """Declare a setting as a parameter of its own type, whatever the command line says."""
    descriptor = describe(declared)
    if declared.kind is not tuple or value:
        node.declare_parameter(declared.name, list(value) if declared.kind is tuple else value,
                               descriptor, ignore_override=True)
        return
    # An empty list would be declared as one of bytes: the type first, then the value, and only
    # then read-only.
    kind = _ARRAYS[declared.item]
    node.declare_parameter(declared.name, kind, ParameterDescriptor(), ignore_override=True)
    Node.set_parameters_atomically(node, [Parameter(declared.name, kind, [])])
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
