"""
Say what is wrong with this machine or with the pipeline that runs, and what mends it.

Looks at Python and its packages, ROS and its middleware, cameras and resources; then listens to
the nodes that run in this ROS domain, if any, for some seconds. The exit code is 1 when there is
something to mend.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import takewhile
import json
import os
from pathlib import Path
import sys

from ..doctor.checks import examine_machine, examine_pipeline
from ..doctor.finding import Finding, Machine

_WORDS = {'ok': 'ok', 'skip': '-', 'warn': 'WARN', 'fail': 'FAIL'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--json', action='store_true', help='print a JSON object instead of lines')
    parser.add_argument('--duration', metavar='S', type=_seconds, default=5.0,
                        help='how long to listen to the nodes; 0: not at all '
                             '(default: %(default)s s)')
    parser.add_argument('--namespace', metavar='NAME', default='',
                        help='look at the nodes of this namespace only (default: all)')
    parser.add_argument('--source', default='',
                        help="source that is to work here, such as 'imx500' or /dev/video0: where "
                             'it is missing, that is a fault')
    parser.add_argument('--model', metavar='FILE', default='',
                        help='network of the AI Camera to look at (default: the usual one)')
    parser.add_argument('--root', metavar='FOLDER', type=_folder, default=Path('/'),
                        help='root folder of the machine: another one for the files of an SD '
                             'card that is mounted here')


def run(options: argparse.Namespace) -> int:
    """Print what is found; returns 1 when there is something to mend."""
    here = options.root == Path('/')
    machine = Machine(options.root, dict(os.environ) if here else {}, options.source,
                      options.model)
    found = [*_shown('this machine', examine_machine(machine), options)]
    if options.duration and here:
        found += _shown('what runs', examine_pipeline(options.duration, options.namespace),
                        options)
    to_mend = sum(finding.to_mend for finding in found)
    if options.json:
        print(json.dumps({'healthy': not to_mend, 'findings': [asdict(f) for f in found]},
                         indent=2))
    else:
        print(f'\n{to_mend} to mend' if to_mend else '\nnothing to mend')
    return int(bool(to_mend))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run without the other commands: this one works where a package is missing."""
    parser = argparse.ArgumentParser(
        prog='instseg doctor', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    given = sys.argv[1:] if arguments is None else arguments
    # rclpy reads what follows --ros-args.
    options = parser.parse_args(list(takewhile(lambda a: a != '--ros-args', given)))
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


def _shown(title: str, findings: Iterator[Finding], options: argparse.Namespace
           ) -> Iterator[Finding]:
    """Hand the findings on, each printed as soon as it is there."""
    if not options.json:
        print(title)
    for finding in findings:
        yield finding
        if options.json:
            continue
        print(f'  {_WORDS[finding.state]:4} {finding.name}: {finding.seen}')
        if finding.cure:
            print(f'       -> {finding.cure}', flush=True)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f'expected 0 to 3600 seconds, got {text}')
    return seconds


def _folder(text: str) -> Path:
    folder = Path(text).absolute()
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f'expected a folder, got {text}')
    return folder
