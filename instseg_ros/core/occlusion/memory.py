"""Shape memory: divides merged instances where objects that were seen apart are expected."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from .dividing import divided, Division
from .fitting import CELLS, common as within, fit, Placed, stamped
from .shapes import Appearance, centred_box, Shape
from ..instances import Instances
from ..tracking import kalman
from ..tracking.footprints import Footprints
from ..tracking.matching import assign, buffered_iou, common_area
from ..tracking.measurement import edge_doubt, Measurement
from ..tracking.track_table import TrackTable

Array = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]

SETTLED_FRAMES = 3    # in which an object must have been seen apart from others
SAME = 0.2            # IoU of forecast and instance from which on they may be the same
CLEAR = 0.5           # IoU from which on nobody asks further
GATE, FAR = 2, 6
INSIDE = 0.35          # share of a forecast inside an instance that says: it is in there
PART = 0.5            # share of an instance inside a forecast that says: a part of it
EXPLAINED = 0.5       # IoU of a merged instance with all shapes in it
STAYS, RETURNS = 0.08, 0.2  # share of an object that it alone must explain to be shown (again)
AGAINST = 0.35        # share of an object that should be seen and is not, from which it is gone
UNSEEN_S = 0.4        # s for which an object is remembered with evidence against it
HIDDEN_S = 2.5        # s for which it is remembered when another one may hide all of it
WHOLE = 2
MEND, APART_S = False, 0.3
HIDE, LEARN, UNCLEAR_S = True, False, 0.4
SHRUNK = 0.5          # share of its pixels below which an object is thought to be hidden in part
STALE_S = 1.5         # s after which it is believed to be that small, or alone
LONGEST_GAP_S = 1.0   # s between frames after which nothing of the last one is believed
LATE_S = 0.25         # s by which a frame may be late: it is divided, and changes nothing
MARGIN = 2            # px of background around a merged instance that count against


@dataclass(frozen=True)
class _Fitted:
    """What came of a merged instance: rows, their boxes, who shows, who may be hidden."""

    rows: list[int]
    columns: list[int]
    boxes: Array
    shown: list[bool]
    hidden: list[bool]
    division: Division | None


class ShapeMemory:
    """
    Divides merged instances into the objects that were seen to enter them.

    Nothing is invented: what nobody was seen to enter is never divided, and the parts together
    are the merged instance, pixel by pixel.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every object."""
        self._table = TrackTable.empty()
        self._looks: dict[int, Appearance] = {}    # by the id of the track
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
            Time of the frame in nanoseconds.
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
            dt = 0.0
        self._shape = instances.labels.shape
        table = self._table
        late = dt < 0
        if late:
            table = table.kept(np.ones(len(table), bool))
        else:
            self._stamp_ns = stamp_ns
        table.predict(dt)
        forecast, seen = table.boxes, _measured(instances)
        same = table.class_ids[:, None] == seen.class_ids
        affinity = np.where(same, buffered_iou(forecast, seen.boxes, 0), 0)
        common = np.where(same, common_area(forecast, seen.boxes), 0)
        fitted, unclear = [], np.zeros(len(table), bool)
        for rows, columns in self._merged(instances, table, forecast, seen, affinity, common):
            found = self._fit(instances, forecast, rows, columns, smallest_area, dt,
                              stamp_ns * 1e-9)
            if found:
                fitted.append(found)
                affinity[:, columns] = 0
                affinity[rows] = 0
            else:
                unclear[rows] = True
        if not late:
            self._learn(instances, seen, forecast, affinity, common, fitted, unclear,
                        stamp_ns * 1e-9, dt)
        return divided(instances, [f.division for f in fitted if f.division])

    def _merged(self, instances: Instances, table: TrackTable, forecast: Array,
                seen: Measurement, affinity: Table, common: Table
                ) -> list[tuple[list[int], list[int]]]:
        """Return tracks and instances that hang together, where they are not one to one."""
        known = (table.hits >= SETTLED_FRAMES)[:, None]
        own, theirs = _areas(forecast), _areas(seen.boxes)
        linked = known & ((common >= INSIDE * own[:, None]) | (common >= PART * theirs))
        groups = []
        for rows, columns in _groups(linked):
            # Boxes are quick to compare, pixels tell.
            shared, areas = self._shared(instances, table.ids[rows], forecast[rows], columns)
            theirs_here = seen.areas[columns]
            iou = shared / (areas[:, None] + theirs_here - shared)
            affinity[np.ix_(rows, columns)] = iou
            links = (shared >= INSIDE * areas[:, None]) | (shared >= PART * theirs_here)
            for r, c in _groups(links):
                if len(r) == 1:
                    c = [k for k in c if shared[r[0], k] > PART * theirs_here[k]]
                    if len(c) < 2:
                        continue
                clear = len(assign(iou[np.ix_(r, c)], CLEAR)[0])
                if not clear == len(r) == len(c):
                    groups.append(([rows[k] for k in r], [columns[k] for k in c]))
        return groups

    def _shared(self, instances: Instances, ids: npt.NDArray[np.int64], boxes: Array,
                columns: list[int]) -> tuple[Table, Array]:
        """Return the pixels that remembered shapes share with instances, and their areas."""
        table, areas = np.zeros((len(ids), len(columns))), np.zeros(len(ids))
        step = _cell(boxes)
        labels = instances.labels[step // 2::step, step // 2::step]
        for k, (number, box) in enumerate(zip(ids.tolist(), boxes, strict=True)):
            mask, corner = self._looks[number].shapes[0].placed(box, np.zeros(2, int), step)
            there, here = within(corner, mask.shape, labels.shape)
            under = np.bincount((labels[there] * mask[here]).ravel(),
                                minlength=len(instances) + 1)
            table[k], areas[k] = under[1:][columns], max(1, cv2.countNonZero(mask))
        return table * step**2, areas * step**2

    def _fit(self, instances: Instances, forecast: Array, rows: list[int], columns: list[int],
             smallest_area: int, dt: float, now_s: float) -> _Fitted | None:
        """Find out which of some objects show in a merged instance, and where."""
        looks = [self._looks[i].shapes for i in self._table.ids[rows].tolist()]
        x0, y0, x1, y1 = _around(instances, columns)
        crop = instances.labels[y0:y1, x0:x1]
        origin = np.array([x0, y0])
        boxes = forecast[rows]
        step = _cell(boxes)
        inside = np.zeros(len(instances) + 1, bool)
        inside[np.array(columns) + 1] = True
        # What another instance may hide is neither for nor against an object.
        value = np.zeros(len(instances) + 1, np.float32)
        value[0], value[1:] = -1, inside[1:]
        worth = value[crop[step // 2::step, step // 2::step]]
        sd = np.sqrt(self._table.covariance[rows][:, :, 0, 0].mean(axis=1)) / step
        far = np.clip(np.ceil(GATE * sd), 2, FAR).astype(int).tolist()
        placed = fit(worth, looks, boxes, origin, step, far)
        shown = self._shown(placed, worth, [bool(u <= abs(dt) + 1e-6) for u in
                                            self._table.unseen_s[rows]])
        covers = np.add.reduce([placed[k].cover for k in shown])
        both = np.count_nonzero((covers > 0) & (worth > 0))
        if both < EXPLAINED * np.count_nonzero((worth > 0) | (covers > 0) & (worth < 0)):
            return None
        boxes = boxes + np.array([np.tile(p.offset * step, 2) for p in placed])
        hidden = []
        for p in placed:
            under = worth[p.cover > 0]
            hidden.append(bool(np.count_nonzero(under < 0) <= AGAINST * p.area
                               and np.count_nonzero(under > 0) >= 0.35 * p.area))
        division = None
        if len(rows) == 1 and not self._mends(rows[0], inside[crop], now_s):
            return None
        if len(shown) > 1 or len(rows) == 1:
            # On the ground, who stands lower in the frame is nearer and hides the others.
            shown.sort(key=lambda k: -boxes[k, 3])
            blob = inside[crop]
            parts = _shared_out(blob, [stamped(*placed[k].shape.placed(boxes[k], origin, 1),
                                               blob.shape) for k in shown])
            if all(np.count_nonzero(p) >= max(smallest_area, 1) for p in parts):
                division = Division(columns, (x0, y0), parts)
        return _Fitted(rows, columns, boxes, [k in shown for k in range(len(rows))], hidden,
                       division)

    def _mends(self, row: int, blob: npt.NDArray[np.bool_], now_s: float) -> bool:
        """Return whether what is in pieces is one still, as it was a moment ago."""
        if not MEND:
            return False
        apart_s = now_s - self._looks[int(self._table.ids[row])].seen_s
        pieces = cv2.connectedComponents(blob.view(np.uint8))[0] - 1
        return apart_s <= (APART_S if pieces == 1 else STALE_S)

    @staticmethod
    def _shown(placed: list[Placed], worth: npt.NDArray[np.float32], visible: list[bool]
               ) -> list[int]:
        """Return which objects explain enough that no other one does."""
        for k, one in enumerate(placed):
            # Who alone looks like all of it hides the others.
            own, total = one.cover > 0, worth > 0
            if np.count_nonzero(own & total) > WHOLE * np.count_nonzero(
                    total | own & (worth < 0)):
                return [k]
        shown = list(range(len(placed)))
        while len(shown) > 1:
            times = np.add.reduce([placed[k].cover for k in shown])
            alone = np.where(times == 1, worth, np.float32(0))
            margin = [float((alone * placed[k].cover).sum()) / placed[k].area
                      - (STAYS if visible[k] else RETURNS) for k in shown]
            worst = int(np.argmin(margin))
            if margin[worst] >= 0:
                break
            shown.pop(worst)
        return shown

    def _learn(self, instances: Instances, seen: Measurement, forecast: Array, affinity: Table,
               common: Table, fitted: list[_Fitted], unclear: npt.NDArray[np.bool_],
               now_s: float, dt: float) -> None:
        """Correct the tracks, remember what was seen apart; births and deaths."""
        table = self._table
        rows, columns = assign(affinity, SAME)
        # What lies on another object's place is a piece of it, and touching ones hide each other.
        others = common.copy()
        others[rows, columns] = 0
        apart = ~_touching(instances)
        whole = apart & (others.max(axis=0, initial=0) <= PART * _areas(seen.boxes))
        now_boxes, doubt = seen.boxes[columns].copy(), np.ones((len(rows), 4))
        alone = np.zeros(len(rows), bool)
        for k, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            look = self._looks[int(table.ids[row])]
            shape, box = look.shapes[0], forecast[row]
            scale = float(kalman.sizes(forecast[row:row + 1])[0]) / shape.size
            shrunk = seen.areas[column] < SHRUNK * scale**2 * cv2.countNonZero(shape.mask)
            stale = now_s - look.seen_s > STALE_S
            alone[k] = (table.hits[row] < SETTLED_FRAMES or stale
                        or apart[column] and not shrunk and (LEARN or not unclear[row]))
            if alone[k]:
                now_boxes[k] = centred_box(instances, column)
                continue
            low = (box[:2] + box[2:]) / 2 + scale * shape.corner
            high = low + scale * np.array(shape.mask.shape[::-1])
            sides = np.array([seen.boxes[column, :2] - low, seen.boxes[column, 2:] - high])
            shift = np.take_along_axis(sides, np.abs(sides).argmin(axis=0)[None], axis=0)[0]
            now_boxes[k] = box + np.tile(shift, 2)
            doubt[k] = 4.0
        first = now_boxes
        measured, boxes, doubts = [rows], [first], [doubt]
        areas = [seen.areas[columns]]
        patience = np.where(unclear, UNCLEAR_S, UNSEEN_S)
        for one in fitted:
            measured.append(np.array(one.rows))
            boxes.append(one.boxes)
            doubts.append(np.where(one.shown, 2.0, 6.0)[:, None] * np.ones(4))
            areas.append(table.areas[one.rows])
            patience[one.rows] = np.where(one.hidden, HIDDEN_S, UNSEEN_S)
        unseen_s, before = table.unseen_s.copy(), table.unseen_s - dt
        all_rows = np.concatenate(measured)
        together = Measurement(seen.labels, table.class_ids[all_rows], np.concatenate(areas),
                               np.concatenate(boxes), _no_footprints(len(all_rows)),
                               np.zeros((len(all_rows), 4)), np.zeros((len(all_rows), 4), bool))
        table.correct(all_rows, together, np.arange(len(all_rows)), np.concatenate(doubts))
        table.hits[rows] += whole[columns]
        unseen_s[rows] = 0
        for one in fitted:
            sure = np.array(one.shown) & np.array(one.hidden)
            unseen_s[np.array(one.rows)[sure]] = 0
        table.unseen_s = unseen_s
        now = table.boxes
        for k, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            look = self._looks[int(table.ids[row])]
            if alone[k]:
                look.learn(Shape.of(instances, column, now[row]), now_s,
                           forget=now_s - look.seen_s > STALE_S)
        against = np.array([self._looks[i].against_s for i in table.ids.tolist()])
        against = np.where(unseen_s > 0, against + ((patience < HIDDEN_S)) * (unseen_s - before), 0.0)
        for i, v in zip(table.ids.tolist(), against.tolist(), strict=True):
            self._looks[i].against_s = v
        kept = (against <= UNSEEN_S) & (table.unseen_s <= HIDDEN_S) & ((table.hits >= SETTLED_FRAMES)
                                               | (table.unseen_s == 0))
        taken = {c for one in fitted for c in one.columns}
        fresh = np.setdiff1d(np.arange(len(instances)), [*columns.tolist(), *taken]).astype(int)
        start = np.array([centred_box(instances, c) for c in fresh.tolist()]).reshape(-1, 4)
        begun = TrackTable.begun(Measurement(
            seen.labels, seen.class_ids[fresh], seen.areas[fresh], start, _no_footprints(len(fresh)),
            np.zeros((len(fresh), 4)), np.zeros((len(fresh), 4), bool)), np.arange(len(fresh)))
        begun.ids[:] = self._next_id + np.arange(len(fresh))
        begun.hits[:] = whole[fresh]
        self._next_id += len(fresh)
        self._table = table.kept(kept).joined(begun)
        for number, column, box in zip(begun.ids.tolist(), fresh.tolist(), start, strict=True):
            look = self._looks[number] = Appearance()
            look.learn(Shape.of(instances, column, box), now_s)
        if not kept.all():
            self._looks = {i: self._looks[i] for i in self._table.ids.tolist()}


def _measured(instances: Instances) -> Measurement:
    """Return the boxes and areas of the instances; their pixels are looked at when asked for."""
    count, (height, width) = len(instances), instances.labels.shape
    boxes = instances.boxes.astype(np.float64).reshape(-1, 4)
    cut = np.concatenate([boxes[:, :2] <= 0, boxes[:, 2:] >= (width, height)], axis=1)
    return Measurement(instances.labels, instances.class_ids, instances.areas.astype(np.float64),
                       boxes, _no_footprints(count), np.zeros((count, 4)), cut)


def _cell(boxes: Array) -> int:
    """Return the side of the cells, in pixels, in which shapes of objects are compared."""
    return max(1, round(float(kalman.sizes(boxes).min()) * 0.7 / CELLS))


def _no_footprints(count: int) -> Footprints:
    return Footprints.none().placed(np.zeros(0, np.intp), count)


def _areas(boxes: Array) -> Array:
    return np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1)


def _around(instances: Instances, columns: list[int]) -> tuple[int, int, int, int]:
    """Return the box, x0, y0, x1, y1, around instances and a margin of background."""
    boxes = instances.boxes[columns]
    height, width = instances.labels.shape
    x0, y0 = np.maximum(boxes[:, :2].min(axis=0) - MARGIN, 0).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(axis=0) + MARGIN, (width, height)).tolist()
    return x0, y0, x1, y1


def _groups(link: npt.NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Return rows and columns of a table that hang together, where there is more than one pair."""
    count = len(link)
    pairs = np.argwhere(link)
    if len(pairs) == 0 or ((link.sum(axis=0) <= 1).all() and (link.sum(axis=1) <= 1).all()):
        return []   # nearly always
    graph = np.zeros((sum(link.shape),) * 2, bool)
    graph[pairs[:, 0], pairs[:, 1] + count] = True
    names = connected_components(graph, directed=False)[1]
    found = []
    for name in np.unique(names[pairs[:, 0]]):
        nodes = np.flatnonzero(names == name).tolist()
        found.append(([n for n in nodes if n < count], [n - count for n in nodes if n >= count]))
    return found


