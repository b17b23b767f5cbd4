"""The `instseg` command, which needs no ROS."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
import os
import sys

from .errors import CameraError, SettingsError

# Each is a module of `commands` with a docstring, add_arguments(parser) and run(options) -> int;
# only the one that was chosen does work.
COMMANDS = ('capture', 'record', 'process', 'info', 'compare', 'repair', 'tune', 'doctor')
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ['doctor']:
        from .commands.doctor import main as doctor
        return doctor(given[1:])
    try:
        return _run(given)
    except ImportError as error:
        print(f'instseg: {error}: `instseg doctor` says what is missing', file=sys.stderr)
        return BAD_INPUT


def _run(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='instseg', description='Instance segmentation from class masks, without ROS.')
    chosen = parser.add_subparsers(title='commands', metavar='COMMAND')
    for name in COMMANDS:
        module = import_module(f'.commands.{name}', __package__)
        summary = str(module.__doc__).strip().splitlines()[0]
        command = chosen.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(given)
    if 'run' not in options:
        parser.print_help()
        return 0
    try:
        return int(options.run(options))
    except (CameraError, SettingsError) as error:
        print(f'instseg: {error}', file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `instseg info BAG | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
