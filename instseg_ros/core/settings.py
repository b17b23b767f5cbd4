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
import math
from typing import Any, get_args, get_origin, get_type_hints, TypeVar

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
        Field and ROS parameter name.
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
        ``int`` or ``str``, of the elements of a tuple.

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
                tuple: 'a list of texts' if self.item is str else 'a list of integers'}[self.kind]
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
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind is tuple and isinstance(value, (list, tuple, array.array)):
            value = tuple(value)
        right_type = isinstance(value, self.kind)
        if self.kind in (int, float):
            right_type = right_type and not isinstance(value, bool) and math.isfinite(value)
        items = value if self.kind is tuple and right_type else (value,)
        if self.kind is tuple and right_type:
            right_type = all(isinstance(i, self.item) and not isinstance(i, bool) for i in items)
        if (not right_type
                or self.low is not None and any(i < self.low for i in items)
                or self.high is not None and any(i > self.high for i in items)
                or self.choices and value not in self.choices):
            raise SettingsError(f'{self.name}: expected {self.expectation}, got {value!r}')
        return value


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
            object.__setattr__(self, declared.name, declared.checked(getattr(self, declared.name)))
        self.check_whole()

    def check_whole(self) -> None:
        """Raise SettingsError when the values do not go together; nothing to check by default."""

    @classmethod
    def declared(cls) -> tuple[Setting, ...]:
        """Return the declarations of all settings, in the order of the fields."""
        hints = get_type_hints(cls)
        return tuple(
            Setting(f.name, get_origin(hints[f.name]) or hints[f.name], f.default,
                    item=next(iter(get_args(hints[f.name])), int), **f.metadata[_KEY])
            for f in dataclasses.fields(cls))

    def changed(self: _SettingsT, **changes: Any) -> _SettingsT:
        """Return a checked copy with ``changes``; unknown names raise SettingsError."""
        known = {f.name for f in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise SettingsError(f'{name}: no such setting; known are '
                                    + ', '.join(sorted(known)))
        return dataclasses.replace(self, **changes)
