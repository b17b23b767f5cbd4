"""
Processing of recordings: every frame, in order, as fast as the machine can.

Workers split masks and draw overlays; tracking and writing stay in one process, in the order of
the recording. What is written depends on the recording and the settings alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, ExitStack
from dataclasses import asdict, dataclass, field, replace
import json
from multiprocessing import get_context
from pathlib import Path
import signal
import struct
from typing import Any, TypeVar

import cv2
import numpy as np

from .bag import Bag, COMPRESSED, IMAGE, RecordingError, seconds, stamp_ns as stamp_of
from .exports import CocoExport, CsvExport, Export, VideoExport
from .frames import (ARRAY, describe, Described, detections, draw_frame, Drawn, Packed, Recorded,
                     Split, split_masks)
from .writer import aside, BagWriter
from .. import topics
from ..core import Instances, SegmentationSettings, Tracker, TrackingSettings
from ..core.drawing import OverlaySettings
from ..core.occlusion import InstanceMemory
from ..topics import DETECTIONS, INSTANCE_MASK, OVERLAY, TRACKS

PARAMETERS = 'instseg_parameters'  # key of metadata.yaml
_WAITING = 100  # frames and masks that may wait for each other
# Masks that go to a worker together, unless what lies between them is larger.
_TOGETHER, _TOGETHER_BYTES = 8, 1 << 22
_ITEMS = 6  # that are written of a frame, or so
_HELD_BYTES = 1 << 26  # of messages that wait for what is written before them
_T = TypeVar('_T')
_Batch = tuple[list[tuple[str, int, bytes]], Future[list[Split]]]


@dataclass(frozen=True)
class Options:
    """
    What to do with a recording.

    Attributes
    ----------
    segmentation, tracking, overlay : Settings
        Settings of the stages.
    image, mask : str
        Topics, as :meth:`Bag.find` takes them.
    workers : int
        Processes beside this one; 0 does everything here. Results are the same.
    results_only : bool
        Leave the recorded messages out of the new recording.
    overlays : bool
        Write overlays too.
    csv, coco, mp4 : Path or None
        Exports.

    """

    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    overlay: OverlaySettings = field(default_factory=OverlaySettings)
    image: str = topics.IMAGE
    mask: str = topics.MASK
    workers: int = 0
    results_only: bool = False
    overlays: bool = False
    csv: Path | None = None
    coco: Path | None = None
    mp4: Path | None = None


@dataclass(frozen=True)
class Summary:
    """What came of a recording; ``left_out`` names topics that could not be copied."""

    frames: int
    instances: int
    tracks: int
    left_out: tuple[str, ...]


def process(source: Path, out: Path, options: Options,
            progress: Callable[[int, int], None] = lambda done, total: None) -> Summary:
    """
    Process a recording into a new one.

    Parameters
    ----------
    source, out : Path
        The recording, and the folder of the new one. Nothing appears at ``out`` or at the
        exports before all is done.
    options : Options
        What to do.
    progress : callable
        Called with the frames done and the frames in all.

    Returns
    -------
    Summary

    Raises
    ------
    RecordingError
        The recording cannot be processed; the sentence names topic and time.

    """
    with Bag(source) as bag, ExitStack() as finally_named, ExitStack() as open_files:
        run = _Run(bag, options, progress)
        writer = BagWriter(finally_named.enter_context(aside(out)))
        open_files.callback(writer.abort)
        left_out = run.declare(writer)
        exports: list[Export] = []
        video = None
        if options.csv:
            exports.append(CsvExport(finally_named.enter_context(aside(options.csv)), run.names))
        if options.coco:
            exports.append(CocoExport(finally_named.enter_context(aside(options.coco))))
        if options.mp4:
            video = VideoExport(finally_named.enter_context(aside(options.mp4)), run.rate)
            open_files.callback(video.close)
        for export in exports:
            open_files.callback(export.close)
        try:
            for item in open_files.enter_context(closing(run.items())):
                run.write(item, writer, exports, video)
        except BrokenProcessPool as error:
            raise RecordingError(f'{source}: a worker was ended from outside (out of memory?); '
                                 'fewer --workers need less') from error
        writer.close()
        return Summary(run.frames, run.instances, len(run.tracks), tuple(left_out))


@dataclass(frozen=True)
class _Frame:
    """What is known of a mask's frame when it was tracked; ``described`` may still be made."""

    time_ns: int
    number: int
    stamp_ns: int
    instances: Instances
    ids: list[str]
    described: Described | Future[Described]
    tracks: bytes


