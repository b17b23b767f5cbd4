"""Memory: objects that were seen apart stay apart when their masks melt into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from ..class_names import VOC_NAMES
from ..instances import Instances
from ..segmentation import network_instances, segment_instances, SegmentationSettings
from ..segmentation.oriented_boxes import oriented_box
from ..tracking import kalman
from ..tracking.matching import assign

SETTLED_FRAMES = 2    # frames after its first in which an object must have stood alone
INSIDE = 0.35         # share of an expected object inside an instance that says: it is in there
PART = 0.5            # share of an instance inside an expected object that says: a part of it
SAME = 0.2            # overlap with the expected object from which on an instance may be it
CLEAR = 0.5           # overlap from which on nobody asks further
EXPLAINED = 0.5      # overlap of a blob with all who are said to be in it
STAYS, RETURNS = 0.08, 0.2  # share of an object that it alone must explain to be shown (again)
AGAINST = 0.35        # share of an object that should be seen and is not, from which on it is gone
UNSEEN_S = 0.4        # s for which an object is remembered with evidence against it
HIDDEN_S = 2.5        # s for which it is remembered when another one may hide all of it
APART_S = 0.3         # s after which the splitter is believed that a known object is several
SHRUNK = 0.5          # share of its pixels below which an object is thought to be hidden in part
VIEWS, VIEW_S = 4, 0.15  # how many views are kept, and s from one to the next
FACING = 0.7          # share of a piece's length that must face the rest of it across a gap
STALE_S = 1.5         # s after which it is believed to be that small, or alone
LONGEST_GAP_S = 1.0   # s between frames after which nothing of the last one is believed
REACH = 2.5           # object sizes per s: how far from the expected place one is looked for
ANCHOR = 0.1          # likeness lost at the end of that reach
GAP = 0.15            # of the usual size: what a lamp post hides of a person
PIECE = 0.5           # share of a neighbour's pixels below which one may be a piece of it
MARGIN = 2            # px of background around a blob that count against
FINE = 24             # cells that an object's size has where shapes are fitted


class _View(NamedTuple):
    """How an object looked once when it was seen alone."""

    shape: npt.NDArray[np.uint8]        # (h, w), 1 on the object
    corner: npt.NDArray[np.float64]     # x, y of the shape, relative to the motion's position
    area: int


@dataclass
class _Object:
    """What is remembered: how it looked in the last second, and how far to believe in it."""

    class_id: int
    views: list[_View]                  # the newest first
    age_s: float = 0.0                  # of the newest view, as against the one before
    seen_alone: int = 0
    shown: bool = True                  # has pixels of its own in the last frame
    unseen_s: float = 0.0               # with evidence against it
    hidden_s: float = 0.0               # with no evidence at all
    stale_s: float = 0.0                # since it was seen whole
    apart_s: float = 0.0                # cut by the splitter, which was not believed

    @property
    def known(self) -> bool:
        """Whether it stood alone for long enough."""
        return self.seen_alone >= SETTLED_FRAMES

    @property
    def area(self) -> int:
        """Pixels of the newest view."""
        return self.views[0].area

    def look(self, view: _View, dt: float) -> None:
        """Take in how it looks now; of the views before, some are kept a while."""
        self.age_s += dt
        if self.views and self.age_s < VIEW_S:
            self.views[0] = view
        else:
            self.views = [view, *self.views[:VIEWS - 1]]
            self.age_s = 0.0


class Segmenter:
    """
    What is seen to instances, frame after frame: the splitter, and memory when it is on.

    Parameters
    ----------
    settings : SegmentationSettings
        May be replaced between updates by assigning :attr:`settings`. With ``memory`` off the
        result is that of :func:`~.segmentation.segment_instances`, exactly.
    class_names : mapping of int to str
        Names of class ids; may be replaced likewise.

    """

    def __init__(self, settings: SegmentationSettings,
                 class_names: Mapping[int, str] = VOC_NAMES) -> None:
        self.settings, self.class_names = settings, class_names
        self._memory = InstanceMemory()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._memory.reset()

    def update(self, seen: npt.NDArray[np.uint8] | Instances, stamp_ns: int) -> Instances:
        """
        Return the instances of the next frame.

        Parameters
        ----------
        seen : ndarray of shape (H, W), uint8, or Instances
            Class id of each pixel (0 background, 255 no data), or the instances that the network
            knows by itself.
        stamp_ns : int
            Time of the frame in nanoseconds.

        Returns
        -------
        Instances

        """
        instances = (network_instances(seen, self.settings) if isinstance(seen, Instances) else
                     segment_instances(seen, self.settings, self.class_names))
        if not self.settings.memory:
            self._memory.reset()
            return instances
        return self._memory.update(instances, stamp_ns,
                                   self.settings.smallest_area(instances.labels.shape))


class InstanceMemory:
    """
    Cuts blobs where objects that were seen apart are expected to be.

    Each object that stood alone for some frames leaves its shape and its motion. Where several of
    them are expected in the same instances, their shapes are fitted into these, and each must
    explain pixels that the others do not: who does is published, who does not is behind another
    one, and is forgotten in time. Nothing is invented: what nobody was seen to enter is never cut,
    and the parts together are the blob, pixel by pixel.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every object."""
        self._objects: list[_Object] = []
        # The tracker's filter, of boxes of the newest view's size around its centre of mass.
        self._state, self._covariance = kalman.begin(np.zeros((0, 4)))
        self._shape: tuple[int, ...] = ()
        self._stamp_ns = 0

    def update(self, instances: Instances, stamp_ns: int, size_threshold: int = 0) -> Instances:
        """
        Return the instances with blobs cut by memory, and remember them.

        Parameters
        ----------
        instances : Instances
            What the splitter found in this frame alone.
        stamp_ns : int
            Time of the frame in nanoseconds.
        size_threshold : int
            Parts of fewer pixels are not cut off.

        Returns
        -------
        Instances
            The same object when there was nothing to cut.

        """
        dt = (stamp_ns - self._stamp_ns) * 1e-9
        if instances.labels.shape != self._shape or not 0 <= dt <= LONGEST_GAP_S:
            self.reset()
        self._shape, self._stamp_ns = instances.labels.shape, stamp_ns
        self._state, self._covariance = kalman.predict(self._state, self._covariance, dt)
        common = self._laid_over(instances)
        areas = np.array([o.area for o in self._objects], float)[:, None]
        same = np.array([o.class_id for o in self._objects])[:, None] == instances.class_ids
        overlap = np.where(same, common / np.maximum(areas + instances.areas - common, 1), 0)
        known = np.array([o.known for o in self._objects], bool)[:, None]
        cut = _Cut(instances)
        placed: set[int] = set()
        taken: set[int] = set()
        for rows, columns in _groups(known & same & ((common >= INSIDE * areas)
                                                     | (common >= PART * instances.areas))):
            if len(rows) == 1:
                columns = [c for c in columns if common[rows[0], c] > PART * instances.areas[c]]
                if len(columns) < 2:
                    self._objects[rows[0]].apart_s = 0.0
                    continue
            clear = len(assign(overlap[np.ix_(rows, columns)], CLEAR)[0])
            if clear == len(rows) == len(columns):
                continue
            if self._explain(cut, rows, columns, size_threshold, dt):
                placed.update(rows)
                taken.update(columns)
                overlap[:, columns] = 0
        overlap[list(placed)] = 0
        self._remember(instances, common, overlap, placed, taken, dt)
        return cut.result()

    @property
    def _positions(self) -> npt.NDArray[np.float64]:
        return self._state[:, :, 0]

    def _corner(self, row: int) -> npt.NDArray[np.int64]:
        """Return where the template of an object is now expected, x and y in whole pixels."""
        return np.rint(self._positions[row] + self._objects[row].views[0].corner).astype(int)

    def _see(self, rows: list[int], places: list[npt.NDArray[np.float64]], doubts: list[float]
             ) -> None:
        """Take in where objects are: x, y, and the factor on the usual noise."""
        if rows:
            boxes = _centred([self._objects[row].views[0] for row in rows], places)
            self._state[rows], self._covariance[rows] = kalman.correct(
                self._state[rows], self._covariance[rows], boxes,
                np.tile(np.array(doubts)[:, None], 4))

    def _laid_over(self, instances: Instances) -> npt.NDArray[np.float64]:
        """Return (T, N) pixels that expected objects share with instances."""
        count = len(instances)
        common = np.zeros((len(self._objects), count))
        for row, item in enumerate(self._objects):
            there, here = _common(self._corner(row), item.views[0].shape.shape, self._shape)
            # Cheaper than indexing: what is not on the object becomes background.
            under = instances.labels[there] * item.views[0].shape[here]
            common[row] = np.bincount(under.ravel(), minlength=count + 1)[1:]
        return common

    def _explain(self, cut: _Cut, rows: list[int], columns: list[int], size_threshold: int,
                 dt: float) -> bool:
        """Find out which of `rows` show in the blob of `columns`; cut or mend it to that."""
        items = [self._objects[r] for r in rows]
        blob, corner = cut.blob(columns)
        # What another instance may hide is neither for nor against an object.
        worth = np.where(blob, 1, np.where(cut.crop(blob, corner), 0, -1)).astype(np.float32)
        # Shapes are compared in cells of a few pixels: a fiftieth of the time.
        step = max(1, round(min(o.area for o in items)**0.5 / FINE))
        worth = np.ascontiguousarray(worth[step // 2::step, step // 2::step])
        guesses = [_Guess(o, self._positions[r] - corner, step, worth.shape, dt)
                   for o, r in zip(items, rows, strict=True)]
        # Two rounds are enough, as the expected places are near; the view of the first one stays.
        for views in (VIEWS, 1):
            for guess in guesses:
                guess.fit(worth, [g.cover for g in guesses if g is not guess], views)

        shown = list(range(len(rows)))
        while True:
            times = np.sum([guesses[k].cover for k in shown], axis=0)
            margin = [float(worth[(guesses[k].cover > 0) & (times == 1)].sum()) / guesses[k].area
                      - (STAYS if items[k].shown else RETURNS) for k in shown]
            worst = int(np.argmin(margin))
            if margin[worst] >= 0 or len(shown) == 1:
                break
            shown.pop(worst)
        explained = np.count_nonzero((worth > 0) & (times > 0)) >= EXPLAINED * np.count_nonzero(
            (worth > 0) | (times > 0) & (worth < 0))
        for k, item in enumerate(items):
            item.shown = k in shown
            missed = np.count_nonzero((guesses[k].cover > 0) & (worth < 0))
            there = np.count_nonzero((guesses[k].cover > 0) & (worth > 0))
            if not explained or missed > AGAINST * guesses[k].area \
                    or there < INSIDE * guesses[k].area:
                item.unseen_s += dt
            elif k not in shown:
                item.hidden_s += dt
            else:
                item.unseen_s = item.hidden_s = 0.0
        if not explained:
            return False
        if len(rows) == 1 and not self._mends(items[0], blob, dt):
            return False
        for k, row in enumerate(rows):
            self._see([row], [self._positions[row] + guesses[k].offset * step],
                      [2.0 if k in shown else 6.0])
        if len(shown) == len(columns) == 1:
            return True
        # On the ground, who stands lower in the frame is nearer and hides the others.
        shown.sort(key=lambda k: -guesses[k].foot)
        parts = _shared_out(blob, [guesses[k].drawn(blob.shape) for k in shown])
        if all(np.count_nonzero(p) >= max(size_threshold, 1) for p in parts):
            cut.replace(columns, parts, corner)
        return True

    @staticmethod
    def _mends(item: _Object, blob: npt.NDArray[np.bool_], dt: float) -> bool:
        """Return whether what is in pieces is one still, as it was a moment ago."""
        item.apart_s += dt
        _, pieces, found, _ = cv2.connectedComponentsWithStats(blob.view(np.uint8))
        if len(found) == 2:     # only the splitter says that it is several
            return item.apart_s <= APART_S
        order = 1 + np.argsort(-found[1:, cv2.CC_STAT_AREA])
        away = cv2.distanceTransform((pieces != order[0]).view(np.uint8), cv2.DIST_L2, 3)
        for k in order[1:].tolist():
            # What stands in front leaves a gap of one width along all of a piece.
            near = pieces == k
            near &= away <= away[near].min() + MARGIN
            if max(np.count_nonzero(near.any(axis=0)) / found[k, cv2.CC_STAT_WIDTH],
                   np.count_nonzero(near.any(axis=1)) / found[k, cv2.CC_STAT_HEIGHT]) < FACING:
                item.stale_s = np.inf   # several were learnt as one
                return False
        return item.apart_s <= STALE_S

    def _remember(self, instances: Instances, common: npt.NDArray, overlap: npt.NDArray,
                  placed: set[int], taken: set[int], dt: float) -> None:
        """Take over what was plainly seen, forget in time what was not."""
        rows, columns = assign(overlap, SAME)
        # A lamp post, or the border of the frame, makes two of one person: what lies on another
        # object's place, is cut off by the frame, or is a small thing near a large one does not
        # count as seen alone.
        others = common.copy()
        others[rows, columns] = 0
        apart = np.ones(len(instances), bool)
        whole = ~_crumbs_at_border(instances) \
            & (others.max(axis=0, initial=0) <= 0.5 * instances.areas)
        usual = float(np.median(instances.areas)) if len(instances) else 0.0
        for pair in _neighbours(instances, max(2.0, GAP * usual**0.5)):
            small, large = sorted(pair, key=lambda column: instances.areas[column])
            whole[small] &= instances.areas[small] >= PIECE * instances.areas[large]
            if _touch(instances, *pair):
                apart[[small, large]] = False
        whole &= apart
        places, doubts = [], []
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            item, (view, centre) = self._objects[row], _viewed(instances, column)
            item.unseen_s = item.hidden_s = 0.0
            item.shown = True
            item.stale_s += dt
            if item.known and item.stale_s <= STALE_S and not (
                    apart[column] and view.area >= SHRUNK * item.area):
                places.append(self._positions[row] + self._surprise(
                    row, instances.boxes[column]))
                doubts.append(4.0)
                continue
            places.append(centre)
            doubts.append(1.0)
            if item.stale_s > STALE_S:
                item.views.clear()
            item.look(view, item.stale_s)
            item.stale_s = 0.0
            item.seen_alone += bool(whole[column])
        self._see(rows.tolist(), places, doubts)
        seen = placed | set(rows.tolist())
        for row, item in enumerate(self._objects):
            if row not in seen:
                item.unseen_s += dt
        kept = np.array([o.unseen_s <= UNSEEN_S and o.hidden_s <= HIDDEN_S
                         and (o.known or r in seen) for r, o in enumerate(self._objects)], bool)
        self._objects = [o for o, k in zip(self._objects, kept, strict=True) if k]
        self._state, self._covariance = self._state[kept], self._covariance[kept]
        for column in sorted(set(range(len(instances))) - taken - set(columns.tolist())):
            view, centre = _viewed(instances, column)
            self._objects.append(_Object(int(instances.class_ids[column]), [view]))
            state, covariance = kalman.begin(_centred([view], [centre]))
            self._state = np.concatenate([self._state, state])
            self._covariance = np.concatenate([self._covariance, covariance])

    def _surprise(self, row: int, box: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return how far a partly hidden object is from its place, by the side that shows."""
        height, width = self._objects[row].views[0].shape.shape
        corner = self._corner(row)
        sides = np.array([box[:2] - corner, box[2:] - corner - (width, height)], float)
        return np.take_along_axis(sides, np.abs(sides).argmin(axis=0)[None], axis=0)[0]


