"""Videos, folders of images and cameras that Linux knows, with masks from a network on the CPU."""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path
import re
import threading
import time

import cv2
import numpy as np
import numpy.typing as npt

from .camera import Camera, CameraSettings, Capture, is_device, is_stream
from .networks import load_labels, names_of_instances, open_network
from .pace import Pace
from .quiet import silence_libraries
from ..errors import CameraError, EndOfStream

_Pixels = npt.NDArray[np.uint8]
_Say = Callable[[str], None]
_PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}  # OpenCV's codes
_FOLDER_RATE = 10.0
_FILE_RATE = 30.0  # of a file that does not say
_ATTEMPTS = 25  # damaged frames one after the other
_COUNTED = ('.avi', '.m4v', '.mov', '.mp4')  # have an index, so that OpenCV does not guess


class VideoCamera(Camera):
    """
    Frames of a video, a folder of images or a device; masks when there is a network.

    The stamps of a device are the driver's. A file has none: its first frame is taken to be of
    the moment of opening, and the others keep the distance that the container says, so that a
    variable rate stays one.
    """

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        silence_libraries()
        self._network = open_network(settings)
        self.class_names = (
            names_of_instances(self._network.labels, settings.labels_file, self.report)
            if self._network and self._network.of_instances
            else load_labels(settings.labels_file) or type(self).class_names)
        self._network_s = 0.0
        source = settings.source
        self._frames: _Frames
        if is_stream(source):
            self._frames = _Device(settings)
        else:
            path = Path(source).expanduser()
            self._frames = _Played((_Folder if path.is_dir() else _File)(path, self.leave_out))

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next frame, and its mask when there is a network."""
        settings = self.settings
        taken = self._frames.take(settings, timeout_s)
        if taken is None:
            return None
        stamp_ns, frame = taken
        frame = flip(frame, settings)
        if self._network is None:
            return Capture(stamp_ns, frame, None)
        started = time.monotonic()
        mask, instances = self._network.look(frame, settings.min_score)
        self._network_s = time.monotonic() - started
        return Capture(stamp_ns, frame, mask, instances)

    def details(self) -> dict[str, str]:
        """Return the source and how long the network takes."""
        shown = super().details()
        if self._network:
            shown['network (ms)'] = f'{1000 * self._network_s:.0f}'
        return shown

    def close(self) -> None:
        """Close the file or the device."""
        self._frames.close()


def flip(pixels: _Pixels, settings: CameraSettings) -> _Pixels:
    """Return the pixels mirrored as the settings say; themselves when they say nothing."""
    code = _FLIPS.get((settings.flip_horizontal, settings.flip_vertical))
    return pixels if code is None else cv2.flip(pixels, code).astype(np.uint8, copy=False)


class _Frames(abc.ABC):
    """Where the frames come from."""

    @abc.abstractmethod
    def take(self, settings: CameraSettings, timeout_s: float) -> tuple[int, _Pixels] | None:
        """Wait for the next frame: its stamp and pixels."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back; may be called twice."""


class _Film(abc.ABC):
    """Frames one after the other; about ``rate`` of them per second."""

    rate: float

    @abc.abstractmethod
    def advance(self) -> tuple[float | None, _Pixels] | None:
        """
        Return the next frame; None at the end, and the first one after that.

        The time is in seconds since an origin of the film's own, None where the film has none.
        """


