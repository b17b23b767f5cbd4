"""Recordings (rosbag2) as a camera, and the reading of their frames and masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Any

from .camera import Camera, CameraError, CameraSettings, Capture, EndOfStream
from .pace import Pace
from ..messages.stamps import stamp_ns as stamp_of
from ..recordings.bag import Bag, COMPRESSED, IMAGE, pixels

_ENCODINGS = ('bgr8', 'mono8')  # of frame and mask
_WAITING = 100  # frames that may wait for their mask


def find_sample() -> Path:
    """Return the folder of the sample recording, wherever the package is installed."""
    here = Path(__file__).resolve().parent.parent
    # <prefix>/lib/.../instseg_ros has <prefix>/share; a source tree has the folder itself.
    for folder in (Path(sys.prefix), *here.parents):
        for sample in (folder / 'share' / 'instseg_ros' / 'sample', folder / 'sample'):
            if (sample / 'metadata.yaml').is_file():
                return sample
    raise CameraError('the sample recording is not installed: expected share/instseg_ros/sample '
                      'in the prefix of the package; install the package again')


class Recording:
    """
    The frames and masks of a rosbag2 recording.

    Parameters
    ----------
    path : Path
        Folder of the recording.
    image, mask : str
        Topics, without ``/compressed`` and, where only one robot was recorded, without its name.

    Attributes
    ----------
    class_names : dict of int to str
        From the recorded LabelInfo; empty when there is none.

    Raises
    ------
    CameraError
        The recording is missing, damaged or has no mask topic.

    """

    def __init__(self, path: Path, image: str, mask: str) -> None:
        self._bag = Bag(path)
        try:
            found = self._bag.find(image)
            self._topics = {self._bag.need(mask, IMAGE, COMPRESSED).name: 'mono8'}
            if found:
                self._topics[self._bag.need(found.name, IMAGE, COMPRESSED).name] = 'bgr8'
            self.class_names = self._bag.class_names(next(iter(self._topics)))
        except CameraError:
            self._bag.close()
            raise

    def captures(self) -> Iterator[Capture]:
        """
        Yield frames with the masks of the same stamp, in the order of the recording.

        Raises
        ------
        CameraError
            The recording is damaged from here on.

        """
        waiting: dict[int, list[Any]] = {}
        for topic, time_ns, data in self._bag.messages(self._topics):
            message = self._bag.decode(topic, time_ns, data)
            encoding = self._topics[topic]
            decoded = pixels(str(self._bag.path), topic, time_ns, message, encoding)
            which = _ENCODINGS.index(encoding)
            stamp_ns = stamp_of(message)
            parts = waiting.setdefault(stamp_ns, [None, None])
            parts[which] = decoded
            if sum(p is not None for p in parts) == len(self._topics):
                # Topics keep their order: what waits from before stays incomplete.
                while waiting and (first := next(iter(waiting))) != stamp_ns:
                    yield Capture(first, *waiting.pop(first))
                yield Capture(stamp_ns, *waiting.pop(stamp_ns))
            elif len(waiting) > _WAITING:
                first = next(iter(waiting))
                yield Capture(first, *waiting.pop(first))
        for stamp_ns, parts in waiting.items():
            yield Capture(stamp_ns, *parts)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._bag.close()


class RecordingCamera(Camera):
    """Plays a recording with its own timing and stamps; in a loop the stamps go on rising."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        path = (find_sample() if settings.source == 'sample'
                else Path(settings.source).expanduser())
        self._recording = Recording(path, settings.recorded_image, settings.recorded_mask)
        self.class_names = self._recording.class_names or type(self).class_names
        self._captures = self._recording.captures()
        self._pace = Pace()
        self._next: Capture | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._period_ns = 0
        self._shift_ns = 0

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next recorded frame and mask when their time has come."""
        if self._pace.closed:
            raise CameraError('the camera is closed')
        if self._next is None:
            self._next = self._take()
        stamp_ns = self._next.stamp_ns + self._shift_ns
        if not self._pace.wait(stamp_ns / 1e9, self.settings.playback_rate, timeout_s):
            return None
        capture, self._next = Capture(stamp_ns, self._next.frame, self._next.mask), None
        return capture

    def _take(self) -> Capture:
        """Return the next capture of the file, from its start again in a loop."""
        capture = next(self._captures, None)
        if capture is None:
            if not self.settings.loop or self._first_ns is None:
                raise EndOfStream('the recording is over')
            self._shift_ns += self._last_ns - self._first_ns + self._period_ns
            self._captures = self._recording.captures()
            return self._take()
        if self._first_ns is None:
            self._first_ns = capture.stamp_ns
        else:
            self._period_ns = max(1, capture.stamp_ns - self._last_ns)
        self._last_ns = capture.stamp_ns
        return capture

    def close(self) -> None:
        """Close the recording."""
        self._pace.close()
        self._recording.close()
