"""Settings as options of a command, derived from their declarations."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

from ..core.settings import Setting, Settings

# What camera_node does with captures, and how it gets at them: no business of the process.
OF_THE_NODE = frozenset(('frame_id', 'calibration_file', 'jpeg_quality', 'own_process',
                         'wait_for', 'wait_timeout', 'capture_python', 'capture_address'))

_SettingsT = TypeVar('_SettingsT', bound=Settings)


def add_settings(parser: argparse.ArgumentParser, kind: type[Settings]) -> None:
    """Give a command one option for each setting of a class; ``_`` becomes ``-``."""
    for declared in kind.declared():
        if declared.name in OF_THE_NODE:
            continue
        default = list(declared.default) if declared.kind is tuple else declared.default
        unit = f' [{declared.unit}]' if declared.unit else ''
        parser.add_argument(
            _option(declared), dest=declared.name, default=argparse.SUPPRESS,
            help=f'{declared.doc}{unit} (default: {default!r})'.replace('%', '%%'),
            **_form(declared))


def chosen_settings(options: argparse.Namespace, kind: type[_SettingsT]) -> _SettingsT:
    """Return the settings that were chosen; raises SettingsError when one may not be."""
    names = {s.name for s in kind.declared()}
    return kind(**{k: v for k, v in vars(options).items() if k in names})


def as_arguments(settings: Settings) -> list[str]:
    """Return the arguments that choose these settings; those at their default are left out."""
    arguments = []
    for declared in settings.declared():
        value = getattr(settings, declared.name)
        if value == declared.default or declared.name in OF_THE_NODE:
            continue
        option = _option(declared)
        if declared.kind is bool:
            arguments.append(option if value else option.replace('--', '--no-', 1))
        elif declared.kind is tuple:
            arguments += [option, *map(str, value)]
        else:
            arguments.append(f'{option}={value}')
    return arguments


def _option(declared: Setting) -> str:
    return '--' + declared.name.replace('_', '-')


def _form(declared: Setting) -> dict[str, Any]:
    if declared.kind is bool:
        return {'action': argparse.BooleanOptionalAction}
    if declared.kind is tuple:
        return {'nargs': '*', 'type': int, 'metavar': 'N'}
    return {'type': declared.kind, 'choices': declared.choices or None,
            'metavar': None if declared.choices else declared.kind.__name__.upper()}
