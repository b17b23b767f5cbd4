"""Videos, folders of images and cameras that Linux knows, with masks from a network on the CPU."""

from __future__ import annotations

import abc
from pathlib import Path
import threading
import time

import cv2
import numpy as np
import numpy.typing as npt

from .camera import Camera, CameraSettings, Capture
from .networks import load_labels, open_network
from .pace import Pace
from .registration import register_mask
from ..errors import CameraError, EndOfStream

_Pixels = npt.NDArray[np.uint8]
_PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}  # OpenCV's codes
_DEVICE = '/dev/video'
_FOLDER_RATE = 10.0
_FILE_RATE = 30.0  # of a file that does not say


class VideoCamera(Camera):
    """
    Frames of a video, a folder of images or a device; masks when there is a network.

    The stamps of a device are the driver's. A file has none: its first frame is taken to be of
    the moment of opening, and the others keep their distance.
    """

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        self._network = open_network(settings)
        self.class_names = load_labels(settings.labels_file) or type(self).class_names
        self._network_s = 0.0
        source = settings.source
        self._frames: _Frames
        if source.startswith(_DEVICE) or '://' in source:
            self._frames = _Device(settings)
        elif Path(source).expanduser().is_dir():
            self._frames = _Played(_Folder(Path(source).expanduser()))
        else:
            self._frames = _Played(_File(Path(source).expanduser()))

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
        mask = register_mask(self._network.segment(frame), (frame.shape[1], frame.shape[0]))
        self._network_s = time.monotonic() - started
        return Capture(stamp_ns, frame, mask)

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
    """Frames one after the other; ``rate`` of them per second."""

    rate: float

    @abc.abstractmethod
    def advance(self) -> _Pixels | None:
        """Return the next frame; None at the end, and the first one after that."""


class _File(_Film):

    def __init__(self, path: Path) -> None:
        self._path = path
        self._video = cv2.VideoCapture(str(path))
        if not self._video.isOpened():
            raise CameraError(f'{path}: expected a recording, a video or a folder of images, got '
                              'a file that OpenCV cannot play')
        self.rate = self._video.get(cv2.CAP_PROP_FPS) or _FILE_RATE

    def advance(self) -> _Pixels | None:
        done, frame = self._video.read()
        if not done:
            self._video.open(str(self._path))
            return None
        return frame.astype(np.uint8, copy=False)


class _Folder(_Film):

    rate = _FOLDER_RATE

    def __init__(self, path: Path) -> None:
        self._files = sorted(f for f in path.iterdir() if f.suffix.lower() in _PICTURES)
        self._index = 0
        if not self._files:
            raise CameraError(f'{path}: expected a recording or images ({", ".join(_PICTURES)}) '
                              'in this folder, got neither')

    def advance(self) -> _Pixels | None:
        if self._index == len(self._files):
            self._index = 0
            return None
        file = self._files[self._index]
        frame = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if frame is None:
            raise CameraError(f'{file}: expected an image, got something else; remove it')
        self._index += 1
        return frame.astype(np.uint8, copy=False)


class _Played(_Frames):
    """A film at its own speed: every frame of it, later where the machine is too slow."""

    def __init__(self, film: _Film) -> None:
        self._film = film
        self._pace = Pace()
        self._start_ns = time.time_ns()
        self._time_s = 0.0
        self._next: _Pixels | None = None

    def take(self, settings: CameraSettings, timeout_s: float) -> tuple[int, _Pixels] | None:
        if self._pace.closed:
            raise CameraError('the camera is closed')
        if self._next is None:
            self._next = self._film.advance()
            if self._next is None and settings.loop:
                self._next = self._film.advance()
            if self._next is None:
                raise EndOfStream('the video is over')
        if not self._pace.wait(self._time_s, settings.playback_rate, timeout_s):
            return None
        stamp_ns = self._start_ns + round(1e9 * self._time_s)
        self._time_s += 1 / (settings.frame_rate or self._film.rate)
        frame, self._next = self._next, None
        return stamp_ns, frame

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
        if self._source.startswith(_DEVICE):
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
