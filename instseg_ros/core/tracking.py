"""Tracking: one id for each object for as long as a person would say it is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .association import assign, box_overlaps, common_shift, oriented_overlaps, Table
from .footprints import contacts, Footprints
from .instances import Instances
from .motion import Motion, SEEN_NOISE
from .segmentation import SegmentationSettings
from .settings import setting, Settings

SURE = 0.4           # overlap above which what is seen is surely that object, or its neighbour
CLEAR = 0.6          # likeness above which a pair is made before any weaker one is looked at
TOUCH = 0.02         # overlap below which a pair's outlines are not compared
OUTLINE = 0.12       # sizes: how much the outline of an object trembles
SAMPLED_SIDE = 160   # px: masks of larger frames are compared on every 2nd, 3rd... pixel, as
SAMPLES_ACROSS = 8   # long as the smallest object still has this many across
INSIDE = 0.6         # share of an expected mask inside one instance that says: it is in there
FRAGMENT = 0.5       # share of a new instance on a followed object that says: a part of it
ROOM = 1.2           # times the area of the whole: how much all its parts may have
COVERED = 0.25       # share of a side of the box along another object: hidden by that one
SUSPECT = 4.0        # variances: doubt in a side that may be the edge of what hides the object
STARTLING = 2.0      # standard deviations: from there on a surprise is doubted
NEVER = 1e6          # doubt in a side that says nothing
SETTLED_S = 0.5      # s for which an object must have been seen to be known inside a blob
RETURN = 0.25        # likeness below which an unseen track does not come back
RETURN_BOXES = 0.3   # the same without masks, which say less
LEAP_SPEED = 8.0     # sizes / s: how fast an object may dart off that nothing else explains
FARTHEST = 1.5       # sizes: how far at most
WHOLE_S = 5.0        # s in which the remembered size of a whole object shrinks to a third
HIDING = 4.0         # doubt in the motion of what shows only a third of the whole (e times less)
PART = 0.5           # likeness of a part that lies fully in the box of an expected object
HIDDEN_PATIENCE = 3  # how many times longer an object is waited for inside another's blob


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """How instances are followed from frame to frame."""

    min_overlap: float = setting(
        0.2, 'Smallest likeness (overlap, or nearness in place, size and angle) of two masks '
        'that are the same object', low=0, high=1)
    confirm_frames: int = setting(
        2, 'Frames in which an object must be seen before it gets an id; the first ever '
        'seen have one at once', unit='frames', low=1, high=100)
    max_lost_s: float = setting(
        1.0, 'How long an object may stay unseen and keep its id', unit='s', low=0, high=60)
    max_gap_s: float = setting(
        5.0, 'Longest time without a frame; after a longer one everything starts anew',
        unit='s', low=0.01, high=3600)
    retune_frames: int = setting(
        10, 'Frames for which no track is dropped or renumbered after segmentation parameters '
        'changed', unit='frames', low=0, high=1000)


@dataclass(frozen=True)
class _View:
    """What one frame shows, in the form that is compared."""

    footprints: Footprints
    class_ids: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float64]
    oriented: npt.NDArray[np.float64]
    centres: npt.NDArray[np.float64]
    covered: npt.NDArray[np.float64]   # (N, 4): share of each side along another instance
    cut: npt.NDArray[np.bool_]         # (N, 4): sides where the frame cuts it off


class Tracker:
    """
    Follows instances by their masks, oriented boxes and motion.

    Tracks are moved to where constant velocity puts them, and to where a pushed camera shifted
    everything; then they are paired with the instances in stages, each optimal in itself: sure
    mask overlaps first, weak ones next, tracks that were lost after those, and candidates for new
    tracks last (stages as in ByteTrack: Zhang et al., 2022; sorted by what the masks say instead
    of the detector's score). Where masks do not overlap, oriented boxes are compared.

    Several tracks inside one instance are a group that the splitter did not cut: they keep their
    own masks and motion until they part, so that ids survive the crossing.

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
        self._motion = Motion()
        self._footprints = Footprints.none()
        self._ids = np.zeros(0, np.int64)
        self._class_ids = np.zeros(0, np.uint8)
        self._areas = np.zeros(0)
        self._boxes = np.zeros((0, 4))            # as last seen, at _anchors
        self._cut = np.zeros((0, 4), bool)        # sides where the frame cut it off
        self._oriented = np.zeros((0, 5))
        self._centres = np.zeros((0, 2))
        self._anchors = np.zeros((0, 2))          # position when mask, boxes, centre were taken
        self._wholes = np.zeros((0, 5))           # box when most of it was seen, and that area
        self._whole_anchors = np.zeros((0, 2))
        self._times_seen = np.zeros(0, np.int64)
        self._unseen_s = np.zeros(0)
        self._seen_s = np.zeros(0)                # how long it has been seen alone
        self._present = np.zeros(0, bool)         # seen in the last frame, or known to be behind
        self._shape: tuple[int, ...] | None = None
        self._stamp_ns = 0
        self._begun = False                       # whether anything was seen yet
        self._tolerant_frames = 0
        self._dt = 0.0

    def reset(self) -> None:
        """Forget every object. Ids are not used again."""
        self._forget()

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
        if before is not None and before.changed(config_mode=segmentation.config_mode) \
                != segmentation:
            self.tolerate()

    def update(self, instances: Instances, stamp_ns: int) -> npt.NDArray[np.int64]:
        """
        Follow the objects into the next frame.

        Parameters
        ----------
        instances : Instances
            All instances of the frame, possibly none.
        stamp_ns : int
            Time of the frame in nanoseconds. When it goes backwards, or ahead by more than
            ``max_gap_s``, everything starts anew and :attr:`reset_cause` says why.

        Returns
        -------
        ndarray of shape (N,), int64
            Track id of each instance, from 1; 0 while unconfirmed.

        """
        self._check_continuity(instances.labels.shape, stamp_ns)
        self._dt = dt = (stamp_ns - self._stamp_ns) * 1e-9 if len(self._ids) else 0.0
        self._shape, self._stamp_ns = instances.labels.shape, stamp_ns
        self._motion.predict(dt, np.sqrt(self._areas))
        self._unseen_s = self._unseen_s + dt

        view = self._look(instances)
        overlap, inside = self._overlaps(instances.labels, view)
        shift = self._camera_shift(overlap, view)
        if shift.any():
            self._motion.position += shift
            overlap, inside = self._overlaps(instances.labels, view)
        rows, columns = self._associate(overlap, inside, view)
        rows, columns, part_of, view = self._gather(rows, columns, view)
        ids = self._take_in(rows, columns, part_of, inside, view)
        self._tolerant_frames = max(0, self._tolerant_frames - 1)
        return ids

    def _check_continuity(self, shape: tuple[int, ...], stamp_ns: int) -> None:
        """Reset, and say why, when this frame cannot follow the last one."""
        self.reset_cause = ''
        if self._shape is None:
            return
        step_s = (stamp_ns - self._stamp_ns) * 1e-9
        if step_s < 0:
            self.reset_cause = f'time went back by {-step_s:.3f} s'
        elif step_s > self.settings.max_gap_s:
            self.reset_cause = f'no frame for {step_s:.3f} s'
        elif shape != self._shape:
            self.reset_cause = f'masks changed from {self._shape} to {shape} rows and columns'
        if self.reset_cause:
            self._forget()

    def _look(self, instances: Instances) -> _View:
        count = len(instances)
        areas = instances.areas.astype(np.float64)
        boxes = instances.boxes.astype(np.float64).reshape(-1, 4)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        cut, covered = np.zeros((count, 4), bool), np.zeros((count, 4))
        if not instances.labels.size:
            footprints = Footprints.none().placed(np.zeros(0, np.intp), count)
        else:
            height, width = instances.labels.shape
            cut[:, :2], cut[:, 2:] = boxes[:, :2] <= 0, boxes[:, 2:] >= (width, height)
            side = float(np.sqrt(areas.min(initial=np.inf)))
            stride = int(max(1, min(max(instances.labels.shape) / SAMPLED_SIDE,
                                    side / SAMPLES_ACROSS)))
            footprints = Footprints.of(instances.labels, count, stride)
            missed = footprints.counts == 0
            centres = np.where(missed[:, None], centres, footprints.centres)
            covered = contacts(instances.labels, boxes)
        return _View(footprints, instances.class_ids, areas, boxes,
                     instances.oriented_boxes.reshape(-1, 5), centres, covered, cut)

    @property
    def _has_masks(self) -> bool:
        return bool(self._shape and self._shape[0])

    @property
    def _moved(self) -> npt.NDArray[np.float64]:
        """
        How far each track is now expected from where its mask and boxes were taken.

        The position itself is that of some fixed point of the object, not of the pixels that
        happen to be visible; only its changes have a meaning.
        """
        return self._motion.position - self._anchors

    def _overlaps(self, labels: npt.NDArray[np.uint16], view: _View) -> tuple[Table, Table]:
        """Return intersection over union, and the share of each track inside each instance."""
        if not labels.size:
            overlap = box_overlaps(self._boxes + np.tile(self._moved, 2), view.boxes)
            return overlap, np.zeros_like(overlap)
        common = self._footprints.overlaps(self._moved, labels, len(view.areas))
        inside = common / np.maximum(self._footprints.counts, 1)[:, None]
        pixels = inside * self._areas[:, None]
        return pixels / (self._areas[:, None] + view.areas[None] - pixels), inside

    def _camera_shift(self, overlap: Table, view: _View) -> npt.NDArray[np.float64]:
        """Return how far the whole scene jumped since the last frame, beyond expectation."""
        known = (self._ids > 0) & self._present
        if known.sum() < 3 or len(view.areas) < 3:
            return np.zeros(2)
        stays = overlap[known].max(axis=1) >= SURE
        if stays.mean() >= 0.5:
            return np.zeros(2)
        expected, area = (self._centres + self._moved)[known], self._areas[known]
        ratio = area[:, None] / np.maximum(view.areas[None], 1)
        distance = np.abs(view.centres[None] - expected[:, None]).max(axis=2)
        reach = 0.25 * (max(self._shape) if self._shape and max(self._shape) else np.inf)
        possible = ((ratio > 2 / 3) & (ratio < 3 / 2) & (distance < reach)
                    & (self._class_ids[known][:, None] == view.class_ids[None]))
        return common_shift(expected, view.centres, possible,
                            cell=max(4.0, 0.25 * float(np.sqrt(np.median(area)))))

    def _associate(self, overlap: Table, inside: Table, view: _View
                   ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Pair tracks (rows) with instances (columns) in stages, the surest first."""
        same_class = self._class_ids[:, None] == view.class_ids[None]
        alike = overlap
        if self._tolerant_frames:
            # Masks grow, shrink and fall apart with the knobs: a part is as good as the whole.
            smaller = np.minimum(self._areas[:, None], view.areas[None])
            share = inside * self._areas[:, None] / np.maximum(smaller, 1)
            alike = np.maximum(alike, 0.5 * np.clip(share, 0, 1))
        # Networks change their mind about a class (bus, car) more often than objects leap.
        alike = np.where(same_class, alike, np.where(alike >= SURE, 0.5 * alike, 0))
        # Who walks in front of somebody takes the other's place in the picture, so the overlap of
        # what shows would swap them; where their heads and feet are would not.
        clear = np.zeros_like(alike)
        r, c = np.nonzero(alike > TOUCH)
        clear[r, c] = (alike[r, c] + self._outline_likeness(r, c, view)) / 2
        confirmed, present = self._ids > 0, self._present
        least = max(self.settings.min_overlap, 1e-6)
        returning = RETURN if self._has_masks else RETURN_BOXES
        # Boxes are compared only for what the first stage leaves: a twentieth of all pairs.
        # That what leapt has pixels on its place is a hint; that boxes touch says nothing.
        touching = alike if self._has_masks else np.zeros_like(alike)
        stages: tuple[tuple[npt.NDArray[np.bool_], Table, Callable | None, float], ...] = (
            (confirmed & present, clear, None, max(CLEAR, least)),
            (confirmed & present, alike, self._box_likeness, least),
            (confirmed & ~present, alike, self._box_likeness, max(returning, least)),
            (confirmed & present, touching, self._leap_likeness, 1e-6),
            (~confirmed, alike, self._box_likeness, least))
        pairs: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = []
        free = np.ones(len(view.areas), bool)
        taken = np.zeros(len(self._ids), bool)
        for who, overlapping, nearness, limit in stages:
            r, c = np.flatnonzero(who & ~taken), np.flatnonzero(free)
            if len(r) and len(c):
                likeness = overlapping[np.ix_(r, c)]
                if nearness is not None:
                    likeness = np.maximum(likeness, nearness(r, c, view))
                i, j = assign(likeness, limit)
                pairs.append((r[i], c[j]))
                taken[r[i]], free[c[j]] = True, False
        if not pairs:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        rows, columns = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return rows, columns

    def _box_likeness(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
                      view: _View) -> Table:
        """Return how alike the expected and the seen oriented boxes are, within a class."""
        expected = self._oriented[rows]
        expected[:, :2] += self._moved[rows]
        spread = self._motion.covariance[rows, 0]
        area, other = self._areas[rows][:, None], view.areas[columns][None]
        ratio = np.minimum(area, other) / np.maximum(np.maximum(area, other), 1)
        likeness = oriented_overlaps(expected, view.oriented[columns], spread) * np.sqrt(ratio)
        # What comes out from behind something is a part of an object known to be larger.
        part, wholes = self._in_wholes(rows, columns, view), self._wholes[rows]
        certainty = 1 / (1 + spread / np.maximum(wholes[:, 4], 1))
        part *= PART * certainty[:, None]
        # One who is seen whole does not vanish at once; one who comes out may grow at once.
        whole_now = self._present[rows] & (self._areas[rows] > 0.5 * wholes[:, 4])
        part[whole_now[:, None] & (ratio < 1 / 3)] = 0
        likeness = np.maximum(likeness, part)
        return np.where(self._class_ids[rows][:, None] == view.class_ids[columns], likeness, 0)

    def _whole_boxes(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return the boxes, (M, 4), where all of each object is expected, hidden or not."""
        moved = self._motion.position[rows] - self._whole_anchors[rows]
        return self._wholes[rows, :4] + np.tile(moved, 2)

    def _in_wholes(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], view: _View
                   ) -> Table:
        """Return the share of each instance's box in the box of each expected whole object."""
        wholes, boxes = self._whole_boxes(rows), view.boxes[columns]
        if self._has_masks:   # as far as it may be off: two standard deviations
            wholes += 2 * np.sqrt(self._motion.covariance[rows, :1]) * (-1, -1, 1, 1)
        low = np.maximum(wholes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(wholes[:, None, 2:], boxes[None, :, 2:])
        common = np.prod(np.clip(high - low, 0, None), axis=2)
        return common / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1)[None]

    def _leap_likeness(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
                       view: _View) -> Table:
        """Return how near objects of about the same size are, for those that leapt."""
        area, other = self._areas[rows][:, None], view.areas[columns][None]
        expected = (self._centres + self._moved)[rows]
        distance = np.linalg.norm(view.centres[columns][None] - expected[:, None], axis=2)
        reach = np.sqrt(area) * min(FARTHEST, LEAP_SPEED * self._dt)
        possible = (area < 3 * other) & (other < 3 * area) \
            & (self._class_ids[rows][:, None] == view.class_ids[columns])
        return np.where(possible, 1 - distance / np.maximum(reach, 1e-9), 0)

    def _gather(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], view: _View
                ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp],
                           _View]:
        """
        Put together again what a lamp post or a passer-by cuts into parts.

        What lies in the box of a whole object, and leaves all its parts no larger than the whole,
        belongs to it. The id is seen at the largest part.

        Returns
        -------
        rows, columns : ndarray of shape (M,), intp
            The pairs; those of objects with their largest part.
        part_of : ndarray of shape (N,), intp
            Row of the object that an instance is a further part of, or -1.
        view : _View
            In which the largest part stands for all of them.

        """
        part_of = np.full(len(view.areas), -1, np.intp)
        confirmed = self._ids[rows] > 0
        known, largest = rows[confirmed], columns[confirmed]
        strangers = np.ones(len(view.areas), bool)
        strangers[largest] = False
        strange = np.flatnonzero(strangers)
        if not (self._has_masks and len(known) and len(strange)):
            return rows, columns, part_of, view
        share = self._in_wholes(known, strange, view)
        share[self._class_ids[known][:, None] != view.class_ids[strange][None]] = 0
        # Where one leaves the frame another may enter it.
        share[(view.cut[largest][:, None] & view.cut[strange][None]).any(axis=2)] = 0
        room = ROOM * self._wholes[known, 4] - view.areas[largest]
        areas, boxes = view.areas.copy(), view.boxes.copy()
        centres, cut = view.centres.copy(), view.cut.copy()
        for j in np.argsort(-view.areas[strange]):
            part, area = strange[j], view.areas[strange[j]]
            fits = np.where(area < room, share[:, j], 0)
            i = int(fits.argmax())
            if fits[i] <= INSIDE:
                continue
            room[i] -= area
            other = largest[i]
            total = areas[other] + area
            centre = (centres[other] * areas[other] + view.centres[part] * area) / total
            box = np.concatenate([np.minimum(boxes[other, :2], view.boxes[part, :2]),
                                  np.maximum(boxes[other, 2:], view.boxes[part, 2:])])
            cut[[other, part]] = cut[other] | cut[part]
            if area > view.areas[other]:
                largest[i], part = part, other
            part_of[part] = known[i]
            areas[largest[i]], boxes[largest[i]], centres[largest[i]] = total, box, centre
        columns = columns.copy()
        columns[confirmed] = largest
        # Candidates for new tracks that turn out to be parts.
        taken = part_of >= 0
        taken[largest] = True
        left = confirmed | ~taken[columns]
        return (rows[left], columns[left], part_of,
                replace(view, areas=areas, boxes=boxes, centres=centres, cut=cut))

    def _take_in(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
                 part_of: npt.NDArray[np.intp], inside: Table, view: _View
                 ) -> npt.NDArray[np.int64]:
        """Correct the paired tracks, drop the lost ones, begin new ones; return the ids."""
        count = len(view.areas)
        confirmed = self._ids > 0
        # Tracks inside the instance of another one: not seen, but known to be there.
        lies_in = (inside >= INSIDE) & confirmed[:, None]
        paired = np.zeros(len(self._ids), bool)
        paired[rows] = True
        hidden = ~paired & lies_in.any(axis=1) & (self._seen_s >= SETTLED_S)
        crowded = np.zeros(len(self._ids), bool)
        crowded[rows] = (lies_in[:, columns].sum(axis=0) >= 2) \
            & (view.areas[columns] > 1.25 * self._areas[rows])

        covered = (inside * self._areas[:, None])[paired & confirmed].max(axis=0, initial=0)
        fragment = covered > FRAGMENT * view.areas
        fragment |= part_of >= 0

        # A blob of several says where none of them is: its tracks go on as expected.
        plain = ~crowded[rows]
        r, c = rows[plain], columns[plain]
        self._seen_s[r] += self._dt
        sizes = np.sqrt(view.areas[c])
        jump = np.abs(np.log(view.areas[c] / np.maximum(self._areas[r], 1)))
        jump[view.cut[c].any(axis=1)] = 0   # grows as it enters
        # The less of an object shows, the less that says about its motion. (Boxes of a detector
        # are of whole objects.)
        hidden_part = self._has_masks * HIDING * np.log(
            np.maximum(self._wholes[r, 4] / np.maximum(view.areas[c], 1), 1))
        surprise = self._surprise(r, c, view)
        deviation = np.sqrt(self._motion.covariance[r, 0] + (SEEN_NOISE * sizes)**2)
        jump += np.maximum(0, np.abs(surprise).max(axis=1) / deviation - STARTLING)
        self._motion.correct(r, self._motion.position[r] + surprise, sizes,
                             1 + 4 * jump + hidden_part + 8 * ~self._present[r])
        self._areas[r], self._boxes[r], self._oriented[r], self._centres[r] = (
            view.areas[c], view.boxes[c], view.oriented[c], view.centres[c])
        self._cut[r], self._anchors[r] = view.cut[c], self._motion.position[r]
        self._class_ids[r] = view.class_ids[c]
        # What hides a part does it for seconds: so long the whole is remembered.
        self._wholes[r, 4] *= np.exp(-self._dt / WHOLE_S)
        in_parts = np.zeros(len(self._ids), bool)
        in_parts[part_of[part_of >= 0]] = True
        most = (self._areas[r] >= self._wholes[r, 4]) & ~in_parts[r]
        self._wholes[r[most]] = np.column_stack([self._boxes, self._areas])[r[most]]
        self._whole_anchors[r[most]] = self._anchors[r[most]]
        self._unseen_s[rows], self._present = 0, paired | hidden
        counted = ~self._ids[rows].astype(bool) & ~fragment[columns]
        self._times_seen[rows[counted]] += 1

        kept = paired | (confirmed & self._may_return(hidden))
        fresh = np.ones(count, bool)
        fresh[columns] = False
        fresh[part_of >= 0] = False
        now = self._reindex(kept, r, c, fresh, part_of, view)
        if not self._tolerant_frames:
            # What is there first did not pop up (as in ByteTrack).
            ready = (self._ids == 0) & (
                (not self._begun) | (self._times_seen >= self.settings.confirm_frames))
            self._ids[ready] = self._next_id + np.arange(ready.sum())
            self._next_id += int(ready.sum())
        self._begun |= count > 0
        ids = np.zeros(count, np.int64)
        ids[columns] = self._ids[now[rows]]
        ids[fresh] = self._ids[kept.sum():]
        return ids

    def _outline_likeness(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
                          view: _View) -> npt.NDArray[np.float64]:
        """Return how near pairs are to each other by the sides that fit best, (M,) in [0, 1]."""
        off = view.boxes[columns] - self._whole_boxes(rows)
        surprise = _least(np.stack([self._surprise(rows, columns, view), off[:, :2], off[:, 2:]]))
        variance = OUTLINE**2 * self._wholes[rows, 4] + self._motion.covariance[rows, 0]
        return np.exp(-0.5 * (surprise**2).sum(axis=1) / variance)

    def _surprise(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], view: _View
                  ) -> npt.NDArray[np.float64]:
        """
        Return how far objects are from where they were expected, (M, 2) in pixels.

        On each axis the two sides of the box and the centre each have an opinion, and the least
        surprising one counts: while an object goes behind another, one side stands still and the
        centre slows down, but the other side still moves as the object does. Of an object that
        is being hidden, a side that stands still while the other moves, or has another object
        along it, is suspected to be the edge of what hides it; the border of the frame surely is.
        """
        moved = self._moved[rows]
        before, now = self._boxes[rows], view.boxes[columns]
        opinions = np.stack([now[:, :2] - before[:, :2] - moved,
                             view.centres[columns] - self._centres[rows] - moved,
                             now[:, 2:] - before[:, 2:] - moved])
        if not self._has_masks:
            return _least(opinions)
        cut = view.cut[columns] | self._cut[rows]
        sizes, sizes_before = now[:, 2:] - now[:, :2], before[:, 2:] - before[:, :2]
        wider = np.log(np.maximum(sizes, 1) / np.maximum(sizes_before, 1))
        larger = np.log(view.areas[columns] / np.maximum(self._areas[rows], 1))[:, None]
        # Limbs that swing change the box and not the area.
        hiding = (wider * larger > 0) & (np.abs(larger) > 0.5 * np.abs(wider)) \
            & (np.abs(wider) >= np.abs(wider[:, ::-1]))
        some = np.flatnonzero(hiding.any(axis=1) | cut.any(axis=1))
        least = _least(opinions)
        if len(some):
            hiding, opinions, cut = hiding[some], opinions[:, some], cut[some].reshape(-1, 2, 2)
            steps = np.abs(now - before)[some].reshape(-1, 2, 2)   # low and high side, axis
            stands = steps < steps[:, ::-1] / 3
            covered = view.covered[columns[some]].reshape(-1, 2, 2) > COVERED
            sides = np.where(cut, NEVER, hiding[:, None] * (2 * covered + stands))
            centre = np.where(cut.any(axis=1), NEVER, hiding)
            doubt = np.stack([sides[:, 0], centre, sides[:, 1]])
            doubt -= doubt.min(axis=0)
            variance = (self._motion.covariance[rows[some], 0]
                        + SEEN_NOISE**2 * self._areas[rows[some]])[:, None]
            best = (SUSPECT * doubt + opinions**2 / variance).argmin(axis=0)
            least[some] = np.take_along_axis(opinions, best[None], axis=0)[0]
        return least

    def _may_return(self, hidden: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which tracks, if unseen, are worth waiting for."""
        limit = self.settings.max_lost_s * np.where(hidden, HIDDEN_PATIENCE, 1)
        waiting = (self._unseen_s <= limit) | (self._tolerant_frames > 0)
        if self._shape and self._has_masks:
            height, width = self._shape
            expected = self._centres + self._moved
            inside = (expected >= 0) & (expected <= (width, height))
            waiting &= inside.all(axis=1)
        if self._segmentation is not None:
            waiting &= self._areas >= self._segmentation.size_threshold
            waiting &= ~np.isin(self._class_ids, self._segmentation.ignored_classes)
        return waiting

    def _reindex(self, kept: npt.NDArray[np.bool_], rows: npt.NDArray[np.intp],
                 columns: npt.NDArray[np.intp], fresh: npt.NDArray[np.bool_],
                 part_of: npt.NDArray[np.intp], view: _View) -> npt.NDArray[np.intp]:
        """Keep some tracks, append fresh instances; return the new row of each old track."""
        new = np.flatnonzero(fresh)
        total = int(kept.sum()) + len(new)
        now = np.where(kept, np.cumsum(kept) - 1, -1)
        # Masks: of this frame where a track was plainly seen or begins, else the old ones.
        from_view = np.full(len(fresh), -1, np.intp)
        from_view[columns], from_view[new] = now[rows], np.arange(total - len(new), total)
        plain = np.zeros(len(kept), bool)
        plain[rows] = True
        parts = np.flatnonzero(part_of >= 0)
        parts = parts[plain[part_of[parts]]]
        from_view[parts] = now[part_of[parts]]
        from_before = now.copy()
        from_before[rows] = -1
        seen = view.footprints.placed(from_view, total)
        unseen = (from_before >= 0).any()
        self._footprints = (self._footprints.placed(from_before, total).merged(seen) if unseen
                            else seen)
        if not len(new) and kept.all():
            return now
        self._motion.keep(kept)
        self._motion.add(view.centres[new], np.sqrt(view.areas[new]))
        self._ids = np.concatenate([self._ids[kept], np.zeros(len(new), np.int64)])
        self._class_ids = np.concatenate([self._class_ids[kept], view.class_ids[new]])
        self._areas = np.concatenate([self._areas[kept], view.areas[new]])
        self._boxes = np.concatenate([self._boxes[kept], view.boxes[new]])
        self._cut = np.concatenate([self._cut[kept], view.cut[new]])
        self._oriented = np.concatenate([self._oriented[kept], view.oriented[new]])
        self._centres = np.concatenate([self._centres[kept], view.centres[new]])
        self._anchors = np.concatenate([self._anchors[kept], view.centres[new]])
        whole = np.column_stack([view.boxes, view.areas])
        self._wholes = np.concatenate([self._wholes[kept], whole[new]])
        self._whole_anchors = np.concatenate([self._whole_anchors[kept], view.centres[new]])
        self._times_seen = np.concatenate([self._times_seen[kept], np.ones(len(new), np.int64)])
        self._unseen_s = np.concatenate([self._unseen_s[kept], np.zeros(len(new))])
        self._seen_s = np.concatenate([self._seen_s[kept], np.zeros(len(new))])
        self._present = np.concatenate([self._present[kept], np.ones(len(new), bool)])
        return now


def _least(opinions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return, of (K, M, 2) opinions, the one nearest to 0 for each object and axis, (M, 2)."""
    return np.take_along_axis(opinions, np.abs(opinions).argmin(axis=0)[None], axis=0)[0]