@dataclass(frozen=True)
class _Overlay:
    time_ns: int
    drawn: Future[Drawn]


_Item = tuple[str, int, bytes] | _Frame | _Overlay


class _Run:
    """One pass over a recording."""

    def __init__(self, bag: Bag, options: Options, progress: Callable[[int, int], None]) -> None:
        self._bag = bag
        self._options = options
        self._progress = progress
        self._mask = bag.need(options.mask, IMAGE, COMPRESSED)
        found = bag.find(options.image)
        self._drawing = options.overlays or options.mp4 is not None
        if self._drawing or options.image != topics.IMAGE:
            found = bag.need(options.image, IMAGE, COMPRESSED)
        self._image = bag.need(found.name, IMAGE, COMPRESSED) if found else None
        if not self._mask.count:
            raise RecordingError(f'{bag.path}: {self._mask.name}: expected masks, got none')
        self.names = bag.class_names(self._mask.name)
        self._outputs = self._name_outputs()
        self._copied: list[str] = []
        self._memory = InstanceMemory()
        self._tracker = Tracker(options.tracking)
        self._tracker.follow(options.segmentation)
        self._last_ns: int | None = None
        self.frames = self.instances = 0
        self.tracks: set[int] = set()
        duration_s = (bag.end_ns - bag.start_ns) / 1e9
        self.rate = (self._mask.count - 1) / duration_s if duration_s else 1.0

    def _name_outputs(self) -> dict[str, str]:
        """Return the topics of the results: below the robot's name, where the mask has one."""
        name = self._mask.name.removesuffix('/compressed')
        robot = name.removesuffix(topics.MASK)
        front = robot if robot != name else '/'
        return {own: front + own for own in (
            DETECTIONS, INSTANCE_MASK + '/compressed', TRACKS, OVERLAY + '/compressed')}

    def declare(self, writer: BagWriter) -> list[str]:
        """Declare the topics of the new recording; returns those that cannot be copied."""
        writer.note(PARAMETERS, json.dumps({
            'instance_segmentation_node': asdict(self._options.segmentation),
            'tracker_node': asdict(self._options.tracking)}))
        left_out = []
        for name in () if self._options.results_only else self._bag.topics:
            if name.removesuffix('/compressed') in {
                    o.removesuffix('/compressed') for o in self._outputs.values()}:
                continue  # results of another time would only confuse
            if writer.copy_topic(self._bag, name):
                self._copied.append(name)
            else:
                left_out.append(name)
        for own, name in self._outputs.items():
            if own != OVERLAY + '/compressed' or self._options.overlays:
                writer.add_topic(name, COMPRESSED if own.endswith('/compressed') else ARRAY)
        return left_out

    def items(self) -> Generator[_Item, None, None]:
        """Yield what is to be written, in an order of its own."""
        with _executor(self._options.workers) as workers:
            ahead = 2 * self._options.workers
            read = _ahead(self._read(workers), ahead)
            # What is still made of tracked frames waits behind the masks that were read ahead.
            yield from _ahead(self._track(read, workers), ahead * _TOGETHER * _ITEMS, _size)

    def write(self, item: _Item, writer: BagWriter, exports: Sequence[Export],
              video: VideoExport | None) -> None:
        """Write an item, when it is made."""
        if isinstance(item, _Frame):
            described = _made(item.described)
            for name, message in ((DETECTIONS, described.detections),
                                  (INSTANCE_MASK + '/compressed', described.mask),
                                  (TRACKS, item.tracks)):
                writer.write(self._outputs[name], item.time_ns, message)
            for export in exports:
                export.add(item.number, item.stamp_ns, item.instances, item.ids, described.runs)
            self._progress(item.number + 1, self._mask.count)
        elif isinstance(item, _Overlay):
            drawn = item.drawn.result()
            if self._options.overlays:
                writer.write(self._outputs[OVERLAY + '/compressed'], item.time_ns, drawn.message)
            if video and drawn.picture is not None:
                video.add(drawn.picture)
        else:
            writer.write(*item)

    def _read(self, workers: Executor) -> Iterator[_Batch]:
        """Yield what was recorded, with the future of the instances of its masks."""
        wanted = {self._mask.name, *self._copied}
        if self._image:
            wanted.add(self._image.name)
        messages: list[tuple[str, int, bytes]] = []
        masks: list[Recorded] = []
        size = 0
        for message in self._bag.messages(wanted):
            topic, time_ns, data = message
            messages.append(message)
            size += len(data)
            if topic == self._mask.name:
                masks.append(Recorded(str(self._bag.path), self._mask, time_ns, data))
            if len(masks) == _TOGETHER or size > _TOGETHER_BYTES:
                yield messages, self._split(masks, workers)
                messages, masks, size = [], [], 0
        yield messages, self._split(masks, workers)

    def _split(self, masks: list[Recorded], workers: Executor) -> Future[list[Split]]:
        return workers.submit(split_masks, masks, self._options.segmentation,
                              self._options.coco is not None)

    def _track(self, batches: Iterable[_Batch], workers: Executor) -> Iterator[_Item]:
        """Follow the instances from frame to frame; the one place where order matters."""
        waiting: dict[int, list[Any]] = {}  # frame and result of each stamp
        for messages, future in batches:
            splits = iter(future.result())
            for topic, time_ns, data in messages:
                if topic in self._copied:
                    yield topic, time_ns, data
                if topic == self._mask.name:
                    frame = self._follow(next(splits), time_ns, workers)
                    yield replace(frame, instances=_without_labels(frame.instances))
                    stamp_ns = frame.stamp_ns
                    if not self._image:
                        continue
                    waiting.setdefault(stamp_ns, [None, None])[1] = frame
                elif self._image and topic == self._image.name:
                    message = self._bag.decode(topic, time_ns, data)
                    stamp_ns = stamp_of(message)
                    waiting.setdefault(stamp_ns, [None, None])[0] = (
                        time_ns, self._size(message, time_ns), data if self._drawing else b'')
                else:
                    continue
                if None not in waiting[stamp_ns]:
                    image, result = waiting.pop(stamp_ns)
                    yield from self._draw(image, result, workers)
                elif len(waiting) > _WAITING:
                    del waiting[next(iter(waiting))]

    def _follow(self, split: Split, time_ns: int, workers: Executor) -> _Frame:
        """Give the instances of a frame what only the frames before it tell."""
        stamp_ns = split.header[0] * 10**9 + split.header[1]
        self._check_order(stamp_ns, time_ns)
        instances = alone = split.packed.unpack()
        settings = self._options.segmentation
        described: Described | Future[Described] = split.described
        if settings.memory:
            # With the worker's half, what :class:`Segmenter` returns.
            instances = self._memory.update(alone, stamp_ns, settings.size_threshold)
        if instances is not alone:
            described = workers.submit(describe, Packed(instances), split.header,
                                       self._options.coco is not None)
        numbers = self._tracker.update(instances, stamp_ns).tolist()
        ids = [str(n) if n else '' for n in numbers]
        self.instances += len(numbers)
        self.tracks.update(n for n in numbers if n)
        self.frames += 1
        return _Frame(time_ns, self.frames - 1, stamp_ns, instances, ids, described,
                      detections(instances, split.header, ids))

    def _draw(self, frame: tuple[int, tuple[int, int], bytes], result: _Frame, workers: Executor
              ) -> Iterator[_Overlay]:
        """Check that a frame and its mask are of one size; yield the future of their overlay."""
        time_ns, size, data = frame
        height, width = result.instances.labels.shape
        if size != (width, height):
            raise RecordingError(
                f'{self._bag.path}: {self._mask.name} at {seconds(result.time_ns)}: expected a '
                f'mask of {size[0]}x{size[1]} pixels like the frame of the same stamp, got '
                f'{width}x{height}')
        if self._drawing and self._image:
            yield _Overlay(time_ns, workers.submit(
                draw_frame, Recorded(str(self._bag.path), self._image, time_ns, data),
                Packed(result.instances), result.ids, self.names, self._options.overlay,
                self._options.mp4 is not None))

    def _check_order(self, stamp_ns: int, time_ns: int) -> None:
        """Refuse stamps that do not rise: tracks would depend on what came first by chance."""
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            raise RecordingError(
                f'{self._bag.path}: {self._mask.name} at {seconds(time_ns)}: expected a stamp '
                f'after {seconds(self._last_ns)}, got {seconds(stamp_ns)}: the masks are out of '
                'order, or of two cameras')
        self._last_ns = stamp_ns

    def _size(self, message: Any, time_ns: int) -> tuple[int, int]:
        """Return width and height of a frame without decoding it."""
        size = ((message.width, message.height) if hasattr(message, 'encoding')
                else image_size(message.data.tobytes()))
        if size is None:
            assert self._image
            raise RecordingError(
                f'{self._bag.path}: {self._image.name} at {seconds(time_ns)}: expected a JPEG or '
                f'PNG, got {len(message.data)} bytes that are neither')
        return size


