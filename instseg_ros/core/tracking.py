"""Tracking: one id for each object for as long as it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .instances import Instances
from .settings import setting, Settings


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """How instances are followed from frame to frame."""

    min_overlap: float = setting(
        0.2, 'Smallest intersection over union of two masks that are the same object',
        low=0, high=1)
    confirm_frames: int = setting(
        2, 'Frames in which an object must be seen before it gets an id', unit='frames',
        low=1, high=100)
    max_lost_s: float = setting(
        1.0, 'How long an object may stay unseen and keep its id', unit='s', low=0, high=60)


@dataclass
class _Track:
    """What is kept of one object: its last pixels and when they were seen."""

    pixels: npt.NDArray[np.intp]
    class_id: int
    stamp_ns: int
    seen: int = 0
    track_id: int = 0


class Tracker:
    """
    Follows instances by the overlap of their masks; greedy, best overlap first.

    Parameters
    ----------
    settings : TrackingSettings
        May be replaced between updates by assigning :attr:`settings`.

    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self._next_id = 1
        self._tracks: list[_Track] = []
        self._shape: tuple[int, ...] = ()
        self._stamp_ns = 0

    def reset(self) -> None:
        """Forget every object. Ids are not used again."""
        self._tracks = []

    def update(self, instances: Instances, stamp_ns: int) -> npt.NDArray[np.int64]:
        """
        Follow the objects into the next frame.

        Parameters
        ----------
        instances : Instances
            All instances of the frame, possibly none.
        stamp_ns : int
            Time of the frame in nanoseconds. Going backwards resets the tracker.

        Returns
        -------
        ndarray of shape (N,), int64
            Track id of each instance, from 1; 0 while unconfirmed.

        """
        if instances.labels.shape != self._shape or stamp_ns < self._stamp_ns:
            self.reset()
        self._shape, self._stamp_ns = instances.labels.shape, stamp_ns
        pairs = []
        flat = instances.labels.ravel()
        for t, track in enumerate(self._tracks):
            overlaps = np.bincount(flat[track.pixels], minlength=len(instances) + 1)[1:]
            for i in np.flatnonzero(overlaps).tolist():
                union = len(track.pixels) + int(instances.areas[i]) - int(overlaps[i])
                iou = int(overlaps[i]) / union
                same_class = track.class_id == instances.class_ids[i]
                if iou >= self.settings.min_overlap and same_class:
                    pairs.append((-iou, t, i))
        found: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, t, i in sorted(pairs):
            if t not in taken and i not in found:
                taken.add(t)
                found[i] = self._tracks[t]
        ids = np.zeros(len(instances), np.int64)
        oldest_ns = stamp_ns - int(self.settings.max_lost_s * 1e9)
        kept = [track for t, track in enumerate(self._tracks)
                if t not in taken and track.track_id and track.stamp_ns >= oldest_ns]
        for i, (x0, y0, x1, y1) in enumerate(instances.boxes.tolist()):
            rows, columns = np.nonzero(instances.labels[y0:y1, x0:x1] == i + 1)
            pixels = (rows + y0) * self._shape[1] + columns + x0
            track = found.get(i) or _Track(pixels, int(instances.class_ids[i]), stamp_ns)
            track.pixels, track.stamp_ns, track.seen = pixels, stamp_ns, track.seen + 1
            if not track.track_id and track.seen >= self.settings.confirm_frames:
                track.track_id, self._next_id = self._next_id, self._next_id + 1
            ids[i] = track.track_id
            kept.append(track)
        self._tracks = kept
        return ids
