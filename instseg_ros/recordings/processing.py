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
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
import signal
import statistics
from typing import Any, TypeVar

import cv2
import numpy as np

from .bag import Bag, COMPRESSED, IMAGE, LeftOut, Topic
from .exports import CocoExport, CsvExport, Export, VideoExport
from .frames import (ARRAY, describe, Described, detections, draw_frame, Drawn, first_size,
                     network_topics, Packed, robot_of, Split, split_masks)
from .ground import GroundStage, Placed, TYPES as GROUND_TYPES
from .parameters import note_parameters, recorded_parameters
from .scene import EventTable, Happened, SceneStage
from .timeline import Item, MaskTimeline, Timeline
from .writer import aside, BagWriter, offered_qos
from ..cameras import CameraSettings
from ..cameras.networks import load_labels
from ..core import Instances, SegmentationSettings, Segmenter, Tracker, TrackingSettings
from ..core.class_names import VOC_NAMES
from ..core.drawing import OverlaySettings
from ..core.ground import GroundSettings
from ..core.scene import SceneSettings
from ..errors import RecordingError
from ..messages import topics
from ..messages.detections import id_texts
from ..messages.scene import is_latched
from ..messages.stamps import StampPairing
from ..messages.topics import DETECTIONS, INSTANCE_MASK, OVERLAY, TRACKS

NO_FRAMES = 'none'  # image topic of those who want none
_OVERTAKEN_NS = 10 * 10**9  # a clock that goes back farther was set
_LOOKED_AT = 200  # masks that tell the rate of a video
# Masks that go to a worker together, unless what lies between them is larger.
_TOGETHER, _TOGETHER_BYTES = 8, 1 << 22
_ITEMS = 6  # that are written of a frame, or so
_HELD_BYTES = 1 << 26  # of messages that wait for what is written before them
_T = TypeVar('_T')
_Event = tuple[str, int, bytes] | Item  # what is copied, and what is processed
_Batch = tuple[list[_Event], Future[list[Split | str]]]


@dataclass(frozen=True)
class Options:
    """
    What to do with a recording.

    Attributes
    ----------
    segmentation, tracking, overlay, ground : Settings
        Settings of the stages.
    image, mask : str
        Topics, as :meth:`Bag.find` takes them; :data:`NO_FRAMES` for no frames.
    reorder_window : float
        By how much messages may overtake each other, in seconds.
    labels_file : str
        Names of the classes; '' for those that were recorded.
    workers : int
        Processes beside this one; 0 does everything here. Results are the same.
    results_only : bool
        Leave the recorded messages out of the new recording.
    overlays : bool
        Write overlays too.
    csv, coco, mp4, events : Path or None
        Exports.
    scene : SceneSettings
        Selections of tracks; none by default.

    """

    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    overlay: OverlaySettings = field(default_factory=OverlaySettings)
    ground: GroundSettings = field(default_factory=GroundSettings)
    image: str = topics.IMAGE
    mask: str = topics.MASK
    reorder_window: float = CameraSettings.reorder_window
    labels_file: str = ''
    workers: int = 0
    results_only: bool = False
    overlays: bool = False
    csv: Path | None = None
    coco: Path | None = None
    mp4: Path | None = None
    events: Path | None = None
    scene: SceneSettings = field(default_factory=SceneSettings)


