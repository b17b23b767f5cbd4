"""
Record a camera into a rosbag2 recording (MCAP, zstd), with no ROS on the machine.

Ctrl-C ends it. A full disk, a killed process or a power cut leave a recording that opens with
everything up to the last second. What of a recording or a video cannot be used is left out and
named: exit code 1.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
import signal

from .progress import Progress
from ..cameras import open_camera
from ..errors import SettingsError
from ..recordings.parameters import read_settings
from ..recordings.recorder import Recorder, State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the recording')
    parser.add_argument('--source', metavar='SOURCE', required=True,
                        help='imx500, synthetic, or the PATH of a video, a folder of images, a '
                             'device such as /dev/video0, or another recording')
    parser.add_argument('--duration', metavar='S', type=float, default=float('inf'),
                        help='seconds (default: until Ctrl-C)')
    parser.add_argument('--raw', action='store_true', help='frames as they are, not as JPEG')
    parser.add_argument('--masks-only', action='store_true',
                        help='no frames: private, tiny, and still enough to be processed')
    parser.add_argument('--params', metavar='FILE', type=Path, action='append', default=[],
                        help='ROS parameter file; may be given again, later ones win')
    parser.add_argument('--set', metavar='NAME=VALUE', action='append', default=[],
                        help='one parameter of the camera; may be given again')


def run(options: argparse.Namespace) -> int:
    """Record."""
    if not options.duration > 0:
        raise SettingsError(f'--duration: expected seconds above 0, got {options.duration:g}')
    # What a source says while it is read: a gap that is skipped, a message that is none.
    logging.basicConfig(format='instseg: %(message)s')
    settings = read_settings(options.params, options.set, ('camera_node',))['camera_node']
    settings = settings.changed(source=options.source)
    camera = open_camera(settings)
    try:
        recorder = Recorder(options.out, camera, settings, options.raw, options.masks_only)
        before = {ending: signal.signal(ending, lambda *_: recorder.stop())
                  for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            with Progress('frames') as progress:
                state = recorder.run(options.duration, lambda s: progress.show(_words(s)))
        finally:
            for ending, handler in before.items():
                signal.signal(ending, handler)
    finally:
        camera.close()
    print(f'{options.out}: {_words(state)}')
    return 1 if camera.left_out else 0


def _words(state: State) -> str:
    return (f'{state.frames} frames, {state.rate:.1f}/s, {state.dropped} dropped, '
            f'{state.size / 1e6:.1f} MB, {state.free / 1e9:.1f} GB free')
