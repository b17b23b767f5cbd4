"""Recordings (rosbag2) as a camera, and the reading of their frames and masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Any

from rosbags.rosbag2 import Reader

from .camera import Camera, CameraError, CameraSettings, Capture, EndOfStream
from .pace import Pace
from ..core.images import decode, ImageError, unpack
from ..interfaces import typestore

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
        self._path = path
        if not path.exists():
            raise CameraError(f'{path}: expected a recording (a rosbag2 folder), got nothing; '
                              'give the folder that has the metadata.yaml')
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # a damaged file can fail anywhere in its parsing
            raise CameraError(f'{path}: expected a whole rosbag2 recording, got {error}; record '
                              'again or mend it with `ros2 bag reindex`') from error
        self._closed = False
        self._types = typestore()
        self._topics = (self._find(image), self._find(mask))
        if self._topics[1] is None:
            raise CameraError(
                f'{path}: expected a mask topic {mask} or {mask}/compressed, got '
                + (', '.join(sorted({c.topic for c in self._reader.connections})) or 'no topics'))
        self.class_names = self._read_class_names()

    def _find(self, topic: str) -> Any:
        """Return the connection of a topic, raw or compressed, or None."""
        for name in (topic.lstrip('/'), topic.lstrip('/') + '/compressed'):
            found = [c for c in self._reader.connections
                     if c.topic == '/' + name or c.topic.endswith('/' + name)]
            if len(found) == 1:
                return found[0]
            if found:
                raise CameraError(f'{self._path}: expected one topic that ends in {name}, got '
                                  + ', '.join(c.topic for c in found) + '; give the whole name')
        return None

    def _read_class_names(self) -> dict[int, str]:
        info = [c for c in self._reader.connections if c.msgtype == 'vision_msgs/msg/LabelInfo']
        for connection, _, data in self._messages(info[:1]):
            message: Any = self._types.deserialize_cdr(data, connection.msgtype)
            return {c.class_id: c.class_name for c in message.class_map}
        return {}

    def _messages(self, connections: list[Any]) -> Iterator[tuple[Any, int, bytes]]:
        try:
            if connections:
                yield from self._reader.messages(connections)
        except GeneratorExit:
            raise
        except Exception as error:  # as above
            raise CameraError(f'{self._path}: expected a whole recording, it is damaged or cut '
                              f'off: {error}') from error

    def captures(self) -> Iterator[Capture]:
        """
        Yield frames with the masks of the same stamp, in the order of the recording.

        Raises
        ------
        CameraError
            The recording is damaged from here on.

        """
        waiting: dict[int, list[Any]] = {}
        for connection, time_ns, data in self._messages(
                [c for c in self._topics if c is not None]):
            which = self._topics.index(connection)
            try:
                message: Any = self._types.deserialize_cdr(data, connection.msgtype)
                stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                pixels = (decode(message.data, _ENCODINGS[which])
                          if 'Compressed' in connection.msgtype
                          else unpack(message, _ENCODINGS[which]))
            except ImageError as error:
                raise CameraError(f'{self._path}: {connection.topic} at {time_ns / 1e9:.3f} s: '
                                  f'{error}') from error
            parts = waiting.setdefault(stamp_ns, [None, None])
            parts[which] = pixels
            if all(p is not None for p, c in zip(parts, self._topics, strict=True) if c):
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
        if not self._closed:
            self._closed = True
            self._reader.close()


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