@dataclass(frozen=True)
class Summary:
    """
    What came of a recording.

    ``notes`` say what was odd, ``complete`` if nothing is missing, ``from_network`` whether the
    instances are those that the network gave by itself.
    """

    frames: int
    instances: int
    tracks: int
    overlays: int
    notes: tuple[str, ...]
    complete: bool
    from_network: bool


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
        unknown = run.declare(writer)
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
        if options.events:
            run.table = EventTable(finally_named.enter_context(aside(options.events)), run.names)
            open_files.callback(run.table.close)
        try:
            for item in open_files.enter_context(closing(run.items())):
                run.write(item, writer, exports, video)
        except BrokenProcessPool as error:
            raise RecordingError(f'{source}: a worker was ended from outside (out of memory?); '
                                 'fewer --workers need less') from error
        if not run.frames:
            raise RecordingError(f'{source}: expected masks, got none that can be used; '
                                 + '; '.join(run.left_out.lines()))
        writer.close()
        notes = [f'left out, since nobody here knows its type: {name}' for name in unknown]
        return Summary(run.frames, run.instances, len(run.tracks), run.overlays,
                       (*run.notes(), *notes), not (unknown or run.left_out or bag.incomplete),
                       run.network is not None)


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
    placed: Placed | None
    happened: Happened | None


@dataclass(frozen=True)
class _Overlay:
    time_ns: int
    frame: Item
    drawn: Future[Drawn | str]


_Item = tuple[str, int, bytes] | _Frame | _Overlay