class _File(_Film):

    def __init__(self, path: Path, leave_out: _Say) -> None:
        self._path, self._leave_out = path, leave_out
        self._video = cv2.VideoCapture(str(path))
        if not self._video.isOpened():
            raise CameraError(f'{path}: expected a recording, a video or a folder of images, got '
                              'a file that OpenCV cannot play')
        self.rate = self._video.get(cv2.CAP_PROP_FPS) or _FILE_RATE
        self._count = 0

    def advance(self) -> tuple[float | None, _Pixels] | None:
        for damaged in range(_ATTEMPTS):  # OpenCV gives none for a damaged frame as for the end
            done, frame = self._video.read()
            if done:
                self._count += 1
                time_s = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if damaged:
                    self._leave_out(f'{self._path}: expected a frame, got something damaged '
                                    f'{damaged} times before {time_s:.3f} s; it is left out')
                return time_s, frame.astype(np.uint8, copy=False)
        expected = round(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        if self._count < expected and self._path.suffix.lower() in _COUNTED:
            self._leave_out(f'{self._path}: expected {expected} frames, as its index says, got '
                            f'{self._count}; the others are damaged and left out')
        self._count = 0
        self._video.open(str(self._path))
        return None


class _Folder(_Film):

    rate = _FOLDER_RATE

    def __init__(self, path: Path, leave_out: _Say) -> None:
        self._path, self._leave_out = path, leave_out
        # What begins with a dot is hidden: macOS keeps ._NAME beside each NAME on foreign disks.
        self._files = sorted((f for f in path.iterdir() if f.suffix.lower() in _PICTURES
                              and not f.name.startswith('.')), key=_natural)
        self._index = 0
        if not self._files:
            raise CameraError(f'{path}: expected a recording or images ({", ".join(_PICTURES)}) '
                              'in this folder, got neither')

    def advance(self) -> tuple[float | None, _Pixels] | None:
        while self._index < len(self._files):
            file = self._files[self._index]
            frame = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if frame is not None:
                self._index += 1
                return None, frame.astype(np.uint8, copy=False)
            size = file.stat().st_size if file.exists() else 0
            self._leave_out(f'{file}: expected an image, got {size} bytes that are none; it is '
                            'left out')
            del self._files[self._index]  # said once, also where the folder is played in a loop
        if not self._files:
            raise CameraError(f'{self._path}: expected images in this folder, got only files that '
                              'are none')
        self._index = 0
        return None


def _natural(file: Path) -> list[tuple[int, str]]:
    """Return what sorts frame2 before frame10."""
    return [(int(word), '') if word.isdecimal() else (0, word.lower())
            for word in re.split('([0-9]+)', file.name)]


class _Played(_Frames):
    """A film at its own speed: every frame of it, later where the machine is too slow."""

    def __init__(self, film: _Film) -> None:
        self._film = film
        self._pace = Pace()
        self._start_ns = time.time_ns()
        self._time_s: float | None = None  # of the last frame, since the start
        self._film_s: float | None = None  # the same, in the film's own time
        self._step_s = 1 / film.rate
        self._next: tuple[float, _Pixels] | None = None

    def take(self, settings: CameraSettings, timeout_s: float) -> tuple[int, _Pixels] | None:
        if self._pace.closed:
            raise CameraError('the camera is closed')
        if self._next is None:
            self._next = self._advance(settings)
        time_s, frame = self._next
        if not self._pace.wait(time_s, settings.playback_rate, timeout_s):
            return None
        self._time_s, self._next = time_s, None
        return self._start_ns + round(1e9 * time_s), frame

    def _advance(self, settings: CameraSettings) -> tuple[float, _Pixels]:
        """Return the next frame and its time, as the container says it where one does."""
        found = self._film.advance()
        if found is None and settings.loop and self._time_s is not None:
            # The first frame comes again, a step after the last.
            found, self._film_s = self._film.advance(), None
        if found is None:
            raise EndOfStream('the video is over')
        film_s, frame = found
        if settings.frame_rate or film_s is None:
            self._step_s = 1 / (settings.frame_rate or self._film.rate)
        elif self._film_s is not None and film_s > self._film_s:
            self._step_s = film_s - self._film_s
        self._film_s = film_s
        return 0.0 if self._time_s is None else self._time_s + self._step_s, frame

    def close(self) -> None:
        self._pace.close()


class _Device(_Frames):
    """
    A camera, read by a thread of its own: always its newest frame, however slow the network is.

    The driver may hang for as long as it likes: `take` then says so after ``frame_timeout``.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self._source = settings.source
        self._video = cv2.VideoCapture()
        if is_device(self._source):
            opened = self._video.open(self._source, cv2.CAP_V4L2)
            self._video.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
            self._video.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
            if settings.frame_rate:
                self._video.set(cv2.CAP_PROP_FPS, settings.frame_rate)
        else:
            opened = self._video.open(self._source)
        if not opened:
            raise CameraError(f'{self._source}: the camera does not open; is it there, is this '
                              'user in the group video, has another process got it?')
        self._newest: tuple[int, _Pixels] | None = None
        self._failed = self._closed = False
        self._changed = threading.Condition()
        self._frame_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name='video', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            done, frame = self._video.read()
            stamp_ns = self._stamp()
            with self._changed:
                if done:
                    self._newest = stamp_ns, frame.astype(np.uint8, copy=False)
                self._failed = not done
                self._changed.notify()
            if not done:
                break
        self._video.release()

    def _stamp(self) -> int:
        """Return the driver's stamp, which counts from the start of the machine."""
        now_ns, clock_ns = time.time_ns(), time.monotonic_ns()
        stamp_ns = round(1e6 * self._video.get(cv2.CAP_PROP_POS_MSEC))
        # Not every driver has that clock: a frame is at most some seconds old.
        age_ns = clock_ns - stamp_ns
        return now_ns - age_ns if 0 <= age_ns < 2 * 10**9 else now_ns

    def take(self, settings: CameraSettings, timeout_s: float) -> tuple[int, _Pixels] | None:
        if self._closed:
            raise CameraError('the camera is closed')
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._failed or self._closed, timeout_s)
            taken, self._newest = self._newest, None
        now = time.monotonic()
        if taken:
            self._frame_s = now
        elif self._failed:
            raise CameraError(f'{self._source}: the camera went away; plug it in again')
        elif now - self._frame_s > settings.frame_timeout:
            raise CameraError(f'{self._source}: expected a frame, got none for '
                              f'{settings.frame_timeout:.1f} s: the camera has stalled')
        return taken

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        # A driver that hangs is left behind: nothing can be done about it in this process.
        self._thread.join(1.0)
