"""Recordings (rosbag2) as a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Any

from .camera import Camera, CameraSettings, Capture
from .networks import load_labels
from .pace import Pace
from ..errors import CameraError, EndOfStream, MessageError, RecordingError
from ..messages.stamps import seconds, StampPairing
from ..recordings.bag import Bag, COMPRESSED, IMAGE, LeftOut
from ..recordings.frames import first_size, recorded_frame, recorded_mask
from ..recordings.timeline import Item, Timeline


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


class RecordingCamera(Camera):
    """
    Plays a recording with its own timing and stamps; in a loop the stamps go on rising.

    Its time starts with the first `read`: until then it waits, however long.
    """

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        path = (find_sample() if settings.source == 'sample'
                else Path(settings.source).expanduser())
        self._bag = Bag(path)
        self._mask = self._bag.need(settings.recorded_mask, IMAGE, COMPRESSED)
        found = self._bag.find(settings.recorded_image)
        self._image = self._bag.need(found.name, IMAGE, COMPRESSED) if found else None
        # No names but those that were recorded: PASCAL's would be invented.
        self.class_names = (load_labels(settings.labels_file)
                            or self._bag.class_names(self._mask.name))
        self._captures = self.captures()
        self._pace = Pace()
        self._looped = False
        self._next: Capture | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._period_ns = 10**8  # until two frames tell
        self._shift_ns = 0  # from recorded stamps to those given
        self._skipped_ns = 0  # of the recorded time

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next recorded frame and mask when their time has come."""
        if self._pace.closed:
            raise CameraError('the camera is closed')
        if self._next is None:
            self._next = self._take()
        stamp_ns = self._next.stamp_ns + self._shift_ns
        if not self._pace.wait((stamp_ns - self._skipped_ns) / 1e9, self.settings.playback_rate,
                               timeout_s):
            return None
        capture, self._next = Capture(stamp_ns, self._next.frame, self._next.mask), None
        return capture

    def _take(self) -> Capture:
        """Return the next capture of the file, from its start again in a loop."""
        capture = next(self._captures, None)
        if capture is None:
            if self._first_ns is None:
                raise RecordingError(f'{self._bag.path}: {self._mask.name}: expected frames or '
                                     'masks, got none that can be used; `instseg info` says why')
            if not self.settings.loop:
                raise EndOfStream('the recording is over')
            self._shift_ns += self._last_ns - self._first_ns + self._period_ns
            self._captures, self._looped = self.captures(), True
            self._last_ns = self._first_ns - self._period_ns
            return self._take()
        if self._first_ns is None:
            self._first_ns = capture.stamp_ns
        else:
            self._pass(capture.stamp_ns)
        self._last_ns = capture.stamp_ns
        return capture

    def _pass(self, stamp_ns: int) -> None:
        """Go on to the stamp of the next capture; what is no step but a gap is skipped."""
        step_ns = stamp_ns - self._last_ns
        if 0 < step_ns <= 1e9 * self.settings.max_gap:
            self._period_ns = step_ns
            return
        if not self._looped:
            self.report(f'{self._bag.path}: from {seconds(self._last_ns)} to {seconds(stamp_ns)}: '
                        + ('a gap, or a clock that was set; it is skipped' if step_ns > 0 else
                           'the clock was set back') + ' (max_gap is '
                        f'{self.settings.max_gap:g} s)')
            self._skipped_ns += step_ns - self._period_ns
        else:
            # The stamps of a loop are no more than steps that rise.
            self._shift_ns -= step_ns - self._period_ns

    def captures(self) -> Iterator[Capture]:
        """Yield frames with the masks that belong to them, from the start, at once."""
        settings, left_out = self.settings, LeftOut(self.leave_out)
        lines = {topic.name: Timeline(topic.name, round(1e9 * settings.reorder_window), left_out)
                 for topic in (self._mask, self._image) if topic}
        pairing = StampPairing(2, round(1e9 * settings.stamp_tolerance))
        size = first_size(self._bag, self._image) if self._image else None
        known = 0
        for pairs in self._pairs(lines, pairing):
            if len(self._bag.notes) > known:
                for note in self._bag.notes[known:] if not self._looped else ():
                    self.report(note)
                known = len(self._bag.notes)
            for stamp_ns, (image, mask) in pairs:
                frame, ids = self._pixels(image, mask, size, left_out)
                size = (frame.shape[1], frame.shape[0]) if frame is not None else size
                if frame is not None or ids is not None:
                    yield Capture(stamp_ns, frame, ids)
        if not self._looped:
            for line in lines.values():
                for note in line.notes():
                    self.report(note)

    def _pairs(self, lines: dict[str, Timeline], pairing: StampPairing
               ) -> Iterator[list[tuple[int, list[Any]]]]:
        """Yield what is settled: stamp, frame and mask, as they are recorded."""
        def settled(items: list[Item]) -> list[tuple[int, list[Any]]]:
            if self._image is None:
                return [(item.stamp_ns, [None, item]) for item in items]
            return [pair for item in items for pair in pairing.add(
                int(item.topic == self._mask.name), item.stamp_ns, item)]

        for topic, time_ns, data in self._bag.messages(lines):
            yield settled(lines[topic].add(time_ns, data))
        for line in lines.values():
            yield settled(line.flush())
        yield pairing.flush()

    def _pixels(self, image: Item | None, mask: Item | None, size: tuple[int, int] | None,
                left_out: LeftOut) -> tuple[Any, Any]:
        """Return frame and mask, None for each that is none."""
        frame = ids = None
        if image is not None and self._image:
            try:
                _, frame = recorded_frame(self._image.msgtype, image)
                size = frame.shape[1], frame.shape[0]
            except MessageError as error:
                left_out.add(image.topic, image.index, image.time_ns, str(error))
        if mask is not None:
            try:
                ids = recorded_mask(self._mask.msgtype, mask, size).ids
            except MessageError as error:
                left_out.add(mask.topic, mask.index, mask.time_ns, str(error))
        return frame, ids

    def close(self) -> None:
        """End the playing."""
        self._pace.close()