class _Guess:
    """
    How and where an object lies in a blob, found by laying its views over what is open there.

    Attributes
    ----------
    cover : ndarray of the blob's shape, uint8
        1 where the object is thought to be, in cells.
    area : int
        Its cells, seen or not.
    offset : ndarray of shape (2,), int64
        x and y from the expected place, in cells.

    """

    def __init__(self, item: _Object, position: npt.NDArray[np.float64], step: int,
                 frame: tuple[int, ...], dt: float) -> None:
        self._item, self._step, self._frame = item, step, frame
        self._corners = [np.rint(position + v.corner).astype(int) for v in item.views]
        self._shapes = [np.ascontiguousarray(v.shape[step // 2::step, step // 2::step])
                        for v in item.views]
        self._reach = max(2, round(item.area**0.5 / step * min(0.15, REACH * dt)))
        self.area = max(1, int(np.count_nonzero(self._shapes[0])))
        self._take(0, np.zeros(2, np.int64))

    def _take(self, view: int, offset: npt.NDArray[np.int64]) -> None:
        self._view, self.offset = view, offset
        self.cover = _stamped(self._shapes[view], self._corners[view] // self._step + offset,
                              self._frame)

    @property
    def foot(self) -> int:
        """How low it stands, in pixels."""
        return int(self._corners[self._view][1] + self.offset[1] * self._step
                   + len(self._item.views[self._view].shape))

    def drawn(self, frame: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Return an image, 1 on the object, in pixels."""
        return _stamped(self._item.views[self._view].shape,
                        self._corners[self._view] + self.offset * self._step, frame)

    def fit(self, worth: npt.NDArray[np.float32], others: list[npt.NDArray[np.uint8]], views: int
            ) -> None:
        """Move to where most of what is worth covering, and not covered by others, is covered."""
        if others:
            worth = np.where(np.any(others, axis=0) & (worth > 0), np.float32(0.4), worth)
        far, best = self._reach, (-np.inf, 0, self.offset)
        steps = np.arange(-far, far + 1) / far
        anchor = ANCHOR * (steps[:, None]**2 + steps**2)
        for view in range(len(self._shapes)) if views > 1 else (self._view,):
            shape, corner = self._shapes[view], self._corners[view]
            window = np.zeros((shape.shape[0] + 2 * far, shape.shape[1] + 2 * far), np.float32)
            there, here = _common(corner // self._step - far, window.shape, worth.shape)
            window[here] = worth[there]     # beyond the frame nothing is known
            score = cv2.matchTemplate(window, shape.astype(np.float32), cv2.TM_CCORR) / self.area \
                - anchor
            y, x = divmod(int(score.argmax()), len(steps))
            best = max(best, (float(score[y, x]), view, np.array([x - far, y - far])),
                       key=lambda b: b[0])
        self._take(*best[1:])


class _Cut:
    """Instances being cut: collects new labels, computes what changed."""

    def __init__(self, instances: Instances) -> None:
        self.instances = instances
        self._gone: list[int] = []
        self._labels: npt.NDArray[np.uint16] | None = None
        self._parts: list[tuple] = []   # of each new label, what Instances has, in that order

    def blob(self, columns: list[int]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Return a crop, true on the instances, and the x and y of its corner."""
        boxes = self.instances.boxes[columns]
        height, width = self.instances.labels.shape
        x0, y0 = np.maximum(boxes[:, :2].min(axis=0) - MARGIN, 0).tolist()
        x1, y1 = np.minimum(boxes[:, 2:].max(axis=0) + MARGIN, (width, height)).tolist()
        lut = np.zeros(len(self.instances) + 1, bool)
        lut[np.array(columns) + 1] = True
        return lut[self.instances.labels[y0:y1, x0:x1]], np.array([x0, y0])

    def crop(self, blob: npt.NDArray[np.bool_], corner: npt.NDArray[np.int64]
             ) -> npt.NDArray[np.uint16]:
        """Return the labels around a blob."""
        (x, y), (height, width) = corner.tolist(), blob.shape
        return self.instances.labels[y:y + height, x:x + width]

    def replace(self, columns: list[int], parts: list[npt.NDArray[np.bool_]],
                corner: npt.NDArray[np.int64]) -> None:
        """Put parts, crops at `corner`, in the place of instances."""
        if self._labels is None:
            self._labels = self.instances.labels.copy()
        (x, y), (height, width) = corner.tolist(), parts[0].shape
        crop = self._labels[y:y + height, x:x + width]
        for part in parts:
            crop[part] = len(self.instances) + len(self._parts) + 1
            left, top, w, h = cv2.boundingRect(part.view(np.uint8))
            cx, cy, *rest = oriented_box(part[top:top + h, left:left + w].view(np.uint8))
            self._parts.append((
                int(self.instances.class_ids[columns[0]]), np.count_nonzero(part),
                float(self.instances.scores[columns[0]]),
                (x + left, y + top, x + left + w, y + top + h),
                (x + cx + left, y + cy + top, *rest)))
        self._gone += columns

    def result(self) -> Instances:
        """Return the instances with the parts, labels dense, parts last."""
        old = self.instances
        if self._labels is None:
            return old
        stay = np.ones(len(old), bool)
        stay[self._gone] = False
        total = len(old) + len(self._parts)
        dense = np.zeros(total + 1, np.uint16)
        alive = np.concatenate([np.flatnonzero(stay) + 1, np.arange(len(old) + 1, total + 1)])
        dense[alive] = np.arange(1, len(alive) + 1)
        values: list[npt.NDArray] = [old.class_ids, old.areas, old.scores, old.boxes,
                                     old.oriented_boxes]
        return Instances(dense[self._labels], *(
            np.concatenate([value[stay], np.array(added, value.dtype)])
            for value, added in zip(values, zip(*self._parts, strict=True), strict=True)))


def _centred(views: list[_View], places: list[npt.NDArray[np.float64]]
             ) -> npt.NDArray[np.float64]:
    """Return boxes of the size of some views around places, (M, 4)."""
    half = np.array([view.shape.shape[::-1] for view in views]) / 2
    return np.concatenate([places - half, places + half], axis=1)


def _groups(link: npt.NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Return rows and columns of a table that hang together, where there is more than one pair."""
    count = len(link)
    pairs = np.argwhere(link)
    if len(pairs) == 0:
        return []
    graph = np.zeros((sum(link.shape),) * 2, bool)
    graph[pairs[:, 0], pairs[:, 1] + count] = True
    names = connected_components(graph, directed=False)[1]
    found = []
    for name in np.unique(names[pairs[:, 0]]):
        nodes = np.flatnonzero(names == name).tolist()
        found.append(([n for n in nodes if n < count], [n - count for n in nodes if n >= count]))
    return found


def _viewed(instances: Instances, column: int) -> tuple[_View, npt.NDArray[np.float64]]:
    """Return how an instance looks, relative to its centre of mass, and that centre."""
    x0, y0, x1, y1 = instances.boxes[column].tolist()
    shape = (instances.labels[y0:y1, x0:x1] == column + 1).view(np.uint8)
    moments = cv2.moments(shape, binaryImage=True)
    centre = np.array([moments['m10'], moments['m01']]) / moments['m00'] + 0.5 + (x0, y0)
    return _View(shape, (x0, y0) - centre, int(instances.areas[column])), centre


def _neighbours(instances: Instances, gap: float) -> list[tuple[int, int]]:
    """Return pairs of columns, in order: instances of one class, at most about `gap` px apart."""
    step = max(1, int(gap / 4))
    labels = np.ascontiguousarray(instances.labels[::step, ::step])
    highest = cv2.dilate(labels, np.ones((2 * math.ceil(gap / step) + 1,) * 2, np.uint8))
    differs = (highest != labels) & (labels > 0)    # the lower label sees the higher one
    codes = np.unique(labels[differs] * np.int64(65536) + highest[differs])
    one, other = codes // 65536 - 1, codes % 65536 - 1
    same = instances.class_ids[one] == instances.class_ids[other]
    return list(zip(one[same].tolist(), other[same].tolist(), strict=True))


def _touch(instances: Instances, one: int, other: int) -> bool:
    """Return whether two instances touch."""
    a, b = instances.boxes[[one, other]]
    x0, y0 = np.maximum(np.maximum(a[:2], b[:2]) - 1, 0).tolist()
    x1, y1 = (np.minimum(a[2:], b[2:]) + 1).tolist()
    crop = instances.labels[y0:y1, x0:x1]
    grown = cv2.dilate((crop == one + 1).view(np.uint8), np.ones((3, 3), np.uint8)) \
        if crop.size else crop
    return bool((grown.astype(bool) & (crop == other + 1)).any())


def _crumbs_at_border(instances: Instances) -> npt.NDArray[np.bool_]:
    """Return which instances reach the border of the frame and are small for their class."""
    height, width = instances.labels.shape
    at_border = ((instances.boxes[:, :2] == 0) | (instances.boxes[:, 2:] == (width, height))
                 ).any(axis=1)
    largest = np.zeros(256)
    np.maximum.at(largest, instances.class_ids, instances.areas)
    return at_border & (instances.areas < 0.25 * largest[instances.class_ids])


def _common(corner: npt.NDArray[np.int64], size: tuple[int, ...], frame: tuple[int, ...]
            ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a patch at `corner` (x, y) lies in a frame, and which part of it does."""
    there, here = [], []
    for start, length, limit in zip(corner.tolist()[::-1], size, frame, strict=True):
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        there.append(slice(low, high))
        here.append(slice(low - start, max(high, low) - start))
    return (there[0], there[1]), (here[0], here[1])


def _stamped(template: npt.NDArray[np.uint8], corner: npt.NDArray[np.int64],
             shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return an image of `shape` with the template at `corner` (x, y), clipped."""
    image = np.zeros(shape, np.uint8)
    there, here = _common(corner, template.shape, shape)
    image[there] = template[here]
    return image


def _shared_out(blob: npt.NDArray[np.bool_], covers: list[npt.NDArray[np.uint8]]
                ) -> list[npt.NDArray[np.bool_]]:
    """Give every pixel of the blob to the first cover it is in, or else to the nearest."""
    away = [cv2.distanceTransform(1 - c, cv2.DIST_L2, 3) for c in covers]
    owner = np.argmin(away, axis=0)  # the first of equals
    return [(owner == k) & blob for k in range(len(covers))]
