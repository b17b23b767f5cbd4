"""Recordings (rosbag2) as a camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any

from .camera import Camera, CameraSettings, Capture
from .networks import load_labels
from .pace import Pace
from ..errors import CameraError, EndOfStream, MessageError, RecordingError
from ..messages.stamps import seconds, StampPairing
from ..recordings.bag import Bag, COMPRESSED, IMAGE, LeftOut
from ..recordings.frames import (first_size, network_topics, recorded_frame, recorded_instances,
                                 recorded_mask)
from ..recordings.timeline import Item, MaskTimeline, Timeline


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
        self._network = network_topics(self._bag, self._mask)
        # No names but those that were recorded: PASCAL's would be invented.
        self.class_names = (load_labels(settings.labels_file, self._network is not None)
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
        capture, self._next = replace(self._next, stamp_ns=stamp_ns), None
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
        window_ns = round(1e9 * settings.reorder_window)
        masks = MaskTimeline(self._mask.name, tuple(t.name for t in self._network or ()),
                             window_ns, left_out)
        frames = Timeline(self._image.name, window_ns, left_out) if self._image else None
        pairing = StampPairing(2, round(1e9 * settings.stamp_tolerance))
        size = first_size(self._bag, self._image) if self._image else None
        known = 0
        for pairs in self._pairs(masks, frames, pairing):
            if len(self._bag.notes) > known:
                for note in self._bag.notes[known:] if not self._looped else ():
                    self.report(note)
                known = len(self._bag.notes)
            for stamp_ns, (image, mask) in pairs:
                capture = self._capture(stamp_ns, image, mask, size, left_out)
                if capture.frame is not None:
                    size = capture.frame.shape[1], capture.frame.shape[0]
                if capture.frame is not None or capture.mask is not None:
                    yield capture
        if not self._looped:
            for line in (masks, frames):
                for note in line.notes() if line else ():
                    self.report(note)

    def _pairs(self, masks: MaskTimeline, frames: Timeline | None, pairing: StampPairing
               ) -> Iterator[list[tuple[int, list[Any]]]]:
        """Yield what is settled: stamp, frame and mask, as they are recorded."""
        def settled(place: int, items: list[Item]) -> list[tuple[int, list[Any]]]:
            if frames is None:
                return [(item.stamp_ns, [None, item]) for item in items]
            return [pair for item in items for pair in pairing.add(place, item.stamp_ns, item)]

        wanted = {*masks.topics, *([self._image.name] if self._image else [])}
        for topic, time_ns, data in self._bag.messages(wanted):
            if topic in masks.topics:
                yield settled(1, masks.add(topic, time_ns, data))
            elif frames:
                yield settled(0, frames.add(time_ns, data))
        yield settled(1, masks.flush())
        if frames:
            yield settled(0, frames.flush())
        yield pairing.flush()

    def _capture(self, stamp_ns: int, image: Item | None, mask: Item | None,
                 size: tuple[int, int] | None, left_out: LeftOut) -> Capture:
        """Return what was recorded of a moment, None for each part that is none."""
        frame = ids = instances = None
        if image is not None and self._image:
            try:
                _, frame = recorded_frame(self._image.msgtype, image)
                size = frame.shape[1], frame.shape[0]
            except MessageError as error:
                left_out.add(image.topic, image.index, image.time_ns, str(error))
        if mask is not None:
            try:
                ids = recorded_mask(self._mask.msgtype, mask, size).ids
                if mask.network and self._network:
                    _, instances = recorded_instances(self._network[0].msgtype, *mask.network)
            except MessageError as error:
                left_out.add(mask.topic, mask.index, mask.time_ns, str(error))
        return Capture(stamp_ns, frame, ids, instances)

    def close(self) -> None:
        """End the playing."""
        self._pace.close()