class _Run:
    """One pass over a recording."""

    def __init__(self, bag: Bag, options: Options, progress: Callable[[int, int], None]) -> None:
        self._bag = bag
        self._options = options
        self._progress = progress
        self._mask = bag.need(options.mask, IMAGE, COMPRESSED)
        if not self._mask.count:
            raise RecordingError(f'{bag.path}: {self._mask.name}: expected masks, got none')
        self.left_out = LeftOut()
        self._drawing = options.overlays or options.mp4 is not None
        self._image = self._find_frames()
        self._size = first_size(bag, self._image) if self._image else None
        self.network = self._find_instances()
        self.names = (load_labels(options.labels_file, self.network is not None)
                      or bag.class_names(self._mask.name))
        self._front = robot_of(self._mask)
        self._ground = GroundStage(bag, options.ground, self._front, self.names)
        self._scene = SceneStage(options.scene, self.names) if options.scene.named else None
        self._types = {**(GROUND_TYPES if self._ground.active else {}),
                       **(self._scene.types if self._scene else {})}
        self._outputs = {own: self._front + own for own in (
            DETECTIONS, INSTANCE_MASK + '/compressed', TRACKS, OVERLAY + '/compressed',
            *self._types)}
        self._copied: list[str] = []
        self._segmenter = Segmenter(options.segmentation, self.names or VOC_NAMES)
        self._tracker = Tracker(options.tracking)
        self._tracker.follow(options.segmentation)
        window_ns = round(1e9 * options.reorder_window)
        self._masks = MaskTimeline(
            self._mask.name, tuple(topic.name for topic in self.network or ()), window_ns,
            self.left_out)
        self._frames = (Timeline(self._image.name, window_ns, self.left_out) if self._image
                        else None)
        self._pairing = StampPairing(2, round(1e9 * options.overlay.stamp_tolerance))
        self.table: EventTable | None = None
        self.overlays = self._paired = self._jpegs = self._apart_ns = 0
        self._invented: set[int] = set()
        self._time_ns = 0
        self.frames = self.instances = 0
        self.tracks: set[int] = set()

    def _find_frames(self) -> Topic | None:
        """Return the topic of the frames; needed where overlays are drawn, or it was named."""
        name = self._options.image
        if name.strip('/') == NO_FRAMES:
            if self._drawing:
                raise RecordingError('image=none: overlays are drawn into frames; leave '
                                     '--overlays and --mp4 out, or name the frames')
            return None
        if not self._drawing and name == topics.IMAGE and not self._bag.find(name):
            return None
        return self._bag.need(name, IMAGE, COMPRESSED)

    def _find_instances(self) -> tuple[Topic, Topic] | None:
        """Return the topics of the network's own instances, where those count."""
        wanted = self._options.segmentation.instances_from
        found = network_topics(self._bag, self._mask) if wanted != 'mask' else None
        if wanted == 'network' and found is None:
            raise RecordingError(
                f'{self._bag.path}: instances_from=network: expected {topics.NETWORK_MASK} and '
                f'{topics.NETWORK_INSTANCES} beside {self._mask.name}, got none: the network gave '
                'class masks alone; leave it at auto, or set it to mask')
        return found

    @property
    def rate(self) -> float:
        """Frames per second of a video: the usual rate, whatever the clock did between."""
        line, stamps = Timeline(self._mask.name, 0, LeftOut()), []
        for _, time_ns, data in islice(self._bag.messages([self._mask.name]), _LOOKED_AT):
            stamps += [item.stamp_ns for item in line.add(time_ns, data)]
        stamps += [item.stamp_ns for item in line.flush()]
        steps = [b - a for a, b in zip(stamps, stamps[1:], strict=False) if b > a]
        return min(1e9 / statistics.median(steps), 1000.0) if steps else 1.0

    def notes(self) -> list[str]:
        """Return what was odd, when all is done."""
        notes = list(self._bag.notes)
        for line in (self._masks, self._frames):
            notes += line.notes() if line else []
        if self._jpegs:
            notes.append(f'{self._mask.name}: {self._jpegs} masks are JPEG, which is lossy: it '
                         f'invented {len(self._invented)} ids at borders; record masks as '
                         'PNG or raw')
        without = self.frames - self._paired
        if self._drawing and without:
            notes.append(
                f'overlays: {without} of {self.frames} masks have no frame within '
                f'{self._options.overlay.stamp_tolerance:g} s; --set stamp_tolerance=SECONDS '
                'allows more')
        if self._apart_ns:
            notes.append(f'overlays: the stamps of frames and masks are up to '
                         f'{self._apart_ns / 1e6:.1f} ms apart; the nearest were taken')
        return notes + self._ground.lines() + self.left_out.lines()

    def declare(self, writer: BagWriter) -> list[str]:
        """Declare the topics of the new recording; returns those that cannot be copied."""
        note_parameters(writer, {
            **recorded_parameters(self._bag),
            'instance_segmentation_node': asdict(self._options.segmentation),
            'tracker_node': asdict(self._options.tracking),
            'overlay_node': asdict(self._options.overlay),
            **({'ground_node': asdict(self._options.ground)} if self._ground.active else {}),
            **({'scene_node': self._options.scene.values()} if self._scene else {})})
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
                writer.add_topic(name, self._types.get(own) or (
                    COMPRESSED if own.endswith('/compressed') else ARRAY),
                    (offered_qos(latched=True),) if is_latched(own) else None)
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
            for name, message in (*(item.placed.messages if item.placed else ()),
                                  *(item.happened.messages if item.happened else ())):
                writer.write(self._outputs[name], item.time_ns, message)
            for export in exports:
                export.add(item.number, item.stamp_ns, item.instances, item.ids, described.runs,
                           item.placed.floor if item.placed else None)
            if self.table and item.happened:
                self.table.add(item.stamp_ns, item.happened.events)
            self._progress(item.number + 1, self._mask.count)
        elif isinstance(item, _Overlay):
            drawn = item.drawn.result()
            if isinstance(drawn, str):
                self.left_out.add(item.frame.topic, item.frame.index, item.frame.time_ns, drawn)
                return
            self.overlays += 1
            if self._options.overlays:
                writer.write(self._outputs[OVERLAY + '/compressed'], item.time_ns, drawn.message)
            if video and drawn.picture is not None:
                video.add(drawn.picture)
        else:
            writer.write(*item)

    def _read(self, workers: Executor) -> Iterator[_Batch]:
        """Yield what was recorded, with the future of the instances of its masks."""
        wanted = {*self._masks.topics, *self._copied}
        frames = self._frames if self._drawing else None
        if self._image and frames:
            wanted.add(self._image.name)
        events: list[_Event] = []
        masks: list[Item] = []
        size = 0
        for topic, time_ns, data in self._bag.messages(wanted):
            size += len(data)
            if topic in self._copied:
                events.append((topic, time_ns, data))
            if topic in self._masks.topics:
                ready = self._masks.add(topic, time_ns, data)
                events += ready
                masks += ready
            elif self._image and topic == self._image.name and frames:
                events += frames.add(time_ns, data)
            if len(masks) >= _TOGETHER or size > _TOGETHER_BYTES:
                yield events, self._split(masks, workers)
                events, masks, size = [], [], 0
        ready = self._masks.flush()
        yield ([*events, *ready, *(frames.flush() if frames else ())],
               self._split([*masks, *ready], workers))

    def _split(self, masks: list[Item], workers: Executor) -> Future[list[Split | str]]:
        return workers.submit(split_masks, self._mask.msgtype, masks, self._options.segmentation,
                              self.names or VOC_NAMES, self._size, self._options.coco is not None,
                              self.network[0].msgtype if self.network else '')

    def _track(self, batches: Iterable[_Batch], workers: Executor) -> Iterator[_Item]:
        """Follow the instances from frame to frame; the one place where order matters."""
        for events, future in batches:
            splits = iter(future.result())
            for event in events:
                if not isinstance(event, Item):
                    yield event
                elif event.topic == self._mask.name:
                    split = next(splits)
                    if isinstance(split, str):
                        self.left_out.add(event.topic, event.index, event.time_ns, split)
                        continue
                    if split.invented is not None:
                        self._jpegs += 1
                        self._invented |= split.invented
                    frame = self._follow(split, event, workers)
                    yield replace(frame, instances=_without_labels(frame.instances))
                    if self._drawing:
                        yield from self._draw(self._pairing.add(1, event.stamp_ns, frame), workers)
                else:
                    yield from self._draw(self._pairing.add(0, event.stamp_ns, event), workers)
        yield from self._draw(self._pairing.flush(), workers)

    def _follow(self, split: Split, item: Item, workers: Executor) -> _Frame:
        """Give the instances of a frame what only the frames before it tell."""
        stamp_ns = item.stamp_ns
        # Results are in the order of their stamps, whenever their masks were recorded.
        late = 0 < self._time_ns - item.time_ns < _OVERTAKEN_NS
        self._time_ns = time_ns = self._time_ns if late else item.time_ns
        alone = split.packed.unpack()
        instances = self._segmenter.remember(alone, stamp_ns)
        described: Described | Future[Described] = split.described
        if instances is not alone:
            described = workers.submit(describe, Packed(instances), split.header,
                                       self._options.coco is not None)
        numbers = self._tracker.update(instances, stamp_ns)
        ids = id_texts(numbers)
        self.instances += len(numbers)
        self.tracks.update(numbers[numbers > 0].tolist())
        self.frames += 1
        placed = (self._ground.place(instances, numbers, stamp_ns, split.header[2])
                  if self._ground.active else None)
        happened = (self._scene.apply(instances, numbers, stamp_ns, split.header[2],
                                      placed.floor[:, :2] if placed else None)
                    if self._scene else None)
        return _Frame(time_ns, self.frames - 1, stamp_ns, instances, ids, described,
                      detections(instances, split.header, ids), placed, happened)

    def _draw(self, pairs: Iterable[tuple[int, list[Any]]], workers: Executor
              ) -> Iterator[_Overlay]:
        """Yield the future of the overlay of each frame that has a mask."""
        for _, (frame, result) in pairs:
            if frame is not None and result is not None:
                assert self._image
                self._paired += 1
                self._apart_ns = max(self._apart_ns, abs(frame.stamp_ns - result.stamp_ns))
                yield _Overlay(result.time_ns, frame, workers.submit(
                    draw_frame, self._image.msgtype, frame, result.stamp_ns,
                    Packed(result.instances), result.ids, self.names, self._options.overlay,
                    self._options.mp4 is not None, self._options.scene,
                    result.happened.selected if result.happened else {}))


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
