"""
Say what is in a recording, and what it lacks for this pipeline.

Exit code 1 when something of it cannot be processed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
import time

import numpy as np

from ..cameras.camera import CameraSettings
from ..errors import MessageError, RecordingError
from ..messages.stamps import StampPairing
from ..messages.topics import (CAMERA_INFO, DETECTIONS, IMAGE as FRAMES, INSTANCE_MASK,
                               LABEL_INFO, MASK, NETWORK_INSTANCES, NETWORK_MASK, OVERLAY, TRACKS)
from ..recordings.bag import Bag, COMPRESSED, IMAGE, LeftOut, Topic
from ..recordings.frames import (first_size, network_topics, recorded_instances, recorded_mask,
                                 robot_of)
from ..recordings.timeline import Item, MaskTimeline, Timeline

_TOLERANCE_NS = round(1e9 * CameraSettings.stamp_tolerance)
_WINDOW_NS = round(1e9 * CameraSettings.reorder_window)


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
        report = _Report(bag)
        for line in (*_contents(bag), '', *report.fitness(options.image, options.mask)):
            print(line)
    return 0 if report.fit and not bag.incomplete else 1


def _contents(bag: Bag) -> Iterator[str]:
    size = sum(f.path.stat().st_size for f in bag.files)
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


class _Report:
    """Says what the pipeline can do with a recording; ``fit`` when that is all of it."""

    def __init__(self, bag: Bag) -> None:
        self._bag = bag
        self.fit = True

    def _unfit(self, line: str) -> str:
        self.fit = False
        return line

    def fitness(self, image: str, mask: str) -> Iterator[str]:
        """Yield a sentence for each thing."""
        bag = self._bag
        try:
            masks = bag.need(mask, IMAGE, COMPRESSED)
        except RecordingError as error:
            yield self._unfit(f'masks: missing. {error}')
            yield 'Without masks nothing can be processed.'
            yield from bag.notes
            return
        try:
            found = bag.find(image)
            frames = bag.need(found.name, IMAGE, COMPRESSED) if found else None
        except RecordingError as error:
            yield self._unfit(f'frames: not usable. {error}')
            frames = None
        yield from self._check(masks, frames)
        if not frames:
            alike = [t.name for t in bag.topics.values() if t.is_image and t is not masks]
            yield (f'frames: missing ({image}): results can be made, overlays cannot'
                   + (f'; other images are {", ".join(alike)}' if alike else ''))
        try:
            if not bag.class_names(masks.name):
                yield (f'names: missing ({LABEL_INFO}): classes are written as numbers, unless '
                       'labels_file names a file of them')
        except RecordingError as error:
            yield f'names: not usable. {error}'
        if bag.find(CAMERA_INFO) is None:
            yield (f'calibration: missing ({CAMERA_INFO}): not needed here, but by whoever '
                   'measures in space')
        results = [t for t in (DETECTIONS, INSTANCE_MASK, TRACKS, OVERLAY) if bag.find(t)]
        yield ('results: ' + (', '.join(results) + ' are in it' if results else
                              'none yet; `instseg process` makes them'))
        for note in bag.notes:
            yield f'files: {note}'

    def _check(self, masks: Topic, frames: Topic | None) -> Iterator[str]:
        """Go through all masks, and the stamps of all frames."""
        bag, left_out = self._bag, LeftOut()
        network = network_topics(bag, masks)
        mask_line = MaskTimeline(masks.name, tuple(t.name for t in network or ()), _WINDOW_NS,
                                 left_out)
        lines: dict[str, MaskTimeline | Timeline] = dict.fromkeys(mask_line.topics, mask_line)
        if frames:
            lines[frames.name] = Timeline(frames.name, _WINDOW_NS, left_out)
        pairing = StampPairing(2, _TOLERANCE_NS)
        seen = _Masks(masks, network[0].msgtype if network else '')
        pairs: list[tuple[int, list[Item | None]]] = []

        def settle(items: list[Item]) -> None:
            for item in items:
                if item.topic == masks.name:
                    seen.add(item, left_out)
                pairs.extend(pairing.add(int(item.topic == masks.name), item.stamp_ns,
                                         Item(item.topic, 0, 0, item.stamp_ns, b'')))

        for topic, time_ns, data in bag.messages(lines):
            line = lines[topic]
            settle(line.add(topic, time_ns, data) if isinstance(line, MaskTimeline) else
                   line.add(time_ns, data))
        for line in dict.fromkeys(lines.values()):
            settle(line.flush())
        pairs += pairing.flush()
        if not seen.count:
            yield self._unfit(f'masks: {masks.name} has no masks that can be used: nothing can '
                              'be processed')
        else:
            yield from seen.words(bag.class_names(masks.name))
            yield from self._instances(masks, seen)
        for line in dict.fromkeys(lines.values()):
            for note in line.notes():
                yield f'stamps: {note}'
        for sentence in left_out.lines():
            yield self._unfit(f'damaged: {sentence}')
        if frames:
            yield from self._frames(frames, seen, [p for _, p in pairs if p[1] is not None])

    def _instances(self, masks: Topic, seen: _Masks) -> Iterator[str]:
        """Say what there is of instances that the network gave by itself."""
        if not seen.network:
            alone = [t for t in (NETWORK_MASK, NETWORK_INSTANCES)
                     if (found := self._bag.find(robot_of(masks) + t)) and found.count]
            if alone:
                yield (f'instances: {alone[0]} cannot be used without the other one of '
                       f'{NETWORK_MASK} and {NETWORK_INSTANCES}: masks are split')
            return
        yield (f'instances: {NETWORK_INSTANCES}, {seen.instances} that the network gave by itself '
               f'with {seen.answered} of {seen.count} masks; `instseg process` takes these, and '
               'with --set instances_from=mask splits the masks')
        if seen.answered < seen.count:
            yield self._unfit(f'instances: {seen.count - seen.answered} masks have none of the '
                              'same stamp: they can only be split')

    def _frames(self, frames: Topic, seen: _Masks, pairs: list[list[Item | None]]
                ) -> Iterator[str]:
        apart = [abs(f.stamp_ns - m.stamp_ns) for f, m in pairs if f and m]
        without = len(pairs) - len(apart)
        yield f'frames: {frames.name}; ' + (
            f'{without} of {len(pairs)} masks have no frame within {_TOLERANCE_NS / 1e9:g} s of '
            'their stamp (stamp_tolerance)' if without else
            'every mask has the frame of the same stamp' if not any(apart) else
            f'every mask has a frame, up to {max(apart) / 1e6:.1f} ms off')
        size = first_size(self._bag, frames)
        if size is None:
            yield self._unfit(f'frames: {frames.name}: none can be decoded')
        elif seen.sizes - {size}:
            there = ', '.join(f'{w}x{h}' for w, h in sorted(seen.sizes))
            yield (f'sizes: frames are {size[0]}x{size[1]}, masks {there}: masks are registered '
                   'to the frame, as if both showed the same')


class _Masks:
    """What the masks of a recording show."""

    def __init__(self, topic: Topic, network: str) -> None:
        self._topic = topic
        self.network = network  # type of the network's own instance masks; '' without
        self.answered = self.instances = 0
        self.count = 0
        self.sizes: set[tuple[int, int]] = set()
        self._first: list[int] = []
        self._jpegs = 0
        self._invented: set[int] = set()

    def add(self, item: Item, left_out: LeftOut) -> None:
        """Look at a mask."""
        try:
            mask = recorded_mask(self._topic.msgtype, item, None)
            if item.network:
                self.instances += len(recorded_instances(self.network, *item.network)[1])
                self.answered += 1
        except MessageError as error:
            left_out.add(item.topic, item.index, item.time_ns, str(error))
            return
        if not self.count:
            self._first = [c for c in np.unique(mask.ids).tolist() if c != 255]
        self.count += 1
        self.sizes.add((mask.ids.shape[1], mask.ids.shape[0]))
        if mask.invented is not None:
            self._jpegs += 1
            self._invented |= mask.invented

    def words(self, names: dict[int, str]) -> Iterator[str]:
        """Yield what was seen."""
        shown = [names.get(c, f'class {c}') for c in self._first]
        yield (f'masks: {self._topic.name}, {self.count} of '
               + ', '.join(f'{w}x{h}' for w, h in sorted(self.sizes))
               + f' pixels; the first one shows {_some(shown) or "nothing"}')
        if self._jpegs:
            yield (f'lossy: {self._jpegs} masks are JPEG, which invented {len(self._invented)} '
                   'ids at borders; record masks as PNG or raw')


def _some(words: list[str]) -> str:
    return ', '.join(words[:12]) + (f' and {len(words) - 12} more' if len(words) > 12 else '')
