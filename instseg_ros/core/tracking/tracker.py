"""Tracking: one id for each object for as long as a person would say it is the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .fragments import fragments
from .matching import (area_ratio, buffered_iou, camera_motion, camera_shift, edge_affinity,
                       emergence, in_stages, mask_overlap, Rows, Table)
from .measurement import edge_doubt, Measurement
from .track_table import TrackTable
from ..instances import Instances
from ..segmentation import SegmentationSettings
from ..settings import setting, Settings

LATE_S = 0.25         # s: a frame that is older by no more came late; by more, time jumped


@dataclass(frozen=True)
class Association:
    """
    Constants of matching and coasting, chosen on one half of the benchmark's seeds.

    Clear pairs: on 24 drawn streets of 6 s there are 22 id switches, and 39 without that stage.
    Strips: on the streets of ``benchmarks/scene.py`` that are reported 335 entries and exits are
    said of 335, and 373 without them; IDF1 changes little (docs/tracking.md).
    """

    margin: float = 0.3          # share by which boxes grow before they overlap
    clear: float = 0.75          # affinity of a pair that is made before any other
    other_class: float = 0.4     # mask IoU from which on a network may have changed its mind
    inside: float = 0.6          # share of a mask inside an instance that says: it is in there
    merged: float = 1.25         # times its area: an instance that is several objects
    strip: float = 0.5           # emergence of a pair: how much of a strip that comes out fits
    spread: float = 2.5          # standard deviations within which it comes out
    fragment_s: float = 0.5      # s that what lies in a followed object waits for an id


RULES = Association()


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """How instances are followed from frame to frame."""

    min_overlap: float = setting(
        0.2, 'Smallest overlap of the expected and the seen box, both grown by 30 % on each '
        'side, of the same object', low=0, high=1)
    confirm_frames: int = setting(
        2, 'Frames in which an object must be seen before it gets an id; the first ever '
        'seen have one at once', unit='frames', low=1, high=100)
    max_lost_s: float = setting(
        2.0, 'How long an object may stay unseen and keep its id', unit='s', low=0, high=60)
    max_gap_s: float = setting(
        5.0, 'Longest time without a frame; after a longer one everything starts anew',
        unit='s', low=0.01, high=3600)
    retune_frames: int = setting(
        10, 'Frames for which no track is dropped or renumbered after segmentation parameters '
        'changed', unit='frames', low=0, high=1000)


class Tracker:
    """
    Follows instances by their boxes, masks and motion.

    Each track has the box that its object would have if nothing hid it, and a Kalman filter that
    says where it is now. Pairs of tracks and instances are made in stages, each optimal in itself:
    clear pairs by mask and edges; all confirmed tracks, also those that coast, by the overlap of
    buffered boxes; tracks that coast with strips that come out; candidates for new tracks last.

    Of several tracks inside one instance, which the splitter did not cut, one is seen and the
    others coast until they part, so that ids survive the crossing.

    Parameters
    ----------
    settings : TrackingSettings
        May be replaced between updates by assigning :attr:`settings`.

    Attributes
    ----------
    reset_cause : str
        Why the last update forgot every object before it began; empty when it did not.

    Notes
    -----
    Instances whose label image is empty (shape (0, 0)) are compared by their boxes alone; that is
    the way to follow boxes that overlap each other, which no label image can hold.

    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self.reset_cause = ''
        self._next_id = 1
        self._segmentation: SegmentationSettings | None = None
        self._forget()

    def _forget(self) -> None:
        self._table = TrackTable.empty()
        self._shape: tuple[int, ...] | None = None
        self._stamp_ns = 0
        self._begun = False            # whether anything was seen yet
        self._tolerant_frames = 0

    def reset(self) -> None:
        """Forget every object. Ids are not used again."""
        self._forget()

    def tracks(self) -> TrackTable:
        """Return a copy of the confirmed tracks, also those that coast."""
        return self._table.kept(self._table.ids > 0)

    def tolerate(self, frames: int | None = None) -> None:
        """
        Expect masks to jump in the next frames, for another reason than motion.

        For that long no track is dropped for being unseen, parts of an object count as the
        object, and no ids are given to new objects.

        Parameters
        ----------
        frames : int, optional
            How many updates; ``settings.retune_frames`` by default.

        """
        self._tolerant_frames = self.settings.retune_frames if frames is None else frames

    def follow(self, segmentation: SegmentationSettings) -> None:
        """
        Say how the instances are made, at the start and whenever it changes.

        A change makes the tracker :meth:`tolerate` the jump. Unseen tracks that are smaller than
        ``size_threshold`` or of an ignored class cannot come back and are dropped at once.
        """
        before = self._segmentation
        self._segmentation = segmentation
        if before is not None and segmentation != before.changed(
                config_mode=segmentation.config_mode, when_late=segmentation.when_late):
            self.tolerate()

    def update(self, instances: Instances, stamp_ns: int) -> npt.NDArray[np.int64]:
        """
        Follow the objects into the next frame.

        Parameters
        ----------
        instances : Instances
            All instances of the frame, possibly none.
        stamp_ns : int
            Time of the frame in nanoseconds. A frame that comes late, by at most ``LATE_S``, gets
            the ids of the objects that it shows and changes nothing. When time goes further back,
            or ahead by more than ``max_gap_s``, everything starts anew and :attr:`reset_cause`
            says why.

        Returns
        -------
        ndarray of shape (N,), int64
            Track id of each instance, from 1; 0 while unconfirmed.

        """
        self._check_continuity(instances.labels.shape, stamp_ns)
        seen = Measurement.of(instances)
        dt = (stamp_ns - self._stamp_ns) * 1e-9 if self._shape is not None else 0.0
        if dt < 0:
            return self._recognise(seen, dt)
        self._shape, self._stamp_ns = seen.labels.shape, stamp_ns
        table = self._table
        table.predict(dt)
        inside, fragment, rows, columns = self._associate(table, seen, dt)
        self._correct(table, seen, inside, fragment, rows, columns)
        kept = self._survivors(table, rows)
        ids = self._renew(table, seen, kept, rows, columns)
        self._tolerant_frames = max(0, self._tolerant_frames - 1)
        return ids

    def _check_continuity(self, shape: tuple[int, ...], stamp_ns: int) -> None:
        """Reset, and say why, when this frame cannot follow the last one."""
        self.reset_cause = ''
        if self._shape is None:
            return
        step_s = (stamp_ns - self._stamp_ns) * 1e-9
        if step_s < -LATE_S:
            self.reset_cause = f'time went back by {-step_s:.3f} s'
        elif step_s > self.settings.max_gap_s:
            self.reset_cause = f'no frame for {step_s:.3f} s'
        elif shape != self._shape:
            self.reset_cause = f'masks changed from {self._shape} to {shape} rows and columns'
        if self.reset_cause:
            self._forget()

    def _recognise(self, seen: Measurement, dt: float) -> npt.NDArray[np.int64]:
        """Return the ids of a frame that came late; the tracks stay as they are."""
        past = self._table.copy()
        past.predict(dt)
        *_, rows, columns = self._associate(past, seen, dt)
        ids = np.zeros(len(seen.areas), np.int64)
        ids[columns] = past.ids[rows]
        return ids

    def _associate(self, table: TrackTable, seen: Measurement, dt: float
                   ) -> tuple[Table, npt.NDArray[np.bool_], Rows, Rows]:
        """
        Pair tracks with the instances that show their ids.

        Returns
        -------
        inside : ndarray of shape (T, N), float64
            Share of each track's mask inside each instance.
        fragment : ndarray of shape (N,), bool
            Which instances are further parts of followed objects.
        rows, columns : ndarray of shape (M,), intp

        """
        visible = table.unseen_s <= dt
        confirmed = table.ids > 0
        coasting = confirmed & ~visible
        iou, inside = mask_overlap(table, seen)
        shift = camera_shift(table, seen, iou, confirmed & visible)
        if shift.any():
            table.state[:, :, 0] += shift
            iou, inside = mask_overlap(table, seen)
        if self._tolerant_frames:
            # Masks grow, shrink and fall apart with the knobs: a part is as good as the whole.
            smaller = np.minimum(table.areas_now[:, None], seen.areas[None])
            share = inside * table.areas_now[:, None] / np.maximum(smaller, 1)
            iou = np.maximum(iou, 0.5 * np.clip(share, 0, 1))
        same = table.class_ids[:, None] == seen.class_ids[None]
        clear = np.zeros_like(iou)
        r, c = np.nonzero(same & (iou > 0))
        clear[r, c] = (iou[r, c] + edge_affinity(table, seen, r, c)) / 2
        box = self._box_affinity(table, seen, coasting)
        if self._tolerant_frames:
            box = np.maximum(box, iou)
        # Networks change their mind about a class (bus, car) more often than objects leap.
        near = np.where(same, box, np.where(iou >= RULES.other_class, 0.5 * iou, 0))
        least = max(self.settings.min_overlap, 1e-6)
        rows, columns = in_stages(((confirmed & visible, clear, max(RULES.clear, least)),
                                   (confirmed, near, least)))
        columns, fragment = fragments(table, seen, rows, columns)
        strips = np.zeros_like(near)
        strips[coasting] = emergence(table, seen, np.flatnonzero(coasting), RULES.margin,
                                     RULES.spread)
        strips *= same & ~fragment
        rows, columns = in_stages(((coasting, strips, RULES.strip),
                                   (~confirmed, near, least)), rows, columns)
        return inside, fragment, rows, columns

    def _box_affinity(self, table: TrackTable, seen: Measurement, coasting: npt.NDArray[np.bool_]
                      ) -> Table:
        """Return how well the boxes of tracks and instances go together, (T, N)."""
        # The box of the whole object, or of what showed of it, whichever fits better.
        affinity = np.maximum(buffered_iou(table.boxes, seen.boxes, RULES.margin),
                              buffered_iou(table.seen_boxes_now, seen.boxes, RULES.margin))
        # Who returns is about as large as before: of cells that vanish and return 88 % are within
        # 15 % of the area that they had, and of those who are taken for them 28 %.
        affinity[coasting] *= np.sqrt(area_ratio(table.areas_now[coasting], seen.areas))
        return affinity

    def _correct(self, table: TrackTable, seen: Measurement, inside: Table,
                 fragment: npt.NDArray[np.bool_], rows: Rows, columns: Rows) -> None:
        """Update the paired tracks by what was seen of them."""
        confirmed = table.ids > 0
        # A leg behind a lamp post is no new object.
        waits = fragment[columns] & (table.age_s[rows] < RULES.fragment_s)
        table.hits[rows[confirmed[rows] | ~waits]] += 1
        table.unseen_s[rows] = 0
        # A merged instance says where none of its objects is: they go on as forecast.
        lies_in = (inside >= RULES.inside) & confirmed[:, None]
        merged = (lies_in[:, columns].sum(axis=0) >= 2) \
            & (seen.areas[columns] > RULES.merged * table.areas_now[rows])
        r, c = rows[~merged], columns[~merged]
        doubt = edge_doubt(table.boxes[r], table.covariance[r], seen, c)
        plain = confirmed[r] & ~seen.cut[c].any(axis=1)
        motion = camera_motion(table.seen_boxes_now[r[plain]], seen.boxes[c[plain]])
        before = table.state[r[plain], :, 1]
        table.correct(r, seen, c, doubt)
        if motion is not None:
            faster = np.median(table.state[r[plain], :, 1] - before, axis=0)
            table.carry(confirmed & (table.unseen_s > 0), *motion, faster)

    def _survivors(self, table: TrackTable, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which tracks live on: those seen now, and confirmed ones that may come back."""
        kept = (table.unseen_s <= self.settings.max_lost_s) | (self._tolerant_frames > 0)
        if self._shape and self._shape[0]:
            height, width = self._shape
            centres = table.state[:, :, 0]
            kept &= ((centres >= 0) & (centres <= (width, height))).all(axis=1)
        if self._segmentation is not None:
            # An automatic threshold is not of all instances, and what is below it never was one.
            kept &= table.areas >= self._segmentation.size_threshold
            kept &= ~np.isin(table.class_ids, self._segmentation.ignored_classes)
        kept &= table.ids > 0
        kept[rows] = True
        return kept

    def _renew(self, table: TrackTable, seen: Measurement, kept: npt.NDArray[np.bool_],
               rows: Rows, columns: Rows) -> npt.NDArray[np.int64]:
        """Bury tracks, begin candidates, confirm those seen often enough; return all ids."""
        count = len(seen.areas)
        fresh = np.setdiff1d(np.arange(count), columns)
        self._table = after = table.kept(kept).joined(TrackTable.begun(seen, fresh))
        if not self._tolerant_frames:
            # What is there first did not pop up (as in ByteTrack).
            ready = (after.ids == 0) & (
                (not self._begun) | (after.hits >= self.settings.confirm_frames))
            after.ids[ready] = self._next_id + np.arange(ready.sum())
            self._next_id += int(ready.sum())
        self._begun |= count > 0
        ids = np.zeros(count, np.int64)
        ids[columns] = after.ids[(np.cumsum(kept) - 1)[rows]]
        ids[fresh] = after.ids[len(after) - len(fresh):]
        return ids
