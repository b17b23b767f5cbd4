"""Shape memory: divides merged instances where objects that were seen apart are expected."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .dividing import divided, Division, share_out
from .fitting import fit, showing
from .shapes import Shape
from ..instances import Instances
from ..tracking import kalman
from ..tracking.footprints import Footprints
from ..tracking.matching import assign, buffered_iou, common_area, Rows
from ..tracking.measurement import Measurement
from ..tracking.track_table import TrackTable

Boxes = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]
Group = tuple[list[int], list[int]]   # rows of tracks, columns of instances

SETTLED_FRAMES = 4    # in which an object must have been an instance that touched no other one
SAME = 0.2            # IoU of forecast and instance from which on they may be the same
BUFFER = 0.3          # share by which the boxes of the rest grow before they are compared
CLEAR = 0.5           # IoU from which on nobody asks further
INSIDE = 0.35         # share of a forecast inside an instance that says: it is in there
PART = 0.5            # share of an instance inside a forecast that says: a part of it
GONE_S = 0.4          # s for which an object is remembered that nothing may hide
HIDDEN_S = 2.5        # s for which it is remembered when another one may hide it
SHRUNK = 0.5          # share of its pixels below which an object is thought to be hidden in part
STALE_S = 1.5         # s after which it is believed to be that small, or alone
LONGEST_GAP_S = 1.0   # s between frames after which nothing of the last one is believed
LATE_S = 0.25         # s by which a frame may be late: it is divided, and changes nothing
CELLS = 12            # across an object, on the grid where shapes are compared
NEAREST, FARTHEST = 2, 4   # cells: least and greatest reach of the gate around a forecast
GATE = 2.0            # standard deviations of the forecast in which a shape is looked for
FITTED, HIDDEN, PARTLY = 2.0, 6.0, 4.0   # factors on the usual noise of an edge
MARGIN = 2            # px of background around a merged instance that count against


@dataclass
class _Remembered:
    """What is known of a track beside its row in the table; times in s."""

    shape: Shape
    seen_s: float             # when the shape was seen
    gone_s: float = 0.0       # for how long it was not seen, and nothing may have hidden it


@dataclass(frozen=True)
class _Fit:
    """Where the objects of a group are: boxes (K, 4), and which show."""

    group: Group
    boxes: Boxes
    shown: npt.NDArray[np.bool_]
    division: Division | None


class ShapeMemory:
    """
    Divides merged instances into the objects that were seen to enter them.

    Objects are followed as in :class:`~..tracking.Tracker`, with its table, filter and assignment,
    but by boxes alone. Each keeps its shape of when it was last seen apart. Only where several
    settled objects are expected in the same instances, shapes are fitted into these; each must
    explain pixels that no other one does, and who does not is hidden, and forgotten in time.
    Nothing is invented: what nobody was seen to enter is never divided, and the parts together are
    the merged instance, pixel by pixel.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every object."""
        self._table = TrackTable.empty()   # its ids are of the memory alone
        self._remembered: dict[int, _Remembered] = {}    # by the id of the track
        self._next_id = 1
        self._shape: tuple[int, ...] = ()
        self._stamp_ns = 0

    def update(self, instances: Instances, stamp_ns: int, smallest_area: int = 1) -> Instances:
        """
        Return the instances with merged ones divided, and remember them.

        Parameters
        ----------
        instances : Instances
            What the frame alone tells.
        stamp_ns : int
            Time of the frame in nanoseconds. A frame that is late by at most ``LATE_S`` changes
            nothing; after a longer step back, or a gap above ``LONGEST_GAP_S``, or in a frame of
            another size all objects are forgotten.
        smallest_area : int
            Parts of fewer pixels are not cut off.

        Returns
        -------
        Instances
            The same object when there was nothing to divide.

        """
        dt = (stamp_ns - self._stamp_ns) * 1e-9
        if instances.labels.shape != self._shape or not -LATE_S <= dt <= LONGEST_GAP_S:
            self.reset()
            self._shape, self._stamp_ns, dt = instances.labels.shape, stamp_ns, 0.0
        table = self._table if dt >= 0 else self._table.copy()
        table.predict(dt)
        forecast, affinity = table.boxes, np.zeros((len(table), len(instances)))
        fits: list[_Fit] = []
        if len(table) and len(instances):
            affinity, groups = self._associate(table, forecast, instances)
            for group in groups:
                one = self._fit(table, forecast, group, instances, smallest_area, abs(dt))
                if one is not None:
                    fits.append(one)
                    affinity[:, group[1]] = 0
                    affinity[group[0]] = 0
        if dt >= 0:
            self._stamp_ns = stamp_ns
            self._learn(instances, forecast, affinity, fits, dt)
        return divided(instances, [one.division for one in fits if one.division])

    def _associate(self, table: TrackTable, forecast: Boxes, instances: Instances
                   ) -> tuple[Table, list[Group]]:
        """Return affinities, and the groups of tracks and instances that are not one to one."""
        boxes = instances.boxes.astype(np.float64)
        same = table.class_ids[:, None] == instances.class_ids
        common = common_area(forecast, boxes) * same
        own, theirs = _areas(forecast)[:, None], _areas(boxes)
        affinity = common / (own + theirs - common)
        near = (common >= INSIDE * own) | (common >= PART * theirs)
        near &= (table.hits >= SETTLED_FRAMES)[:, None]
        groups = []
        for rows, columns in _groups(near):
            # Boxes are quick to compare, pixels tell.
            shared, areas = self._shared(table.ids[rows], forecast[rows], columns, instances)
            their_areas = instances.areas[columns]
            iou = shared / (areas + their_areas - shared)
            affinity[np.ix_(rows, columns)] = iou
            linked = (shared >= INSIDE * areas) | (shared >= PART * their_areas)
            for r, c in _groups(linked):
                clear = len(assign(iou[np.ix_(r, c)], CLEAR)[0])
                if len(r) > 1 and not clear == len(r) == len(c):
                    groups.append(([rows[k] for k in r], [columns[k] for k in c]))
        return affinity, groups

    def _shared(self, ids: npt.NDArray[np.int64], boxes: Boxes, columns: list[int],
                instances: Instances) -> tuple[Table, Table]:
        """Return pixels that shapes share with instances, (K, C), and pixels of shapes, (K, 1)."""
        step = _cell(boxes)
        cells = instances.labels[step // 2::step, step // 2::step]
        shared, areas = np.zeros((len(ids), len(columns))), np.zeros((len(ids), 1))
        for k, (number, box) in enumerate(zip(ids.tolist(), boxes, strict=True)):
            laid = self._remembered[number].shape.laid(box, step)
            there, here = laid.common(cells.shape)
            counts = np.bincount((cells[there] * laid.mask[here]).ravel(),
                                 minlength=len(instances) + 1)
            shared[k], areas[k] = counts[1:][columns], laid.area
        return shared * step**2, areas * step**2

    def _fit(self, table: TrackTable, forecast: Boxes, group: Group, instances: Instances,
             smallest_area: int, dt: float) -> _Fit | None:
        """Find out where some objects are in a merged instance; None when they are not in it."""
        rows, columns = group
        boxes, step = forecast[rows], _cell(forecast[rows])
        x0, y0, x1, y1 = _around(instances, columns)
        labels, origin = instances.labels[y0:y1, x0:x1], np.array([x0, y0])
        shapes = [self._remembered[i].shape for i in table.ids[rows].tolist()]
        # What another instance may hide is neither for nor against an object.
        value = np.zeros(len(instances) + 1, np.float32)
        value[0], value[np.array(columns) + 1] = -1, 1
        worth = value[labels[step // 2::step, step // 2::step]]
        expected = [s.laid(box, step, origin) for s, box in zip(shapes, boxes, strict=True)]
        deviation = np.sqrt(table.covariance[rows][:, :, 0, 0].mean(axis=1)) / step
        offsets = fit(worth, expected,
                      np.clip(np.ceil(GATE * deviation), NEAREST, FARTHEST).astype(int).tolist())
        covers = [e.moved(*o).cover(worth.shape) for e, o in zip(expected, offsets, strict=True)]
        areas = [e.area for e in expected]
        shown = showing(worth, covers, areas, (table.unseen_s[rows] <= dt + 1e-9).tolist())
        if not shown:
            return None
        boxes = boxes + step * np.tile(np.array(offsets), 2)
        division = None
        if len(shown) > 1:
            # On the ground, who stands lower in the frame is nearer and hides the others.
            shown.sort(key=lambda k: -boxes[k, 3])
            parts = share_out((value > 0)[labels], [
                shapes[k].laid(boxes[k], 1, origin).cover(labels.shape) for k in shown])
            if all(np.count_nonzero(p) >= max(smallest_area, 1) for p in parts):
                division = Division(columns, (x0, y0), parts)
        visible = np.zeros(len(rows), bool)
        visible[shown] = True
        return _Fit(group, boxes, visible, division)

    def _learn(self, instances: Instances, forecast: Boxes, affinity: Table, fits: list[_Fit],
               dt: float) -> None:
        """Correct the tracks, remember shapes of what was seen apart; births and deaths."""
        table, now_s = self._table, self._stamp_ns * 1e-9
        rows, columns = self._pairs(forecast, affinity, fits, instances)
        touching = _touching(instances)
        boxes, doubts, alone = [], [], []
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            known = self._remembered[int(table.ids[row])]
            settled = table.hits[row] >= SETTLED_FRAMES
            scale = float(np.prod(forecast[row, 2:] - forecast[row, :2]))**0.5 / known.shape.size
            whole = not touching[column] \
                and instances.areas[column] >= SHRUNK * scale**2 * known.shape.area
            if whole or not settled or now_s - known.seen_s > STALE_S:
                alone.append((row, column))
                boxes.append(_centred(instances, column))
                doubts.append(1.0)
            else:
                boxes.append(_partly_seen(known.shape, scale, forecast[row],
                                          instances.boxes[column]))
                doubts.append(PARTLY)
        measured, hidden = rows.tolist(), np.zeros(len(table), bool)
        seen = measured.copy()
        for one in fits:
            measured += one.group[0]
            boxes += list(one.boxes)
            doubts += np.where(one.shown, FITTED, HIDDEN).tolist()
            hidden[one.group[0]] = True
            seen += np.array(one.group[0])[one.shown].tolist()
        if measured:
            table.state[measured], table.covariance[measured] = kalman.correct(
                table.state[measured], table.covariance[measured], np.array(boxes),
                np.array(doubts)[:, None] * np.ones(4))
        table.unseen_s[seen] = 0
        now = table.boxes
        for row, column in alone:
            number = int(table.ids[row])
            self._remembered[number] = _Remembered(Shape(instances, column, now[row]), now_s)
        table.hits[rows] += ~touching[columns]
        self._bury(table, hidden, dt)
        taken = {c for one in fits for c in one.group[1]}.union(columns.tolist())
        fresh = [c for c in range(len(instances)) if c not in taken]
        if fresh:
            self._begin(instances, fresh, touching, now_s)

    def _pairs(self, forecast: Boxes, affinity: Table, fits: list[_Fit], instances: Instances
               ) -> tuple[Rows, Rows]:
        """Return which tracks are which instances, those that no fit explains."""
        rows, columns = assign(affinity, SAME)
        # A new track knows no motion yet, and a camera that turns moves all by their own width.
        near = buffered_iou(forecast, instances.boxes.astype(np.float64), BUFFER)
        near *= self._table.class_ids[:, None] == instances.class_ids
        near[rows], near[:, columns] = 0, 0
        for one in fits:
            near[one.group[0]] = 0
            near[:, one.group[1]] = 0
        more_rows, more_columns = assign(near, SAME)
        return np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])

    def _bury(self, table: TrackTable, hidden: npt.NDArray[np.bool_], dt: float) -> None:
        """Keep who was seen, or may be hidden; of the others those that settled, for a while."""
        kept = (table.hits >= SETTLED_FRAMES) | (table.unseen_s == 0)
        for row in np.flatnonzero(table.unseen_s > 0).tolist():
            known = self._remembered[int(table.ids[row])]
            known.gone_s += 0 if hidden[row] else dt
            kept[row] &= known.gone_s <= GONE_S and table.unseen_s[row] <= HIDDEN_S
        for row in np.flatnonzero(table.unseen_s == 0).tolist():
            self._remembered[int(table.ids[row])].gone_s = 0.0
        if not kept.all():
            self._table = table.kept(kept)
            self._remembered = {i: self._remembered[i] for i in self._table.ids.tolist()}

    def _begin(self, instances: Instances, fresh: list[int], touching: npt.NDArray[np.bool_],
               now_s: float) -> None:
        """Begin a track for each of some instances."""
        count, boxes = len(fresh), np.array([_centred(instances, c) for c in fresh])
        begun = TrackTable.begun(Measurement(
            np.zeros((0, 0), np.uint16), instances.class_ids[fresh],
            instances.areas[fresh].astype(np.float64), boxes,
            Footprints.none().placed(np.zeros(0, np.intp), count), np.zeros((count, 4)),
            np.zeros((count, 4), bool)), np.arange(count))
        begun.ids[:], begun.hits[:] = self._next_id + np.arange(count), ~touching[fresh]
        self._next_id += count
        for number, column, box in zip(begun.ids.tolist(), fresh, boxes, strict=True):
            self._remembered[number] = _Remembered(Shape(instances, column, box), now_s)
        self._table = self._table.joined(begun)


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return extent[:, 0] * extent[:, 1]


def _cell(boxes: Boxes) -> int:
    """Return the side of the cells, in pixels, in which shapes of objects are compared."""
    # Objects fill about half of their boxes.
    return max(1, round(0.7 * float(kalman.sizes(boxes).min()) / CELLS))


def _around(instances: Instances, columns: list[int]) -> tuple[int, int, int, int]:
    """Return the box, x0, y0, x1, y1, around instances and a margin of background."""
    boxes, (height, width) = instances.boxes[columns], instances.labels.shape
    x0, y0 = (boxes[:, :2].min(axis=0) - MARGIN).tolist()
    x1, y1 = (boxes[:, 2:].max(axis=0) + MARGIN).tolist()
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def _groups(link: npt.NDArray[np.bool_]) -> list[Group]:
    """Return rows and columns of a table that hang together, where there is more than one pair."""
    if (link.sum(axis=0) <= 1).all() and (link.sum(axis=1) <= 1).all():
        return []   # nearly always
    groups: list[tuple[set[int], set[int]]] = []
    for row, column in np.argwhere(link).tolist():
        joined = ({row}, {column})
        apart = []
        for group in groups:
            if row in group[0] or column in group[1]:
                joined = joined[0] | group[0], joined[1] | group[1]
            else:
                apart.append(group)
        groups = [*apart, joined]
    return [(sorted(r), sorted(c)) for r, c in groups if len(r) + len(c) > 2]


def _near(instances: Instances, gap: float | Table = 0) -> npt.NDArray[np.bool_]:
    """Return whose boxes, of one class, are at most a gap apart, (N, N)."""
    low, high = instances.boxes[:, :2], instances.boxes[:, 2:]
    near = (low[:, None] <= high + gap) & (low <= high[:, None] + gap)
    return near.all(axis=2) & (instances.class_ids[:, None] == instances.class_ids)


def _touching(instances: Instances) -> npt.NDArray[np.bool_]:
    """Return which instances touch another one of their class, (N,)."""
    boxes, found = instances.boxes, np.zeros(len(instances), bool)
    low, high, near = boxes[:, :2], boxes[:, 2:], _near(instances)
    for one, other in np.argwhere(np.triu(near, 1)).tolist():
        x0, y0 = np.maximum(np.maximum(low[one], low[other]) - 1, 0).tolist()
        x1, y1 = (np.minimum(high[one], high[other]) + 1).tolist()
        crop = instances.labels[y0:y1, x0:x1]
        grown = cv2.dilate((crop == one + 1).view(np.uint8), np.ones((3, 3), np.uint8))
        found[[one, other]] |= bool((grown.view(bool) & (crop == other + 1)).any())
    return found


def _centred(instances: Instances, column: int) -> Boxes:
    """Return the box of an instance, moved to have its centre of mass in the middle."""
    # Limbs swing, and the middle of the box with them.
    x0, y0, x1, y1 = instances.boxes[column].tolist()
    step = max(1, min(x1 - x0, y1 - y0) // CELLS)
    pixels = (instances.labels[y0:y1:step, x0:x1:step] == column + 1).view(np.uint8)
    moments = cv2.moments(pixels, binaryImage=True)
    count = max(moments['m00'], 1.0)
    x = x0 + 0.5 + step * moments['m10'] / count
    y = y0 + 0.5 + step * moments['m01'] / count
    w, h = (x1 - x0) / 2, (y1 - y0) / 2
    return np.array([x - w, y - h, x + w, y + h])


def _partly_seen(shape: Shape, scale: float, forecast: Boxes, seen: npt.NDArray[np.int32]
                 ) -> Boxes:
    """Return the box of a track that an instance shows in part, by the edge that moved least."""
    moved = forecast.copy()
    for axis in (0, 1):
        low = (forecast[axis] + forecast[axis + 2]) / 2 + scale * shape.corner[axis]
        off = seen[axis] - low, seen[axis + 2] - low - scale * shape.extent[axis]
        moved[axis::2] += min(off, key=abs)
    return moved
