"""Memory: objects that were seen apart stay apart when their masks melt into one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from .association import assign
from .footprints import Footprints
from .instances import Instances
from .motion import Motion
from .oriented_boxes import oriented_box
from .segmentation import segment_instances, SegmentationSettings

SETTLED_FRAMES = 2    # frames after its first in which an object must have stood alone
INSIDE = 0.35         # share of an expected object inside a blob that says: it is in there
SUPPORT = 0.6         # share of what should be seen of an object that the blob must have
EXPLAINED = 0.65      # share of a blob that the objects in it must cover
PUBLISHED = 0.12      # share of an object below which its rest belongs to who hides it
UNSEEN_S = 0.4        # s for which an object is remembered when its own pixels are missing
HIDDEN_S = 2.5        # s for which it is remembered when all of it may be behind another one
SHRUNK = 0.5          # share of its pixels below which an object is thought to be hidden in part
SHRUNK_S = 1.5        # s after which it is believed to be that small
TOGETHER_S = 10.0     # s after which even a supported cut is given up
LONGEST_GAP_S = 1.0   # s between frames after which nothing of the last one is believed
REACH = 2.5           # object sizes per s: how far from the expected place one is looked for
ONE_PART = 0.6        # share of a part inside an expected object that says: a part of it
ONE = 0.6             # overlap of all parts with the expected object that says: still one
APART_S = 0.3         # s after which the splitter is believed that an object is several
ANCHOR = 0.1          # likeness lost at the end of that reach


@dataclass
class _Object:
    """What is remembered: the pixels when last seen alone, and how far to believe in them."""

    class_id: int
    template: npt.NDArray[np.uint8]     # (h, w), 1 on the object
    corner: npt.NDArray[np.float64]     # x, y of the template, relative to the motion's position
    seen_alone: int = 0
    unseen_s: float = 0.0               # with evidence against it
    hidden_s: float = 0.0               # with no evidence at all
    together_s: float = 0.0
    shrunk_s: float = 0.0
    apart_s: float = 0.0                # cut by the splitter, which was not believed

    @property
    def believed(self) -> bool:
        """Whether the object is still thought to be there."""
        return (self.unseen_s <= UNSEEN_S and self.hidden_s <= HIDDEN_S
                and self.together_s <= TOGETHER_S)


class Segmenter:
    """
    Class masks to instances, frame after frame: the splitter, and memory when it is on.

    Parameters
    ----------
    settings : SegmentationSettings
        May be replaced between updates by assigning :attr:`settings`. With ``memory`` off the
        result is that of :func:`~.segmentation.segment_instances`, exactly.

    """

    def __init__(self, settings: SegmentationSettings) -> None:
        self.settings = settings
        self._memory = InstanceMemory()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._memory.reset()

    def update(self, mask: npt.NDArray[np.uint8], stamp_ns: int) -> Instances:
        """
        Return the instances of the next frame.

        Parameters
        ----------
        mask : ndarray of shape (H, W), uint8
            Class id of each pixel; 0 background, 255 no data.
        stamp_ns : int
            Time of the mask in nanoseconds.

        Returns
        -------
        Instances

        """
        instances = segment_instances(mask, self.settings)
        if not self.settings.memory:
            self._memory.reset()
            return instances
        return self._memory.update(instances, stamp_ns, self.settings.size_threshold)


class InstanceMemory:
    """
    Cuts blobs where objects that were seen apart are expected to be.

    Each object that stood alone for some frames leaves its shape and its motion. When one instance
    covers two or more of them, their shapes are fitted into it and every pixel goes to the object
    it is deepest in or nearest to. Nothing is invented: a blob nobody was seen to enter is never
    cut, an object whose own pixels are missing from the blob is forgotten within `UNSEEN_S`, and
    the parts together are the blob, pixel by pixel.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every object."""
        self._objects: list[_Object] = []
        self._motion = Motion()
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
        self._motion.predict(dt, self._sizes())
        common, areas = self._laid_over(instances)
        whole = self._made_whole(instances, common, areas, dt)
        if whole is not instances:
            instances, (common, areas) = whole, self._laid_over(whole)
        inside = common / np.maximum(areas, 1)[:, None]

        crowds = self._crowds(inside, instances)
        cut = _Cut(instances)
        placed: dict[int, npt.NDArray[np.float64]] = {}
        for label, members in crowds.items():
            placed.update(self._cut_blob(cut, label, members, common, size_threshold, dt))
        self._remember(instances, common, areas, placed, cut.claimed, dt)
        return cut.result()

    def _sizes(self) -> npt.NDArray[np.float64]:
        return np.sqrt([float(np.count_nonzero(o.template)) for o in self._objects])

    def _corner(self, row: int) -> tuple[int, int]:
        """Return where the template of an object is now expected, x and y in whole pixels."""
        x, y = np.rint(self._motion.position[row] + self._objects[row].corner).astype(int)
        return int(x), int(y)

    def _laid_over(self, instances: Instances) -> tuple[npt.NDArray, npt.NDArray[np.float64]]:
        """Return (T, N) pixels that expected objects share with instances, and their own (T,)."""
        count = len(instances)
        common = np.zeros((len(self._objects), count))
        areas = np.zeros(len(self._objects))
        height, width = self._shape
        for row, item in enumerate(self._objects):
            x, y = self._corner(row)
            h, w = item.template.shape
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
            areas[row] = np.count_nonzero(item.template)
            if x0 < x1 and y0 < y1:
                under = instances.labels[y0:y1, x0:x1][
                    item.template[y0 - y:y1 - y, x0 - x:x1 - x].view(bool)]
                common[row] = np.bincount(under, minlength=count + 1)[1:]
        return common, areas

    def _made_whole(self, instances: Instances, common: npt.NDArray,
                    areas: npt.NDArray[np.float64], dt: float) -> Instances:
        """Put together what the splitter cut, where it was seen to be one a moment ago."""
        cut = _Cut(instances)
        known = np.array([o.seen_alone >= SETTLED_FRAMES for o in self._objects], bool)
        part_of = (common > ONE_PART * instances.areas) & known[:, None] & (
            np.array([o.class_id for o in self._objects])[:, None] == instances.class_ids)
        # What may as well be another known object is not a part.
        part_of &= (common[known] > 0.2 * instances.areas).sum(axis=0) == 1
        for row in np.flatnonzero(part_of.sum(axis=1) >= 2).tolist():
            item, parts = self._objects[row], np.flatnonzero(part_of[row])
            size, shared = instances.areas[parts].sum(), common[row, parts].sum()
            if shared < ONE * (areas[row] + size - shared):
                continue
            item.apart_s += dt
            labels = (parts + 1).tolist()
            blob, left, top = cut.blob(labels, margin=0)
            if item.apart_s <= APART_S and cv2.connectedComponents(blob)[0] == 2:
                cut.replace(labels, [blob == 1], left, top)
        for row in np.flatnonzero(part_of.sum(axis=1) == 1).tolist():
            self._objects[row].apart_s = 0.0
        return cut.result()

    def _crowds(self, inside: npt.NDArray, instances: Instances) -> dict[int, list[int]]:
        """Return label to rows of the objects in it, for labels with two or more settled ones."""
        crowds: dict[int, list[int]] = {}
        if len(instances):
            best = inside.argmax(axis=1) if len(inside) else []
            for row, column in enumerate(best):
                item = self._objects[row]
                if (inside[row, column] >= INSIDE and item.seen_alone >= SETTLED_FRAMES
                        and item.class_id == instances.class_ids[column]):
                    crowds.setdefault(int(column) + 1, []).append(row)
        return {label: rows for label, rows in crowds.items() if len(rows) > 1}

    def _cut_blob(self, cut: _Cut, label: int, members: list[int], common: npt.NDArray,
                  size_threshold: int, dt: float) -> dict[int, npt.NDArray[np.float64]]:
        """Cut one blob among its members; return where each of them was found."""
        # Crumbs that the splitter took from the same people belong to the blob.
        share = common[members].sum(axis=0) / np.maximum(cut.instances.areas, 1)
        crumbs = [k + 1 for k in np.flatnonzero(share > 0.6).tolist()
                  if cut.instances.class_ids[k] == cut.instances.class_ids[label - 1]
                  and cut.instances.areas[k] < cut.instances.areas[label - 1]]
        blob, left, top = cut.blob([label, *crumbs], margin=2)
        corners = {m: np.array(self._corner(m)) - (left, top) for m in members}
        corners = self._fitted(blob, corners, dt)

        covers = {m: _stamped(self._objects[m].template, corners[m], blob.shape) for m in members}
        times_covered = np.sum(list(covers.values()), axis=0)
        kept: list[int] = []
        # A blob much larger than all that is known to be in it is something else.
        explained = np.count_nonzero((blob == 1) & (times_covered > 0)) \
            >= EXPLAINED * np.count_nonzero(blob)
        for m in members:
            item = self._objects[m]
            own = (covers[m] == 1) & (times_covered == 1)
            own_pixels = int(np.count_nonzero(own))
            if not explained:
                item.unseen_s += dt
            elif own_pixels < 0.15 * np.count_nonzero(item.template):
                item.hidden_s += dt
            elif np.count_nonzero(own & (blob == 1)) < SUPPORT * own_pixels:
                item.unseen_s += dt
            else:
                item.hidden_s = item.unseen_s = 0.0
            item.together_s += dt
            if item.believed:
                kept.append(m)
        if len(kept) < 2:
            return {}
        cut.claimed |= {label, *crumbs}
        found = {m: corners[m] + (left, top) - self._objects[m].corner for m in kept}
        if not explained:
            return found
        # On the ground, who stands lower in the frame is nearer and hides the others.
        kept.sort(key=lambda m: -(corners[m][1] + self._objects[m].template.shape[0]))
        parts = _shared_out(blob, [covers[m] for m in kept])
        least = [max(size_threshold, 1, PUBLISHED * np.count_nonzero(self._objects[m].template))
                 for m in kept]
        shown = [m for m, part, n in zip(kept, parts, least, strict=True)
                 if np.count_nonzero(part) >= n]
        if len(shown) >= 2:
            if len(shown) < len(kept):
                parts = _shared_out(blob, [covers[m] for m in shown])
            cut.replace([label, *crumbs], parts, left, top)
        return found

    def _fitted(self, blob: npt.NDArray[np.uint8], corners: dict[int, npt.NDArray], dt: float
                ) -> dict[int, npt.NDArray]:
        """
        Move the members a little so that together they cover the blob best.

        One after the other is put where it covers most of what the others leave open; two rounds
        are enough, as the expected places are near.
        """
        for _ in range(2):
            for m, corner in list(corners.items()):
                template = self._objects[m].template
                size = np.sqrt(np.count_nonzero(template))
                reach = int(max(2, round(size * min(0.15, REACH * dt))))
                others = np.zeros(blob.shape, np.uint8)
                for other, place in corners.items():
                    if other != m:
                        others |= _stamped(self._objects[other].template, place, blob.shape)
                worth = np.where(blob == 1, np.where(others == 1, 0.4, 1.0), -1.0)
                h, w = template.shape
                window = _window(worth.astype(np.float32), corner - reach,
                                 (h + 2 * reach, w + 2 * reach))
                score = cv2.matchTemplate(window, template.astype(np.float32), cv2.TM_CCORR)
                steps = np.arange(-reach, reach + 1) / reach
                score = score / np.count_nonzero(template) \
                    - ANCHOR * (steps[:, None]**2 + steps[None]**2)
                y, x = np.unravel_index(int(score.argmax()), score.shape)
                corners[m] = corner + (x - reach, y - reach)
        return corners

    def _remember(self, instances: Instances, common: npt.NDArray, areas: npt.NDArray,
                  placed: dict[int, npt.NDArray[np.float64]], claimed: set[int], dt: float
                  ) -> None:
        """Take over what was plainly seen, move on what was cut, forget the rest in time."""
        # In a blob: only the position is news, and not a sharp one.
        if placed:
            rows = np.array(list(placed))
            self._motion.correct(rows, np.array(list(placed.values())), self._sizes()[rows],
                                 np.full(len(rows), 2.0))
        free = np.array([k + 1 not in claimed for k in range(len(instances))], bool)
        same = np.array([o.class_id for o in self._objects], np.uint8)[:, None] \
            == instances.class_ids[None]
        overlap = common / np.maximum(areas[:, None] + instances.areas[None] - common, 1)
        overlap = np.where(same & free[None], overlap, 0)
        overlap[list(placed)] = 0
        rows, columns = assign(overlap, 0.2)
        centres = Footprints.of(instances.labels, len(instances)).centres
        # A lamp post, or the border of the frame, makes two of one person: what lies on another
        # object's place or is cut off by the frame does not count as seen alone.
        whole = _alone(instances) & ~_crumbs_at_border(instances)
        others = np.zeros_like(common)
        others[rows] = common[rows]
        others[rows, columns] = 0
        whole &= others.max(axis=0, initial=0) <= 0.5 * instances.areas
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            item, area = self._objects[row], instances.areas[column]
            item.unseen_s = item.hidden_s = item.together_s = 0.0
            item.shrunk_s = item.shrunk_s + dt if area < SHRUNK * areas[row] else 0.0
            known_whole = item.seen_alone >= SETTLED_FRAMES and 0 < item.shrunk_s <= SHRUNK_S
            seen_at = self._motion.position[row] + self._surprise(instances, column, row) \
                if known_whole else centres[column]
            self._motion.correct(np.array([row]), seen_at[None], np.sqrt([float(area)]),
                                 np.array([4.0 if known_whole else 1.0]))
            if known_whole:
                continue
            fresh = self._observed(instances, column, self._motion.position[row])
            item.template, item.corner = fresh.template, fresh.corner
            item.seen_alone += bool(whole[column])
        seen = set(rows.tolist()) | set(placed)
        for row, item in enumerate(self._objects):
            if row not in seen:
                item.unseen_s += dt
        kept = np.array([o.believed and (o.seen_alone >= SETTLED_FRAMES or r in seen)
                         for r, o in enumerate(self._objects)], bool)
        self._objects = [o for o, k in zip(self._objects, kept, strict=True) if k]
        self._motion.keep(kept)
        free[columns] = False
        new = np.flatnonzero(free)
        self._motion.add(centres[new], np.sqrt(instances.areas[new]))
        for column in new.tolist():
            self._objects.append(self._observed(instances, column, centres[column]))

    def _surprise(self, instances: Instances, column: int, row: int) -> npt.NDArray[np.float64]:
        """Return how far a partly hidden object is from its place, by the side that shows."""
        x, y = self._corner(row)
        h, w = self._objects[row].template.shape
        x0, y0, x1, y1 = instances.boxes[column].tolist()
        sides = np.array([(x0 - x, y0 - y), (x1 - x - w, y1 - y - h)], float)
        return np.take_along_axis(sides, np.abs(sides).argmin(axis=0)[None], axis=0)[0]

    @staticmethod
    def _observed(instances: Instances, column: int, position: npt.NDArray[np.float64]) -> _Object:
        x0, y0, x1, y1 = instances.boxes[column].tolist()
        template = (instances.labels[y0:y1, x0:x1] == column + 1).view(np.uint8)
        return _Object(int(instances.class_ids[column]), template, (x0, y0) - position)


class _Cut:
    """Instances being cut: collects new labels, computes what changed."""

    def __init__(self, instances: Instances) -> None:
        self.instances = instances
        self.claimed: set[int] = set()      # labels that known objects are in together
        self.labels_touched: list[int] = []
        self._labels: npt.NDArray[np.uint16] | None = None
        self._parts: list[tuple[int, float]] = []     # class and score of each new label

    def blob(self, labels: list[int], margin: int) -> tuple[npt.NDArray[np.uint8], int, int]:
        """Return a crop, 1 on the labels, and the x and y of its corner."""
        boxes = self.instances.boxes[np.array(labels) - 1]
        height, width = self.instances.labels.shape
        x0, y0 = np.maximum(boxes[:, :2].min(axis=0) - margin, 0)
        x1, y1 = np.minimum(boxes[:, 2:].max(axis=0) + margin, (width, height))
        crop = self.instances.labels[y0:y1, x0:x1]
        return np.isin(crop, labels).view(np.uint8), int(x0), int(y0)

    def replace(self, labels: list[int], parts: list[npt.NDArray[np.bool_]], left: int, top: int
                ) -> None:
        """Put parts in the place of labels; the crop's corner is at (left, top)."""
        if self._labels is None:
            self._labels = self.instances.labels.copy()
        height, width = parts[0].shape
        crop = self._labels[top:top + height, left:left + width]
        for part in parts:
            crop[part] = len(self.instances) + len(self._parts) + 1
            self._parts.append((int(self.instances.class_ids[labels[0] - 1]),
                                float(self.instances.scores[labels[0] - 1])))
        self.labels_touched += labels

    def result(self) -> Instances:
        """Return the instances with the parts, labels dense, parts last."""
        old = self.instances
        if self._labels is None:
            return old
        stay = np.ones(len(old), bool)
        stay[np.array(self.labels_touched) - 1] = False
        total = len(old) + len(self._parts)
        dense = np.zeros(total + 1, np.uint16)
        alive = np.concatenate([np.flatnonzero(stay) + 1, np.arange(len(old) + 1, total + 1)])
        dense[alive] = np.arange(1, len(alive) + 1)
        areas, boxes, oriented = [], [], []
        for k in range(len(self._parts)):
            inside = (self._labels == len(old) + k + 1).view(np.uint8)
            x, y, w, h = cv2.boundingRect(inside)
            cx, cy, *rest = oriented_box(inside[y:y + h, x:x + w])
            areas.append(int(np.count_nonzero(inside)))
            boxes.append((x, y, x + w, y + h))
            oriented.append((cx + x, cy + y, *rest))
        return replace(
            old, labels=dense[self._labels],
            class_ids=np.append(old.class_ids[stay], np.array([c for c, _ in self._parts],
                                                              np.uint8)),
            areas=np.append(old.areas[stay], areas),
            scores=np.append(old.scores[stay], [s for _, s in self._parts]),
            boxes=np.concatenate([old.boxes[stay], np.array(boxes, np.int32)]),
            oriented_boxes=np.concatenate([old.oriented_boxes[stay], np.array(oriented)]))


