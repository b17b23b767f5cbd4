"""
Run segmentation and tracking over a recording, faster than real time.

OUT is a new recording with the inputs, detections, instance masks and tracks, and the same bytes
for the same input and settings on every run. What cannot be used is left out, and named: exit
code 1.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import sys

from .progress import Progress
from ..errors import SettingsError
from ..recordings.parameters import read_settings
from ..recordings.processing import Options, process

_TOPICS = ('image', 'mask')
LEFT_OUT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('source', metavar='IN', type=Path, help='recording (rosbag2)')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the new recording')
    parser.add_argument('--params', metavar='FILE', type=Path, action='append', default=[],
                        help='ROS parameter file, such as config/pipeline.yaml; may be given '
                             'again, later ones win')
    parser.add_argument('--set', metavar='NAME=VALUE', action='append', default=[],
                        help='one parameter; may be given again')
    parser.add_argument('--topics', metavar='image=TOPIC mask=TOPIC', nargs='+', default=[],
                        help='topics with other names than camera/image_raw, '
                             'camera/semantic_mask; image=none: masks alone')
    parser.add_argument('--workers', metavar='N', type=int, default=os.cpu_count() or 1,
                        help='processes beside this one; results do not depend on it '
                             '(default: %(default)s)')
    parser.add_argument('--results-only', action='store_true',
                        help='leave the recorded messages out of OUT')
    parser.add_argument('--overlays', action='store_true', help='write overlay/image too')
    parser.add_argument('--csv', metavar='FILE', type=Path,
                        help='a line per instance, with x, y and speed on the floor where the '
                             'camera is calibrated and its pose is known')
    parser.add_argument('--coco', metavar='FILE', type=Path,
                        help='COCO results with run-length masks')
    parser.add_argument('--scene', metavar='FILE', type=Path, action='append', default=[],
                        help='ROS parameter file with selections of tracks, such as '
                             'config/scene.yaml')
    parser.add_argument('--events', metavar='FILE', type=Path,
                        help='CSV with a line per event of the selections')
    parser.add_argument('--mp4', metavar='FILE', type=Path, help='video of the overlays')


def run(options: argparse.Namespace) -> int:
    """Process a recording."""
    topics = {}
    for pair in options.topics:
        name, equals, topic = pair.partition('=')
        if not equals or name not in _TOPICS:
            raise SettingsError(f'--topics {pair}: expected image=TOPIC or mask=TOPIC')
        topics[name] = topic
    if options.workers < 0:
        raise SettingsError(f'--workers: expected an integer from 0, got {options.workers}')
    settings = read_settings([*options.params, *options.scene], options.set, (
        'instance_segmentation_node', 'tracker_node', 'overlay_node', 'ground_node',
        'scene_node', 'camera_node'))
    if options.events and not settings['scene_node'].named:
        raise SettingsError('--events: expected selections, got none; --scene FILE names them')
    camera = settings['camera_node']
    with Progress('frames') as progress:
        summary = process(options.source, options.out, Options(
            settings['instance_segmentation_node'], settings['tracker_node'],
            settings['overlay_node'], settings['ground_node'], workers=options.workers,
            results_only=options.results_only, overlays=options.overlays, csv=options.csv,
            coco=options.coco, mp4=options.mp4, events=options.events,
            scene=settings['scene_node'],
            **{'image': camera.recorded_image, 'mask': camera.recorded_mask, **topics},
            reorder_window=camera.reorder_window, labels_file=camera.labels_file), progress)
    print(f'{options.out}: {summary.frames} frames, {summary.instances} instances'
          f'{" of the network" if summary.from_network else ""}, '
          f'{summary.tracks} tracks'
          + (f', {summary.overlays} overlays' if options.overlays or options.mp4 else ''))
    for note in summary.notes:
        print(f'instseg: {note}', file=sys.stderr)
    return 0 if summary.complete else LEFT_OUT
