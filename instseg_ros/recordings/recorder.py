"""Recording of a camera: nothing is lost but the last second, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
import errno
from pathlib import Path
import queue
import shutil
import threading
import time
from typing import Any

import numpy as np

from .bag import COMPRESSED, IMAGE
from .frames import ARRAY, header_of
from .parameters import note_parameters
from .writer import BagWriter, offered_qos
from ..cameras.calibration import Calibration, load_calibration
from ..cameras.camera import Camera, CameraSettings, Capture
from ..core.instances import Instances
from ..errors import EndOfStream, RecordingError
from ..messages import topics
from ..messages import typestore
from ..messages.detections import compressed_format, instances_to_detections, label_info
from ..messages.encodings import encode

LABELS, INFO = f'/{topics.LABEL_INFO}', f'/{topics.CAMERA_INFO}'
FRAMES, MASKS = f'/{topics.IMAGE}', f'/{topics.MASK}/compressed'
# Only where the network gives instances by itself.
LABELLED, INSTANCES = f'/{topics.NETWORK_MASK}/compressed', f'/{topics.NETWORK_INSTANCES}'
# A kill costs what came after a checkpoint; a power cut costs what came after a sync, which may
# take its time: together less than a second.
CHECKPOINT_S, SYNC_S = 0.25, 0.5
_WAITING = 16  # captures that wait for the disk; more are dropped
_READ_S = 0.2


@dataclass(frozen=True)
class State:
    """How a recording is doing; bytes of the file and of the disk that is left."""

    frames: int
    rate: float
    dropped: int
    size: int
    free: int


class Recorder:
    """
    Writes what a camera gives into a recording, with a thread for encoding and writing.

    Parameters
    ----------
    path : Path
        Folder of the recording; it must not exist.
    camera : Camera
        Is read, not closed.
    settings : CameraSettings
        Quality of the frames, their frame and calibration.
    raw : bool
        Frames as they are instead of JPEG.
    masks_only : bool
        No frames.

    """

    def __init__(self, path: Path, camera: Camera, settings: CameraSettings, raw: bool = False,
                 masks_only: bool = False) -> None:
        self._camera = camera
        self._settings = settings
        self._raw = raw
        self._masks_only = masks_only
        self._types = typestore().types
        self._calibration = (load_calibration(Path(settings.calibration_file).expanduser())
                             if settings.calibration_file else None)
        self._frame_topic = FRAMES if raw else FRAMES + '/compressed'
        self._writer = BagWriter(path, durable=True)
        note_parameters(self._writer, {'camera_node': asdict(settings)})
        self._writer.add_topic(LABELS, 'vision_msgs/msg/LabelInfo', (offered_qos(latched=True),))
        self._writer.add_topic(INFO, 'sensor_msgs/msg/CameraInfo')
        self._writer.add_topic(MASKS, COMPRESSED)
        if not masks_only:
            self._writer.add_topic(self._frame_topic, IMAGE if raw else COMPRESSED)
        self._writer.checkpoint()
        self._writer.sync()
        self._queue: queue.Queue[Capture | None] = queue.Queue(_WAITING)
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._frames = self._dropped = 0
        self._names: Mapping[int, str] | None = None
        self._of_instances = False

    def stop(self) -> None:
        """End the recording soon; may be called from a signal handler."""
        self._stop.set()

    def run(self, duration_s: float = float('inf'),
            report: Callable[[State], None] = lambda state: None) -> State:
        """
        Record until the duration is over, the camera's stream ends or :meth:`stop` is called.

        Parameters
        ----------
        duration_s : float
            Longest recording in seconds.
        report : callable
            Called with the state, every second.

        Returns
        -------
        State
            At the end.

        Raises
        ------
        CameraError
            The camera went away. The recording is whole.
        RecordingError
            The disk is full, or went away. The recording is whole in the first case.

        """
        threads = [threading.Thread(target=self._write, name='writer'),
                   threading.Thread(target=self._sync, name='disk')]
        for thread in threads:
            thread.start()
        start = shown = time.monotonic()
        try:
            while not self._stop.is_set() and (now := time.monotonic()) - start < duration_s:
                try:
                    capture = self._camera.read(min(_READ_S, start + duration_s - now))
                except EndOfStream:
                    break
                if capture is not None:
                    self._take(capture)
                if time.monotonic() - shown >= 1:
                    shown += 1
                    report(self._state(start))
        finally:
            while threads[0].is_alive():
                try:
                    self._queue.put(None, timeout=_READ_S)
                    break
                except queue.Full:
                    pass
            threads[0].join()
            self._stop.set()
            threads[1].join()
            self._end()
        return self._state(start)

    def _take(self, capture: Capture) -> None:
        try:
            self._queue.put_nowait(capture)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        """Write captures until None comes; a thread."""
        try:
            due = time.monotonic() + CHECKPOINT_S
            while (capture := self._queue.get()) is not None:
                self._write_capture(capture)
                if time.monotonic() >= due:
                    self._writer.checkpoint()
                    due = time.monotonic() + CHECKPOINT_S
        except Exception as error:  # told by the main thread
            self._error = error
            self._stop.set()

    def _sync(self) -> None:
        """Bring checkpoints to the disk, which may take its time; a thread."""
        while not self._stop.wait(SYNC_S):
            try:
                self._writer.sync()
            except OSError as error:
                self._error = error
                self._stop.set()

    def _write_capture(self, capture: Capture) -> None:
        header = header_of(capture.stamp_ns // 10**9, capture.stamp_ns % 10**9,
                           self._settings.frame_id)
        names = self._camera.class_names
        if names and names is not self._names:  # some networks say them with their first answer
            self._names = names
            self._writer.write(LABELS, capture.stamp_ns, label_info(self._types, names, header))
        pixels = capture.mask if capture.frame is None else capture.frame
        if pixels is None:
            return
        self._writer.write(INFO, capture.stamp_ns, camera_info(
            header, pixels.shape[1], pixels.shape[0], self._calibration))
        if capture.frame is not None and not self._masks_only:
            self._writer.write(self._frame_topic, capture.stamp_ns, self._frame(header, capture))
        if capture.mask is not None:
            self._writer.write(MASKS, capture.stamp_ns, self._types[COMPRESSED](
                header, compressed_format('mono8', False), encode(capture.mask).ravel()))
        if capture.instances is not None:
            self._write_instances(header, capture.stamp_ns, capture.instances)
        self._frames += 1

    def _write_instances(self, header: Any, stamp_ns: int, found: Instances) -> None:
        if not self._of_instances:
            self._of_instances = True
            self._writer.add_topic(LABELLED, COMPRESSED)
            self._writer.add_topic(INSTANCES, ARRAY)
        self._writer.write(LABELLED, stamp_ns, self._types[COMPRESSED](
            header, compressed_format('16UC1', False), encode(found.labels).ravel()))
        self._writer.write(INSTANCES, stamp_ns,
                           instances_to_detections(self._types, found, header))

    def _frame(self, header: Any, capture: Capture) -> Any:
        frame = capture.frame
        assert frame is not None
        if self._raw:
            return self._types[IMAGE](header, frame.shape[0], frame.shape[1], 'bgr8', 0,
                                      3 * frame.shape[1], np.ascontiguousarray(frame).ravel())
        return self._types[COMPRESSED](header, compressed_format('bgr8', True),
                                       encode(frame, self._settings.jpeg_quality).ravel())

    def _state(self, start: float) -> State:
        seconds = max(time.monotonic() - start, 1e-9)
        try:
            free = shutil.disk_usage(self._writer.path).free
        except OSError:
            free = 0
        return State(self._frames, self._frames / seconds, self._dropped, self._writer.size, free)

    def _end(self) -> None:
        path = self._writer.path
        try:
            self._writer.close()
        except OSError as error:
            raise RecordingError(f'{path}: could not be ended: {error.strerror}; once the disk is '
                                 'back, `instseg repair` ends it') from error
        if isinstance(self._error, OSError):
            full = self._error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise RecordingError(
                f'{path}: the recording ended after {self._frames} frames: '
                + ('the disk is full' if full else str(self._error.strerror))
                + '; it is whole up to there') from self._error
        if self._error is not None:
            raise self._error


def camera_info(header: Any, width: int, height: int, calibration: Calibration | None) -> Any:
    """
    Return a sensor_msgs/CameraInfo of rosbags' classes.

    Raises
    ------
    RecordingError
        The calibration is for another size.

    """
    types = typestore().types
    if calibration and (calibration.width, calibration.height) != (width, height):
        raise RecordingError(
            f'calibration_file: expected a calibration for {width}x{height} pixels, got one for '
            f'{calibration.width}x{calibration.height}')
    found = calibration or Calibration(width, height)
    return types['sensor_msgs/msg/CameraInfo'](
        header, height, width, found.distortion_model, np.array(found.d, float),
        np.array(found.k), np.array(found.r), np.array(found.p), 0, 0,
        types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False))
