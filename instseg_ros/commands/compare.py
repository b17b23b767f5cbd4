"""
Show how two processed recordings of the same masks differ: what a change of parameters did.

Prints what differs in all and the frames that differ most, which --pictures draws side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from ..errors import RecordingError, SettingsError
from ..messages.stamps import seconds, stamp_ns
from ..messages.topics import IMAGE as FRAMES
from ..recordings.bag import Bag, COMPRESSED, IMAGE
from ..recordings.comparison import compare, Difference, draw, same_tracks
from ..recordings.parameters import recorded_parameters
from ..recordings.results import read_results, Result
from ..recordings.scene import events_compared, read_events
from ..recordings.writer import aside

_OF_RESULTS = ('instance_segmentation_node', 'tracker_node', 'scene_node')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('a', metavar='A', type=Path, help='processed recording')
    parser.add_argument('b', metavar='B', type=Path, help='another one of the same masks')
    parser.add_argument('--pictures', metavar='DIR', type=Path,
                        help='draw the worst frames into a new folder')
    parser.add_argument('--worst', metavar='N', type=int, default=5,
                        help='frames that are shown (default: %(default)s)')
    parser.add_argument('--image', metavar='TOPIC', default=FRAMES,
                        help='frames to draw over (default: %(default)s)')


def run(options: argparse.Namespace) -> int:
    """Compare two recordings."""
    if options.worst < 0:
        raise SettingsError(f'--worst: expected an integer from 0, got {options.worst}')
    with Bag(options.a) as a, Bag(options.b) as b:
        differences = list(compare(read_results(a), read_results(b)))
        same = same_tracks(differences)
        for line in _parameters(a, b):
            print(line)
        for line in _in_all(differences, same):
            print(line)
        for line in events_compared(list(read_events(a)), list(read_events(b)), same):
            print(line)
        worst = _worst(differences, same, options.worst)
        for difference in worst:
            print(_words(difference, same))
        if options.pictures and worst:
            _draw(a, b, worst, same, options)
            print(f'{options.pictures}: {len(worst)} pictures; A left, B right, white outlines '
                  'around what differs')
    return 0


def _badness(difference: Difference, same: dict[str, str]) -> tuple[int, int]:
    """Return what makes a frame worse than another: objects first, then pixels."""
    return sum(difference.only) + len(difference.other_ids(same)), difference.pixels


def _worst(differences: Sequence[Difference], same: dict[str, str], count: int
           ) -> list[Difference]:
    """Return the worst frames, not two of the same second: neighbours look alike."""
    worst: list[Difference] = []
    for found in sorted(differences, key=lambda d: _badness(d, same), reverse=True):
        if _badness(found, same) == (0, 0) or len(worst) == count:
            break
        if all(abs(found.stamp_ns - d.stamp_ns) >= 10**9 for d in worst):
            worst.append(found)
    return worst


def _parameters(a: Bag, b: Bag) -> list[str]:
    """Say in which parameters of the results two recordings differ."""
    told = [recorded_parameters(bag) for bag in (a, b)]
    flat: list[dict[str, Any]] = [
        {f'{node}.{name}': value for node in _OF_RESULTS
         for name, value in noted.get(node, {}).items()} for noted in told]
    names = sorted(n for n in {*flat[0], *flat[1]} if flat[0].get(n) != flat[1].get(n))
    return [f'{n}: {flat[0].get(n, "not told")} in A, {flat[1].get(n, "not told")} in B'
            for n in names]


def _in_all(differences: Sequence[Difference], same: dict[str, str]) -> list[str]:
    total = [sum(d.counts[side] or 0 for d in differences) for side in (0, 1)]
    both = [d for d in differences if None not in d.counts]
    tracks = [{pair[side] for d in differences for pair in d.ids if pair[side]}
              for side in (0, 1)]
    lines = [
        f'frames: {len(both)} in both, {sum(d.counts[1] is None for d in differences)} only in A, '
        f'{sum(d.counts[0] is None for d in differences)} only in B',
        f'instances: {total[0]} in A, {total[1]} in B; {sum(d.only[0] for d in both)} of A and '
        f'{sum(d.only[1] for d in both)} of B have no partner',
        f'areas: {sum(len(d.areas) for d in both)} differ; {sum(d.pixels for d in both)} pixels '
        'belong to other instances',
        f'ids: {sum(len(d.other_ids(same)) for d in both)} differ; {len(tracks[0])} tracks in A, '
        f'{len(tracks[1])} in B']
    alike = sum(_badness(d, same) == (0, 0) for d in differences)
    return [*lines, f'{alike} of {len(differences)} frames are the same']


def _words(difference: Difference, same: dict[str, str]) -> str:
    counts = ' and '.join(
        f'no frame in {side}' if n is None else f'{n} instances in {side}'
        for n, side in zip(difference.counts, 'AB', strict=True))
    words = [f'{counts} ({difference.only[0]} and {difference.only[1]} without partner)',
             f'{difference.pixels} pixels']
    if difference.areas:
        words.append('areas ' + ', '.join(f'{a}/{b}' for a, b in difference.areas))
    if ids := difference.other_ids(same):
        words.append('ids ' + ', '.join(f'{a or "none"}/{b or "none"}' for a, b in ids))
    return f'{seconds(difference.stamp_ns)}: ' + '; '.join(words)


def _draw(a: Bag, b: Bag, worst: Sequence[Difference], same: dict[str, str],
          options: argparse.Namespace) -> None:
    """Draw frames into a new folder, worst first."""
    wanted = {d.stamp_ns for d in worst}
    results = [{r.stamp_ns: r for r in read_results(bag) if r.stamp_ns in wanted}
               for bag in (a, b)]
    frames = _frames(a, options.image, wanted) or _frames(b, options.image, wanted)
    names = a.class_names() or b.class_names()
    with aside(options.pictures) as folder:
        folder.mkdir()
        for place, difference in enumerate(worst, 1):
            sides: list[Result | None] = [r.get(difference.stamp_ns) for r in results]
            titles = tuple(
                f'{side}: {path.name}, {seconds(difference.stamp_ns)}, '
                + ('no frame' if result is None else f'{len(result.instances)} instances')
                for side, path, result in zip('AB', (a.path, b.path), sides, strict=True))
            picture = draw(frames.get(difference.stamp_ns), sides[0], sides[1], same, names,
                           (titles[0], titles[1]))
            name = f'{place:02d}_{seconds(difference.stamp_ns).replace(" ", "")}.png'
            if not cv2.imwrite(str(folder / name), picture):
                raise RecordingError(f'{options.pictures}: {name} cannot be written')


def _frames(bag: Bag, image: str, wanted: set[int]) -> dict[int, Any]:
    """Return the frames of some stamps; none when they were not recorded."""
    found = {}
    if bag.find(image):
        topic = bag.need(image, IMAGE, COMPRESSED)
        for name, time_ns, data in bag.messages([topic.name]):
            message = bag.decode(name, time_ns, data)
            if stamp_ns(message) in wanted:
                found[stamp_ns(message)] = bag.image(name, time_ns, message, 'bgr8')
    return found
