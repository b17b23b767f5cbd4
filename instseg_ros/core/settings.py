"""
Settings: each stage's parameters, declared once.

A stage's settings are one frozen dataclass. Every field is declared with :func:`setting`, which
holds its default, meaning, unit and limits; an object that breaks a limit cannot exist. ROS
parameters, the tables of the README and ``config/pipeline.yaml`` are derived from these fields.
"""

from __future__ import annotations

import array
import dataclasses
from dataclasses import dataclass
from functools import cache
from keyword import iskeyword
import math
from typing import Any, get_type_hints, TypeVar

from ..errors import SettingsError


_KEY = 'instseg'
_SettingsT = TypeVar('_SettingsT', bound='Settings')


@dataclass(frozen=True)
class Setting:
    """
    The declaration of one setting.

    Attributes
    ----------
    name : str
        ROS parameter name: the field's, without the underscore behind a keyword of Python.
    kind : type
        ``bool``, ``int``, ``float``, ``str`` or ``tuple``.
    default : object
        Value when nobody chose one.
    doc : str
        Meaning, one sentence.
    unit : str
        Unit of the value, '' when it has none.
    low, high : float or None
        Inclusive limits, for numbers (for a tuple: of each element).
    choices : tuple of str
        Allowed values of a ``str``; empty when any is allowed.
    live : bool
        False when a change needs a restart; such a ROS parameter is read-only.
    item : type
        For a tuple, the type of its elements: ``int``, ``float`` or ``str``.

    """

    name: str
    kind: type
    default: Any
    doc: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = True
    item: type = int

    @property
    def expectation(self) -> str:
        """Say what a value must be."""
        if self.choices:
            return 'one of ' + ', '.join(repr(c) for c in self.choices)
        kind = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'a text',
                tuple: {int: 'a list of integers', float: 'a list of numbers',
                        str: 'a list of texts'}[self.item]}[self.kind]
        if self.low is None and self.high is None:
            return kind
        low = '-inf' if self.low is None else f'{self.low:.10g}'
        high = 'inf' if self.high is None else f'{self.high:.10g}'
        return f'{kind} in [{low}, {high}]'

    def checked(self, value: Any) -> Any:
        """
        Return ``value`` in the setting's own type.

        Raises
        ------
        SettingsError
            The value is of another type or outside the limits.

        """
        if self.kind is tuple and isinstance(value, (list, tuple, array.array)):
            value = tuple(self._converted(i, self.item) for i in value)
            right_type = all(self._is(i, self.item) for i in value)
        else:
            value = self._converted(value, self.kind)
            right_type = self.kind is not tuple and self._is(value, self.kind)
        items = value if self.kind is tuple and right_type else (value,)
        if (not right_type
                or self.low is not None and any(i < self.low for i in items)
                or self.high is not None and any(i > self.high for i in items)
                or self.choices and value not in self.choices):
            raise SettingsError(f'{self.name}: expected {self.expectation}, got {value!r}')
        return value

    @staticmethod
    def _converted(value: Any, kind: type) -> Any:
        """Return 1 as 1.0 where a number is declared."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if kind is float and whole else value

    @staticmethod
    def _is(value: Any, kind: type) -> bool:
        if kind in (int, float):
            return (isinstance(value, kind) and not isinstance(value, bool)
                    and math.isfinite(value))
        return isinstance(value, kind)


def setting(default: Any, doc: str, *, unit: str = '', low: float | None = None,
            high: float | None = None, choices: tuple[str, ...] = (), live: bool = True) -> Any:
    """Declare one field of a :class:`Settings` class; arguments as in :class:`Setting`."""
    return dataclasses.field(default=default, metadata={_KEY: {
        'doc': doc, 'unit': unit, 'low': low, 'high': high, 'choices': choices, 'live': live}})


@dataclass(frozen=True)
class Settings:
    """
    Base of every stage's settings: a frozen dataclass that refuses to exist when wrong.

    Raises
    ------
    SettingsError
        A value has the wrong type or is outside its limits, or the values do not go together.

    """

    def __post_init__(self) -> None:
        """Check every field, then the settings as a whole."""
        for declared in self.declared():
            # The frozen dataclass is not built yet: an int given for a float is stored as one.
            object.__setattr__(self, field_of(declared.name),
                               declared.checked(self.value(declared.name)))
        self.check_whole()

    def check_whole(self) -> None:
        """Raise SettingsError when the values do not go together; nothing to check by default."""

    @classmethod
    @cache
    def declared(cls) -> tuple[Setting, ...]:
        """Return the declarations of all settings, in the order of the fields."""
        hints = get_type_hints(cls)
        declared = []
        for field in dataclasses.fields(cls):
            if _KEY in field.metadata:
                hint = hints[field.name]
                kind = getattr(hint, '__origin__', hint)
                item = hint.__args__[0] if kind is tuple else int
                declared.append(Setting(field.name.removesuffix('_'), kind, field.default,
                                        item=item, **field.metadata[_KEY]))
        return tuple(declared)

    def parameters(self) -> dict[str, Setting]:
        """Return the declaration of every ROS parameter, by its name."""
        return {s.name: s for s in self.declared()}

    def value(self, name: str) -> Any:
        """Return the value of a ROS parameter."""
        return getattr(self, field_of(name))

    def values(self) -> dict[str, Any]:
        """Return the value of every ROS parameter, by its name."""
        return {name: self.value(name) for name in self.parameters()}

    def changed(self: _SettingsT, **changes: Any) -> _SettingsT:
        """Return a checked copy with ``changes``; unknown names raise SettingsError."""
        known = self.parameters()
        for name in changes:
            if name not in known:
                raise SettingsError(f'{name}: no such setting; known are '
                                    + ', '.join(sorted(known)))
        return dataclasses.replace(self, **{field_of(n): v for n, v in changes.items()})


def field_of(name: str) -> str:
    """Return the field of a parameter: a keyword of Python has an underscore behind it."""
    return f'{name}_' if iskeyword(name) else name
