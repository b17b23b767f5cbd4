"""A control for a setting, made from its declaration."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
import json
from typing import Any

from nicegui import ui

from ..core.settings import Setting
from ..errors import SettingsError
from ..reference import yaml_value

_STEPS = 200  # of a slider over numbers
_NEAR = 300  # integers that a slider goes through one by one
_WIDE = 100  # times the default: a range that is better gone through in growing steps
_GROWING = (1, 1.5, 2, 3, 5, 7)


def slider_values(declared: Setting) -> list[float]:
    """
    Return the values that a slider goes through, from the lower to the upper limit.

    Wide ranges are gone through in steps that grow with the value: nobody finds 300 between -1
    and 10 million otherwise.

    >>> from instseg_ros.core import SegmentationSettings
    >>> declared = SegmentationSettings().parameters()
    >>> slider_values(declared['dist_threshold'])[:3]
    [0.0, 0.005, 0.01]
    >>> slider_values(declared['size_threshold'])[:12]
    [-1, 0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50]
    """
    low, high = declared.low, declared.high
    assert low is not None and high is not None
    whole = declared.kind is int
    if whole and high - low <= _NEAR:
        return list(range(int(low), int(high) + 1))
    if not whole and high <= _WIDE * max(abs(declared.default), 1):
        return [round(low + (high - low) * k / _STEPS, 6) for k in range(_STEPS + 1)]
    values = {low, high, declared.default}
    values |= {0} if low <= 0 else set()
    step = 1.0 if whole else 10.0 ** -3
    while step <= high:
        values |= {round(step * part, 6) for part in _GROWING}
        step *= 10
    return sorted(int(v) if whole else float(v) for v in values
                  if low <= v <= high and (not whole or v == int(v)))


class _Slider(ui.slider):
    """A slider that moves with the hand: its value is not sent back to who moves it."""

    LOOPBACK = False


class Control:
    """
    Name, meaning, limits and value of a setting, to be changed.

    Parameters
    ----------
    node, declared : str, Setting
        What it is for.
    names : mapping of int to str
        Names of the classes, for settings that are lists of them.
    change : callable
        Puts a value in force; SettingsError when it is refused.

    """

    def __init__(self, node: str, declared: Setting, names: Mapping[int, str],
                 change: Callable[[str, dict[str, Any]], Awaitable[None]]) -> None:
        self._node, self._declared, self._change = node, declared, change
        self._value: Any = declared.default
        self._showing = self._shown = False
        self._slider: _Slider | None = None
        unit = f' [{declared.unit}]' if declared.unit else ''
        with ui.column().classes('setting w-full gap-0').props(f'data-setting={declared.name}'):
            with ui.row().classes('w-full items-center no-wrap gap-1'):
                ui.label(declared.name + unit).classes('name grow')
                self._field = self._make_field(names)
                # Plain: each element of Quasar costs at every change on the page.
                self._reset = ui.element('button').classes('reset material-icons').props(
                    f'aria-label="{declared.name}: back to the default" '
                    'title="back to the default"').on('click', self._to_default)
                with self._reset:
                    ui.label('restart_alt')
            if self._slides:
                self._values = slider_values(declared)
                self._slider = _Slider(
                    min=0, max=len(self._values) - 1,
                    on_change=lambda e: self._moved(self._values[int(e.value)]))
                self._slider.props(f'dense aria-label="{declared.name}"')
            ui.label(f'{declared.doc}\n{declared.expectation}, default '
                     f'{yaml_value(declared.default)}').classes('meaning')
            self._error = ui.label().classes('refused')
            self._error.set_visibility(False)

    @property
    def _slides(self) -> bool:
        declared = self._declared
        return declared.kind in (int, float) and None not in (declared.low, declared.high)

    def _make_field(self, names: Mapping[int, str]) -> Any:
        declared = self._declared
        label = f'aria-label="{declared.name}, value"'
        if declared.kind is bool:
            return ui.switch(on_change=lambda e: self._moved(e.value)).props(label)
        if declared.choices:
            return ui.select(list(declared.choices), on_change=lambda e: self._moved(e.value))
        if declared.kind is tuple and declared.item in (int, str):
            options: Any = ({k: f'{k} {name}' for k, name in names.items()}
                            if declared.item is int else sorted(set(names.values())))
            return ui.select(
                options, multiple=True, value=[], clearable=True,
                new_value_mode='add-unique' if declared.item is str else None,
                on_change=lambda e: self._moved(tuple(e.value or ()))).props(
                    f'dense use-chips options-dense {label}').classes('list')
        field = ui.input().props(f'dense input-class=text-right {label}').classes('value')
        field.on('keydown.enter', lambda: self._typed(field.value))
        field.on('blur', lambda: self._typed(field.value))
        return field

    def show(self, value: Any) -> None:
        """Show the value in force."""
        if self._shown and value == self._value:
            return
        self._value, self._shown = value, True
        self._showing = True
        try:
            if self._declared.kind is tuple and self._declared.item in (int, str):
                self._offer(value)
                self._field.set_value(list(value))
            elif self._declared.kind is bool or self._declared.choices:
                self._field.set_value(value)
            else:
                self._field.set_value(f'{value:.10g}' if self._slides else yaml_value(value))
            if self._slider:
                k = bisect_left(self._values, value)
                self._slider.set_value(min(k, len(self._values) - 1))
        finally:
            self._showing = False
        is_default = value == self._declared.default
        self._reset.props(add='disabled' if is_default else None,
                          remove=None if is_default else 'disabled')

    def _offer(self, values: tuple[Any, ...]) -> None:
        """Offer values that are no class of this recording, too."""
        options = self._field.options
        for value in values:
            if value not in options:
                if isinstance(options, dict):
                    options[value] = str(value)
                else:
                    options.append(value)
                self._field.update()

    def _moved(self, value: Any) -> Awaitable[None] | None:
        """Put in force what the user chose; what is only shown is in force."""
        return None if self._showing else self._propose(value)

    async def _typed(self, text: str) -> None:
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        await self._propose(tuple(value) if isinstance(value, list) else value)

    async def _to_default(self) -> None:
        await self._propose(self._declared.default)

    async def _propose(self, value: Any) -> None:
        """Put a value in force; where it is refused, say why and show the one that is."""
        try:
            await self._change(self._node, {self._declared.name: value})
        except SettingsError as error:
            self._error.set_text(str(error))
            self._error.set_visibility(True)
            self._shown = False
            self.show(self._value)
        else:
            self._error.set_visibility(False)
