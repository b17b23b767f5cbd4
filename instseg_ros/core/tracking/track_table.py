"""The track table: all that is known of every track, one row a track."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from . import kalman
from .footprints import Footprints
from .measurement import Measurement


@dataclass
class TrackTable:
    """
    State of every track; row t of every array is track t.

    Attributes
    ----------
    ids : ndarray of shape (T,), int64
        Track id from 1, 0 for a candidate that is not confirmed yet.
    class_ids : ndarray of shape (T,), uint8
    state, covariance : ndarray of shape (T, 2, 4) and (T, 2, 4, 4), float64
        Of the box that the object would have if nothing hid it; see :mod:`.kalman`.
    seen_boxes : ndarray of shape (T, 4), float64
        Box of what was visible when it was last measured.
    anchors : ndarray of shape (T, 4), float64
        Box of the state at that time; from there to now the mask is moved and scaled.
    areas : ndarray of shape (T,), float64
        Pixels at that time.
    hits : ndarray of shape (T,), int64
        In how many frames it was seen.
    unseen_s : ndarray of shape (T,), float64
        How long it has been coasting, 0 when seen in the last frame.
    age_s : ndarray of shape (T,), float64
        How long ago it was first seen.
    footprints : Footprints
        Visible pixels of each track when it was last measured.

    """

    ids: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    seen_boxes: npt.NDArray[np.float64]
    anchors: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]
    unseen_s: npt.NDArray[np.float64]
    age_s: npt.NDArray[np.float64]
    footprints: Footprints

    @classmethod
    def empty(cls) -> TrackTable:
        """Return a table without tracks."""
        state, covariance = kalman.begin(np.zeros((0, 4)))
        return cls(np.zeros(0, np.int64), np.zeros(0, np.uint8), state, covariance,
                   np.zeros((0, 4)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64),
                   np.zeros(0), np.zeros(0), Footprints.none())

    @classmethod
    def begun(cls, seen: Measurement, columns: npt.NDArray[np.intp]) -> TrackTable:
        """Return candidates, one for each of some instances."""
        boxes, count = seen.boxes[columns], len(columns)
        state, covariance = kalman.begin(boxes)
        rows = np.full(len(seen.boxes), -1, np.intp)
        rows[columns] = np.arange(count)
        return cls(np.zeros(count, np.int64), seen.class_ids[columns], state, covariance,
                   boxes, boxes.copy(), seen.areas[columns], np.ones(count, np.int64),
                   np.zeros(count), np.zeros(count), seen.footprints.placed(rows, count))

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Where each object is expected, (T, 4)."""
        return kalman.boxes_of(self.state)

    @property
    def seen_boxes_now(self) -> npt.NDArray[np.float64]:
        """Where what was last visible of each object is expected, (T, 4)."""
        scale, shift = self.moves
        return self.seen_boxes * np.tile(scale, 2) + np.tile(shift, 2)

    @property
    def areas_now(self) -> npt.NDArray[np.float64]:
        """Pixels that each object is expected to show, (T,)."""
        return self.areas * self.moves[0].prod(axis=1)

    @property
    def whole_areas(self) -> npt.NDArray[np.float64]:
        """Pixels that each object would show if nothing hid it, (T,): its box, as full as seen."""
        return self.areas_now * (kalman.sizes(self.boxes)
                                 / kalman.sizes(self.seen_boxes_now)) ** 2

    @property
    def moves(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scale and shift, (T, 2) each, from when each object was last measured to now."""
        before, now = self.anchors, self.boxes
        scale = (now[:, 2:] - now[:, :2]) / np.maximum(before[:, 2:] - before[:, :2], 1)
        centre = (before[:, :2] + before[:, 2:]) / 2
        return scale, (now[:, :2] + now[:, 2:]) / 2 - scale * centre

    def predict(self, dt: float) -> None:
        """Move every track `dt` seconds on; all coast until they are corrected."""
        self.state, self.covariance = kalman.predict(self.state, self.covariance, dt)
        self.unseen_s, self.age_s = self.unseen_s + dt, self.age_s + dt

    def carry(self, rows: npt.NDArray[np.bool_], scale: float, shift: npt.NDArray[np.float64],
              faster: npt.NDArray[np.float64]) -> None:
        """
        Move some tracks as the camera moved everything.

        Parameters
        ----------
        rows : ndarray of shape (T,), bool
            Which tracks.
        scale : float
            What positions and sizes are multiplied with.
        shift : ndarray of shape (2,), float64
            By how much positions change then, in pixels.
        faster : ndarray of shape (2,), float64
            By how much everything is faster than it was thought to be, in px / s.

        """
        self.state[rows, :, 0] = scale * self.state[rows, :, 0] + shift
        self.state[rows, :, 1] += faster
        self.state[rows, :, 2] *= scale

    def correct(self, rows: npt.NDArray[np.intp], seen: Measurement,
                columns: npt.NDArray[np.intp], doubt: npt.NDArray[np.float64]) -> None:
        """Take in which instances (`columns`) tracks (`rows`) were seen as; doubt is (M, 4)."""
        boxes = seen.boxes[columns]
        self.state[rows], self.covariance[rows] = kalman.correct(
            self.state[rows], self.covariance[rows], boxes, doubt)
        self.seen_boxes[rows], self.anchors[rows] = boxes, kalman.boxes_of(self.state[rows])
        self.areas[rows], self.class_ids[rows] = seen.areas[columns], seen.class_ids[columns]
        before, now = np.arange(len(self)), np.full(len(seen.boxes), -1, np.intp)
        before[rows], now[columns] = -1, rows
        self.footprints = self.footprints.placed(before, len(self)).merged(
            seen.footprints.placed(now, len(self)))

    def copy(self) -> TrackTable:
        """Return a table that can change alone."""
        return self.kept(np.ones(len(self), bool))

    def kept(self, rows: npt.NDArray[np.bool_]) -> TrackTable:
        """Return a table of some of the rows."""
        now = np.where(rows, np.cumsum(rows) - 1, -1)
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)[:-1]},
                       footprints=self.footprints.placed(now, int(rows.sum())))

    def joined(self, other: TrackTable) -> TrackTable:
        """Return a table of both."""
        return replace(self, **{f.name: np.concatenate([getattr(self, f.name),
                                                        getattr(other, f.name)])
                                for f in fields(self)[:-1]},
                       footprints=self.footprints.followed_by(other.footprints))