def _touching(instances: Instances) -> npt.NDArray[np.bool_]:
    """Return which instances touch another one of their class, (N,)."""
    boxes, found = instances.boxes, np.zeros(len(instances), bool)
    near = ((boxes[:, None, 0] <= boxes[None, :, 2]) & (boxes[None, :, 0] <= boxes[:, None, 2])
            & (boxes[:, None, 1] <= boxes[None, :, 3]) & (boxes[None, :, 1] <= boxes[:, None, 3])
            & (instances.class_ids[:, None] == instances.class_ids))
    for one, other in zip(*np.nonzero(np.triu(near, 1)), strict=True):
        x0, y0 = np.maximum(np.maximum(boxes[one, :2], boxes[other, :2]) - 1, 0).tolist()
        x1, y1 = (np.minimum(boxes[one, 2:], boxes[other, 2:]) + 1).tolist()
        crop = instances.labels[y0:y1, x0:x1]
        grown = cv2.dilate((crop == one + 1).view(np.uint8), np.ones((3, 3), np.uint8))
        if (grown.view(bool) & (crop == other + 1)).any():
            found[[one, other]] = True
    return found


def _shared_out(blob: npt.NDArray[np.bool_], covers: list[npt.NDArray[np.uint8]]
                ) -> list[npt.NDArray[np.bool_]]:
    """Give every pixel of the blob to the first cover it is in, or else to the nearest."""
    away = [cv2.distanceTransform(1 - c, cv2.DIST_L2, 3) for c in covers]
    owner = np.argmin(away, axis=0)  # the first of equals
    return [(owner == k) & blob for k in range(len(covers))]