def image_size(data: bytes) -> tuple[int, int] | None:
    """
    Return width and height of a JPEG or PNG from its head, None when it is neither.

    >>> image_size(cv2.imencode('.png', np.zeros((48, 64)))[1].tobytes())
    (64, 48)
    """
    try:
        if data[:8] == b'\x89PNG\r\n\x1a\n':
            width, height = struct.unpack_from('>II', data, 16)
            return width, height
        offset = 2
        while data[:2] == b'\xff\xd8' and data[offset] == 0xff:
            kind, length = struct.unpack_from('>BH', data, offset + 1)
            # Start of frame: C0 to CF without the tables among them.
            if 0xc0 <= kind <= 0xcf and kind not in (0xc4, 0xc8, 0xcc):
                height, width = struct.unpack_from('>HH', data, offset + 5)
                return width, height
            offset += 2 + length
    except (IndexError, struct.error):
        pass
    return None


def _without_labels(instances: Instances) -> Instances:
    """Return instances that may wait for long: their label image has a shape, and no memory."""
    return replace(instances, labels=np.broadcast_to(np.uint16(0), instances.labels.shape))


def _made(thing: _T | Future[_T]) -> _T:
    return thing.result() if isinstance(thing, Future) else thing


def _ahead(items: Iterable[_T], count: int, size: Callable[[_T], int] = lambda item: 0
           ) -> Iterator[_T]:
    """Yield items, of which ``count`` more are taken already if they fit: they are made then."""
    waiting: deque[_T] = deque()
    held = 0
    for item in items:
        waiting.append(item)
        held += size(item)
        while waiting and (len(waiting) > count or held > _HELD_BYTES):
            held -= size(waiting[0])
            yield waiting.popleft()
    yield from waiting


def _size(item: _Item) -> int:
    """Return the length of a recorded message; what else is written is small."""
    return len(item[2]) if isinstance(item, tuple) else 0


class _Here(Executor):
    """Does everything at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _prepare_worker() -> None:
    """Leave Ctrl-C to the main process, and its core to each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    if workers == 0:
        yield _Here()
        return
    # Not forked from here: OpenCV's threads would be missing in the copies. A server of its own
    # imports what workers need once for all.
    context = get_context('forkserver')
    context.set_forkserver_preload([split_masks.__module__])
    pool = ProcessPoolExecutor(workers, context, _prepare_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
