"""Say what is in a recording, and what it lacks for this pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
import time

import numpy as np

from ..messages.stamps import seconds, stamp_ns
from ..messages.topics import (CAMERA_INFO, DETECTIONS, IMAGE as FRAMES, INSTANCE_MASK,
                               LABEL_INFO, MASK, OVERLAY, TRACKS)
from ..recordings.bag import Bag, COMPRESSED, IMAGE, pixels, RecordingError

_MANY = 5  # of what is wrong, as many are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', metavar='BAG', type=Path, help='recording (rosbag2)')
    parser.add_argument('--image', metavar='TOPIC', default=FRAMES,
                        help='frames (default: %(default)s)')
    parser.add_argument('--mask', metavar='TOPIC', default=MASK,
                        help='masks (default: %(default)s)')


def run(options: argparse.Namespace) -> int:
    """Describe a recording."""
    with Bag(options.bag) as bag:
        for line in (*_contents(bag), '', *_fitness(bag, options.image, options.mask)):
            print(line)
    return 0


def _contents(bag: Bag) -> Iterator[str]:
    files = [bag.path] if bag.path.is_file() else [
        f for f in bag.path.iterdir() if '.mcap' in f.name or '.db3' in f.name]
    size = sum(f.stat().st_size for f in files)
    duration_s = (bag.end_ns - bag.start_ns) / 1e9
    begin = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(bag.start_ns // 10**9))
    yield f'{bag.path}: {duration_s:.1f} s from {begin} UTC, {size / 1e6:.1f} MB'
    if not bag.finished:
        yield ('It was never ended (killed, the power failed), or still is recorded; what there '
               'is is read. Once nobody writes it, `instseg repair` ends it.')
    width = max((len(t) for t in bag.topics), default=0)
    for name, topic in sorted(bag.topics.items()):
        rate = (topic.count - 1) / duration_s if duration_s and topic.count > 1 else 0.0
        yield (f'  {name:{width}}  {topic.count:7d} messages '
               + (f'{rate:6.1f} Hz' if rate else ' ' * 9) + f'  {topic.msgtype}')


def _fitness(bag: Bag, image: str, mask: str) -> Iterator[str]:
    """Yield what the pipeline can do with a recording, a sentence each."""
    try:
        masks = bag.need(mask, IMAGE, COMPRESSED)
    except RecordingError as error:
        yield f'masks: missing. {error}'
        yield 'Without masks nothing can be processed.'
        return
    try:
        found = bag.find(image)
        frames = bag.need(found.name, IMAGE, COMPRESSED) if found else None
    except RecordingError as error:
        yield f'frames: not usable. {error}'
        frames = None
    try:
        yield from _check(bag, masks.name, frames.name if frames else '')
    except RecordingError as error:
        yield f'damaged: {error}'
    if not frames:
        alike = [t.name for t in bag.topics.values() if t.is_image and t is not masks]
        yield (f'frames: missing ({image}): results can be made, overlays cannot'
               + (f'; other images are {", ".join(alike)}' if alike else ''))
    try:
        if not bag.class_names(masks.name):
            yield f'names: missing ({LABEL_INFO}): classes are written as numbers'
    except RecordingError as error:
        yield f'names: not usable. {error}'
    if bag.find(CAMERA_INFO) is None:
        yield (f'calibration: missing ({CAMERA_INFO}): not needed here, but by whoever measures '
               'in space')
    results = [t for t in (DETECTIONS, INSTANCE_MASK, TRACKS, OVERLAY) if bag.find(t)]
    yield ('results: ' + (', '.join(results) + ' are in it' if results else
                          'none yet; `instseg process` makes them'))


def _check(bag: Bag, masks: str, frames: str) -> Iterator[str]:
    """Go through all masks and frames; pixels are looked at in the first mask only."""
    names = bag.class_names(masks)
    stamps: dict[str, set[int]] = {masks: set(), frames: set()}
    last = 0
    backwards: list[str] = []
    for topic, time_ns, data in bag.messages(stamps):
        message = bag.decode(topic, time_ns, data)
        stamp = stamp_ns(message)
        if topic == masks:
            if not stamps[masks]:
                first = pixels(str(bag.path), topic, time_ns, message, 'mono8')
                classes = [c for c in np.unique(first).tolist() if c != 255]
                words = ', '.join(names.get(c, f'class {c}') for c in classes)
                yield (f'masks: {masks}, {first.shape[1]}x{first.shape[0]} pixels; the first one '
                       f'shows {words or "nothing"}')
            elif stamp <= last:
                backwards.append(seconds(time_ns))
            last = stamp
        stamps[topic].add(stamp)
    if not stamps[masks]:
        yield f'masks: {masks} has no messages: nothing can be processed'
    if backwards:
        yield (f'order: {len(backwards)} masks have a stamp that does not rise (first at '
               f'{", ".join(backwards[:_MANY])}): they cannot be processed')
    if frames:
        without = len(stamps[masks] - stamps[frames])
        yield (f'frames: {frames}; ' + (
            f'{without} of {len(stamps[masks])} masks have no frame of the same stamp' if without
            else 'every mask has the frame of the same stamp'))
