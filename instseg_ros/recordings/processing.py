"""
Processing of recordings: every frame, in order, as fast as the machine can.

Workers split masks and draw overlays; tracking and writing stay in one process, in the order of
the recording. What is written depends on the recording and the settings alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
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
import numpy.typing as npt

from .bag import (Bag, COMPRESSED, decode_message, IMAGE, pixels, RecordingError, seconds,
                  stamp_ns as stamp_of, Topic)
from .exports import CocoExport, CsvExport, Export, run_lengths, VideoExport
from .writer import aside, BagWriter
from .. import topics
from ..core import (Instances, segment_instances, SegmentationSettings, Tracker,
                    TrackingSettings)
from ..core.drawing import draw_overlay, OverlaySettings
from ..core.images import encode
from ..core.memory import InstanceMemory
from ..interfaces import typestore
from ..interfaces.messages import compressed_format, instances_to_detections
from ..topics import DETECTIONS, INSTANCE_MASK, OVERLAY, TRACKS

PARAMETERS = 'instseg_parameters'  # key of metadata.yaml
_ARRAY = 'vision_msgs/msg/Detection2DArray'
_WAITING = 100  # frames and masks that may wait for each other
_T = TypeVar('_T')


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
            for topic, time_ns, content in open_files.enter_context(
                    closing(run.results(exports))):
                made = content.result() if isinstance(content, Future) else content
                if isinstance(made, _Drawn):
                    if video:
                        video.add(made.picture)
                    made = made.message
                if topic:
                    writer.write(topic, time_ns, made)
        except BrokenProcessPool as error:
            raise RecordingError(f'{source}: a worker was ended from outside (out of memory?); '
                                 'fewer --workers need less') from error
        writer.close()
        return Summary(run.frames, run.instances, len(run.tracks), tuple(left_out))


@dataclass(frozen=True)
class _Mask:
    """A recorded mask on its way to a worker, and what a worker needs to know."""

    path: str
    topic: Topic
    time_ns: int
    data: bytes
    settings: SegmentationSettings


@dataclass(frozen=True)
class _Split:
    """What a worker makes of a mask; labels are as narrow as they can be, to travel fast."""

    header: tuple[int, int, str]  # s, ns, frame_id
    instances: Instances


@dataclass(frozen=True)
class _Drawing:
    """A recorded frame on its way to a worker, with what is to be drawn over it."""

    path: str
    topic: Topic
    time_ns: int
    data: bytes
    instances: Instances
    ids: list[str]
    names: Mapping[int, str]
    settings: OverlaySettings


@dataclass(frozen=True)
class _Drawn:
    message: bytes
    picture: npt.NDArray[np.uint8]


class _Run:
    """One pass over a recording."""

    def __init__(self, bag: Bag, options: Options, progress: Callable[[int, int], None]) -> None:
        self._bag = bag
        self._options = options
        self._progress = progress
        self._mask = bag.need(options.mask, IMAGE, COMPRESSED)
        found = bag.find(options.image)
        self._drawing = options.overlays or options.mp4 is not None
        if self._drawing:
            found = bag.need(options.image, IMAGE, COMPRESSED)
        self._image = bag.need(found.name, IMAGE, COMPRESSED) if found else None
        if not self._mask.count:
            raise RecordingError(f'{bag.path}: {self._mask.name}: expected masks, got none')
        self.names = bag.class_names(self._mask.name)
        self._outputs = self._name_outputs()
        self._copied: list[str] = []
        # Label images are known after the memory only. OpenCV lets other threads run meanwhile,
        # so they need not travel to a worker.
        self._encoders: Executor = ThreadPoolExecutor(1) if options.workers else _Here()
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
                writer.add_topic(name, COMPRESSED if own.endswith('/compressed') else _ARRAY)
        return left_out

    def results(self, exports: Sequence[Export]) -> Generator[tuple[str, int, Any], None, None]:
        """
        Yield topic, time and content of what is to be written, in an order of its own.

        The content is a message, its bytes, or the future of a drawing; a drawing that is wanted
        for a video only has no topic.
        """
        with _executor(self._options.workers) as workers, self._encoders:
            ahead = 3 * max(1, self._options.workers)
            read = _ahead(self._read(workers), ahead)
            yield from _ahead(self._track(read, workers, exports), 3 * ahead)

    def _read(self, workers: Executor) -> Iterator[tuple[str, int, bytes, Future[_Split] | None]]:
        """Yield what was recorded; masks with the future of their instances."""
        wanted = {self._mask.name, *self._copied}
        if self._image:
            wanted.add(self._image.name)
        for topic, time_ns, data in self._bag.messages(wanted):
            split = None
            if topic == self._mask.name:
                split = workers.submit(split_mask, _Mask(
                    str(self._bag.path), self._mask, time_ns, data, self._options.segmentation))
            yield topic, time_ns, data, split

    def _track(self, read: Iterable[tuple[str, int, bytes, Future[_Split] | None]],
               workers: Executor, exports: Sequence[Export]) -> Iterator[tuple[str, int, Any]]:
        """Follow the instances from frame to frame; the one place where order matters."""
        waiting: dict[int, list[Any]] = {}  # frame and result of each stamp
        for topic, time_ns, data, future in read:
            if topic in self._copied:
                yield topic, time_ns, data
            if future is not None:
                split = future.result()
                stamp_ns = split.header[0] * 10**9 + split.header[1]
                self._check_order(stamp_ns, time_ns)
                instances = self._remember(split.instances, stamp_ns)
                ids = self._follow(instances, stamp_ns)
                yield self._outputs[DETECTIONS], time_ns, _detections(
                    instances, split.header, None)
                yield self._outputs[INSTANCE_MASK + '/compressed'], time_ns, self._encoders.submit(
                    _compressed_labels, instances.labels, split.header)
                yield self._outputs[TRACKS], time_ns, _detections(instances, split.header, ids)
                runs = run_lengths(instances) if self._options.coco else []
                for export in exports:
                    export.add(self.frames, stamp_ns, instances, ids, runs)
                self.frames += 1
                self._progress(self.frames, self._mask.count)
                waiting.setdefault(stamp_ns, [None, None])[1] = time_ns, instances, ids
            elif self._image and topic == self._image.name:
                message = self._bag.decode(topic, time_ns, data)
                stamp_ns = stamp_of(message)
                waiting.setdefault(stamp_ns, [None, None])[0] = (
                    time_ns, self._size(message, time_ns), data if self._drawing else b'')
            else:
                continue
            if None not in waiting[stamp_ns]:
                frame, result = waiting.pop(stamp_ns)
                yield from self._draw(frame, result, workers)
            elif len(waiting) > _WAITING:
                del waiting[next(iter(waiting))]

    def _remember(self, instances: Instances, stamp_ns: int) -> Instances:
        """Return what :class:`Segmenter` returns, of which workers did the first half."""
        instances = replace(instances, labels=instances.labels.astype(np.uint16))
        settings = self._options.segmentation
        if not settings.memory:
            return instances
        return self._memory.update(instances, stamp_ns, settings.size_threshold)

    def _follow(self, instances: Instances, stamp_ns: int) -> list[str]:
        """Return the track id of each instance, as messages have it."""
        numbers = self._tracker.update(instances, stamp_ns).tolist()
        self.instances += len(numbers)
        self.tracks.update(n for n in numbers if n)
        return [str(n) if n else '' for n in numbers]

    def _draw(self, frame: tuple[int, tuple[int, int], bytes],
              result: tuple[int, Instances, list[str]], workers: Executor
              ) -> Iterator[tuple[str, int, Any]]:
        """Check that a frame and its mask are of one size; yield the future of their overlay."""
        (time_ns, size, data), (mask_time_ns, instances, ids) = frame, result
        height, width = instances.labels.shape
        if size != (width, height):
            raise RecordingError(
                f'{self._bag.path}: {self._mask.name} at {seconds(mask_time_ns)}: expected a mask '
                f'of {size[0]}x{size[1]} pixels like the frame of the same stamp, got '
                f'{width}x{height}')
        if self._drawing and self._image:
            topic = self._outputs[OVERLAY + '/compressed'] if self._options.overlays else ''
            yield topic, time_ns, workers.submit(draw_frame, _Drawing(
                str(self._bag.path), self._image, time_ns, data, instances, ids, self.names,
                self._options.overlay))

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


def split_mask(job: _Mask) -> _Split:
    """Make instances of one recorded mask; runs in a worker."""
    message = decode_message(job.path, job.topic.name, job.topic.msgtype, job.time_ns, job.data)
    mask = pixels(job.path, job.topic.name, job.time_ns, message, 'mono8')
    instances = segment_instances(mask, job.settings)
    stamp = message.header.stamp
    header = (stamp.sec, stamp.nanosec, message.header.frame_id)
    narrow = np.uint8 if len(instances) < 256 else np.uint16
    return _Split(header, replace(instances, labels=instances.labels.astype(narrow)))


def draw_frame(job: _Drawing) -> _Drawn:
    """Draw the overlay of one recorded frame; runs in a worker."""
    message = decode_message(job.path, job.topic.name, job.topic.msgtype, job.time_ns, job.data)
    frame = pixels(job.path, job.topic.name, job.time_ns, message, 'bgr8')
    drawn = draw_overlay(frame, job.instances, job.ids, job.names, job.settings)
    stamp = message.header.stamp
    header = (stamp.sec, stamp.nanosec, message.header.frame_id)
    return _Drawn(_compressed(encode(drawn, job.settings.jpeg_quality), 'bgr8', True, header),
                  drawn)


def _compressed_labels(labels: npt.NDArray[np.uint16], header: tuple[int, int, str]) -> bytes:
    return _compressed(encode(labels), '16UC1', False, header)


def image_size(data: bytes) -> tuple[int, int] | None:
    """
    Return width and height of a JPEG or PNG from its head, None when it is neither.

    >>> image_size(encode(np.zeros((48, 64), np.uint8)).tobytes())
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


def header_of(stamp_s: int, stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header of rosbags' classes."""
    types = typestore().types
    return types['std_msgs/msg/Header'](
        types['builtin_interfaces/msg/Time'](stamp_s, stamp_ns), frame_id)


def _detections(instances: Instances, header: tuple[int, int, str],
                ids: Sequence[str] | None) -> bytes:
    store = typestore()
    return bytes(store.serialize_cdr(instances_to_detections(
        store.types, instances, header_of(*header), ids), _ARRAY))


def _compressed(data: npt.NDArray[np.uint8], encoding: str, jpeg: bool,
                header: tuple[int, int, str]) -> bytes:
    store = typestore()
    return bytes(store.serialize_cdr(store.types[COMPRESSED](
        header_of(*header), compressed_format(encoding, jpeg), data.ravel()), COMPRESSED))


def _ahead(items: Iterable[_T], count: int) -> Iterator[_T]:
    """Yield items, of which ``count`` more are taken already: their futures run meanwhile."""
    waiting: deque[_T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


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
    # Not forked: OpenCV's threads would be missing in the copies.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), _prepare_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