def _alone(instances: Instances) -> npt.NDArray[np.bool_]:
    """Return which instances touch no other one of their class."""
    labels = instances.labels
    alone = np.ones(len(instances) + 1, bool)
    classes = np.concatenate([np.zeros(1, np.uint8), instances.class_ids])
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        border = (a != b) & (a > 0) & (b > 0)
        one, other = a[border], b[border]
        rivals = classes[one] == classes[other]
        alone[one[rivals]] = alone[other[rivals]] = False
    return alone[1:]


def _crumbs_at_border(instances: Instances) -> npt.NDArray[np.bool_]:
    """Return which instances reach the border of the frame and are small for their class."""
    height, width = instances.labels.shape
    at_border = ((instances.boxes[:, :2] == 0) | (instances.boxes[:, 2:] == (width, height))
                 ).any(axis=1)
    largest = np.zeros(256)
    np.maximum.at(largest, instances.class_ids, instances.areas)
    return at_border & (instances.areas < 0.25 * largest[instances.class_ids])


def _stamped(template: npt.NDArray[np.uint8], corner: npt.NDArray, shape: tuple[int, ...]
             ) -> npt.NDArray[np.uint8]:
    """Return an image of `shape` with the template at `corner` (x, y), clipped."""
    image = np.zeros(shape, np.uint8)
    (x, y), (h, w) = (int(v) for v in corner), template.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, shape[1]), min(y + h, shape[0])
    if x0 < x1 and y0 < y1:
        image[y0:y1, x0:x1] = template[y0 - y:y1 - y, x0 - x:x1 - x]
    return image


def _window(image: npt.NDArray[np.float32], corner: npt.NDArray, shape: tuple[int, int]
            ) -> npt.NDArray[np.float32]:
    """Return a part of the image; what lies outside is neutral, as beyond the frame."""
    window = np.zeros(shape, np.float32)
    (x, y), (h, w) = (int(v) for v in corner), shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, image.shape[1]), min(y + h, image.shape[0])
    if x0 < x1 and y0 < y1:
        window[y0 - y:y1 - y, x0 - x:x1 - x] = image[y0:y1, x0:x1]
    return window


def _shared_out(blob: npt.NDArray[np.uint8], covers: list[npt.NDArray[np.uint8]]
                ) -> list[npt.NDArray[np.bool_]]:
    """Give every pixel of the blob to the first cover it is in, or else to the nearest."""
    away = []
    for cover in covers:
        distance = cv2.distanceTransform(1 - cover, cv2.DIST_L2, 3) if cover.any() \
            else np.full(cover.shape, np.inf, np.float32)
        away.append(distance)
    owner = np.argmin(away, axis=0)  # the first of equals
    return [(owner == k) & (blob == 1) for k in range(len(covers))]
