"""
Tune the parameters by looking: a page in the browser over a recording, or over running nodes.

SOURCE is a recording, 'sample' (the one that comes with the package), a folder of class masks
(PNG, with the frames of the same names beside them), or a folder of images or a video, for which
--set network=FILE names a network. The page needs an extra: pip install "instseg_ros[tune]".
Settings and marks are saved beside SOURCE (those of the sample in the current folder), and nothing
else is written. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib import import_module
from pathlib import Path
import sys
from typing import Any

from .progress import Progress
from ..cameras import CameraSettings
from ..errors import SettingsError
from ..recordings.parameters import read_settings

_PORT = 8460
_SET = 'instance_segmentation_node', 'tracker_node', 'camera_node'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('source', metavar='SOURCE', nargs='?', help='what to tune on')
    parser.add_argument('--params', metavar='FILE', type=Path,
                        help='ROS parameter file to begin with, and to save to (default: '
                             'NAME.params.yaml beside SOURCE)')
    parser.add_argument('--marks', metavar='FILE', type=Path,
                        help='file of marks (default: NAME.marks.json beside SOURCE)')
    parser.add_argument('--set', metavar='NAME=VALUE', action='append', default=[],
                        help='one parameter to begin with, such as network=FILE or '
                             'recorded_mask=TOPIC; may be given again')
    parser.add_argument('--start', metavar='S', type=float, default=0.0,
                        help='second of the recording at which to begin')
    parser.add_argument('--duration', metavar='S', type=float, default=float('inf'),
                        help='seconds of it (default: all that the memory holds)')
    parser.add_argument('--search', action='store_true',
                        help='no page: search for the settings that agree best with the marks, '
                             'and print them')
    parser.add_argument('--output', metavar='FILE', type=Path,
                        help='with --search: write a ROS parameter file with what was found')
    parser.add_argument('--live', metavar='NAMESPACE', nargs='?', const='',
                        help='tune running nodes, of that namespace (needs ROS)')
    parser.add_argument('--host', default='127.0.0.1',
                        help='address to listen at, such as 0.0.0.0 for other machines too, who '
                             'then need the token in the printed address (default: this machine)')
    parser.add_argument('--port', type=int, default=_PORT,
                        help='port, or the next free one (default: %(default)s)')
    parser.add_argument('--no-browser', action='store_true', help='only print the address')


def run(options: argparse.Namespace) -> int:
    """Serve the page, or search."""
    if (options.source is None) == (options.live is None):
        raise SettingsError('expected a SOURCE (such as "instseg tune sample") or --live, got '
                            + ('both' if options.source else 'neither'))
    if options.live is not None:
        try:
            tuning: Any = import_module('..ros.live_tuning', __package__).LiveTuning(options.live)
        except ImportError as error:
            raise SettingsError(f'--live: {error}; source your ROS 2 installation first'
                                ) from error
    else:
        from ..tuning.source import Source
        settings, file = _settings(options)
        source = Source(settings['camera_node'], options.start, options.duration)
        source.check()
        marks_file = options.marks or _beside(source.path, '.marks.json')
        if options.search:
            return _search(source, settings, marks_file, options.output)
        from ..tuning.state import Tuning
        tuning = Tuning(source, settings, file, marks_file)
    try:
        server = import_module('..tuning.server', __package__)
    except ImportError as error:
        raise SettingsError(f'{error}; the page needs an extra: pip install "instseg_ros[tune]"'
                            ) from error
    server.serve(tuning, options.host, options.port, not options.no_browser,
                 lambda address: print(f'{address}  (Ctrl-C ends it)', flush=True))
    return 0


def _settings(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """Return the settings to begin with, and the file that they are saved to."""
    named = CameraSettings(source=options.source)
    path = Path('sample') if named.source == 'sample' else Path(named.source).expanduser()
    file = options.params or _beside(path.absolute(), '.params.yaml')
    settings = read_settings([file] if options.params or file.exists() else [], options.set, _SET)
    settings['camera_node'] = replace(settings['camera_node'], source=named.source)
    return settings, file.absolute()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _search(source: Any, settings: dict[str, Any], marks_file: Path, output: Path | None) -> int:
    """Search without a page, and print what is found."""
    from ..recordings.marks import read_marks, replace_text
    from ..recordings.search import find_settings
    from ..tuning.knobs import Knobs

    marks = read_marks(marks_file)
    frames = list(source.frames())
    for note in source.notes:
        print(f'instseg: {note}', file=sys.stderr)
    with Progress('per mille') as progress:
        found = find_settings(
            frames, source.names, marks, settings['instance_segmentation_node'],
            lambda share: progress(round(1000 * share), 1000))
    knobs = Knobs({**settings, 'instance_segmentation_node': found.settings}, output)
    for title, results in (('used by the search', found.used), ('not used by it', found.held_out)):
        if results:
            before, after = results
            print(f'marks {title}: {before} agreed with before, {after} after; '
                  f'{after.kept} of {after.unmarked} unmarked instances there stay')
    print(f'frames that change: {len(found.changed_frames)} of {len(frames)}')
    for name in found.changes:
        print(next(line for line in knobs.set_lines() if f' {name} ' in line))
    if not found.changes:
        print('no settings agree better than these')
    if found.doubt:
        print(f'not sure: {found.doubt}')
    if output:
        replace_text(output, knobs.text())
    return 0
