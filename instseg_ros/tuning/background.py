"""
Processing beside the page: the whole recording, again and again, and the search.

It runs in a process of its own: the page's process never waits for a core's interpreter lock.
What goes through the pipe is small: masks as PNG, label images compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
import os
import signal
import threading
import time
from typing import Any

import cv2

from .source import Frame, Source
from ..core import SegmentationSettings, Segmenter, Tracker, TrackingSettings
from ..core.class_names import VOC_NAMES
from ..errors import CameraError
from ..recordings.comparison import match
from ..recordings.frames import Packed
from ..recordings.marks import Mark
from ..recordings.search import find_settings, Found

_NICE = 10  # the page goes first
_REST_S = 0.15  # without another job, before one begins
_NOT_OFTENER_S = 0.1  # progress of the search


@dataclass(frozen=True)
class Opened:
    """All frames were read, or what keeps the source from being read; names and notes of it."""

    names: Mapping[int, str]
    notes: tuple[str, ...]
    failure: str


@dataclass(frozen=True)
class Job:
    """Settings with which the whole recording is to be processed; ``number`` is told again."""

    number: int
    segmentation: SegmentationSettings
    tracking: TrackingSettings


@dataclass(frozen=True)
class Processed:
    """
    A frame of a job.

    Attributes
    ----------
    job, frame : int
        Their numbers.
    packed : Packed
        The instances.
    ids : tuple of int
        Track id of each; 0 while unconfirmed.
    other_ids : int
        Instances that are where one was in the frame before, with another id.
    ms : float
        What segmentation, memory and tracking took, in milliseconds.

    """

    job: int
    frame: int
    packed: Packed
    ids: tuple[int, ...]
    other_ids: int
    ms: float


def read_and_process(source: Source, jobs: Connection) -> Iterator[Any]:
    """
    Yield the frames of a source and :class:`Opened`; then what jobs ask for.

    A job that comes in the middle of another one ends that. It begins when no other has come for
    a moment: while a slider moves, the processor is there for the picture.
    """
    frames: list[Frame] = []
    failure = ''
    try:
        for frame in source.frames():
            frames.append(frame)
            yield frame
    except (CameraError, ValueError, OSError, ImportError) as error:
        failure = str(error)
    yield Opened(source.names, tuple(source.notes), failure)
    while True:
        job: Job = jobs.recv()
        while jobs.poll(_REST_S):
            job = jobs.recv()
        for processed in process_frames(frames, source.names or VOC_NAMES, job):
            yield processed
            if jobs.poll():
                break


def process_frames(frames: Sequence[Frame], names: Mapping[int, str], job: Job
                   ) -> Iterator[Processed]:
    """Yield every frame, processed as the nodes do it."""
    segmenter, tracker = Segmenter(job.segmentation, names), Tracker(job.tracking)
    tracker.follow(job.segmentation)
    before = None
    for k, frame in enumerate(frames):
        mask = frame.mask
        started = time.perf_counter()
        instances = segmenter.update(mask, frame.stamp_ns)
        ids = tracker.update(instances, frame.stamp_ns)
        ms = 1e3 * (time.perf_counter() - started)
        pairs = match(before[0], instances)[0] if before else []
        other = sum(bool(before[1][i] and ids[j] and before[1][i] != ids[j])
                    for i, j in pairs) if before else 0
        before = instances, ids
        yield Processed(job.number, k, Packed(instances), tuple(ids.tolist()), other, ms)


def search(frames: Sequence[Frame], names: Mapping[int, str], marks: Sequence[Mark],
           settings: SegmentationSettings, jobs: Connection) -> Iterator[float | Found | str]:
    """Yield the share that is done, and at last what was found, or the reason why not."""
    told_s = 0.0

    def progress(share: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > _NOT_OFTENER_S:
            told_s = time.monotonic()
            jobs.send(share)

    try:
        yield find_settings(frames, names or VOC_NAMES, marks, settings, progress)
    except CameraError as error:
        yield str(error)


class Background:
    """
    A process that sends what a generator yields.

    Parameters
    ----------
    work : callable
        Returns the generator; of a module, since the process imports it. Gets the arguments and
        the pipe, from which it reads what :meth:`send` is given.
    arguments : tuple
        For ``work``.
    receive : callable
        Called with each thing that was yielded, in a thread; with None when the process ended
        without being told to.

    """

    def __init__(self, work: Callable[..., Iterator[Any]], arguments: tuple[Any, ...],
                 receive: Callable[[Any], None]) -> None:
        # Not forked: OpenCV's threads would be missing in the copy.
        context = get_context('spawn')
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, arguments, theirs),
                                        name='instseg tune', daemon=True)
        # Ctrl-C is the page's, from the first moment on: this process ends with the pipe.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._process.start()
        signal.signal(signal.SIGINT, before)
        theirs.close()
        self._receive = receive
        self._closed = False
        threading.Thread(target=self._listen, name='background', daemon=True).start()

    def send(self, thing: Any) -> None:
        """Send something to the process; nothing happens where it has ended."""
        with suppress(OSError):  # the listener says so
            self._pipe.send(thing)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._closed = True
        self._process.terminate()
        self._process.join()

    def _listen(self) -> None:
        while True:
            try:
                thing = self._pipe.recv()
            except (EOFError, OSError):
                break
            if not self._closed:
                self._receive(thing)
        self._pipe.close()
        if not self._closed:
            self._receive(None)


def _serve(work: Callable[..., Iterator[Any]], arguments: tuple[Any, ...], pipe: Connection
           ) -> None:
    """Be the process."""
    os.nice(_NICE)
    cv2.setNumThreads(1)
    with suppress(EOFError, OSError):
        for thing in work(*arguments, pipe):
            pipe.send(thing)
