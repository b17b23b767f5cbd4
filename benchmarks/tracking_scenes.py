"""
Scenes with true tracks: a moving camera, a crowd, cells, and the errors of a network.

Everything is a function of its seed. A scene is a list of :class:`Moment`; its masks are what a
perfect network gives, :func:`as_network` makes of them what a real one gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2
from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.core import Instances
from instseg_ros.core.segmentation.oriented_boxes import oriented_box
import numpy as np

WIDTH, HEIGHT = 640, 480
FOCAL = 520.0                # px: 63 degrees across, as the AI Camera
BICYCLE, BUS, CAR, MOTORBIKE, PERSON = 2, 6, 7, 14, 15   # PASCAL VOC
HEIGHTS = {PERSON: (1.55, 1.9), CAR: (1.4, 1.6), BUS: (2.8, 3.2), BICYCLE: (1.0, 1.1),
           MOTORBIKE: (1.1, 1.3)}   # m


@dataclass
class Moment:
    """
    One frame: time in s, visible pixels of each object, class and true track of label k.

    `whole_areas` has for each track how many of its pixels were seen if nothing hid it.
    """

    t: float
    labels: np.ndarray
    class_ids: np.ndarray
    track_ids: np.ndarray
    whole_areas: dict[int, int] = field(default_factory=dict)

    @property
    def mask(self) -> np.ndarray:
        """Class of each pixel."""
        return np.concatenate([[0], self.class_ids]).astype(np.uint8)[self.labels]

    def without(self, gone: np.ndarray) -> Moment:
        """Return the moment without some of the objects, (N,) bool."""
        dense = np.zeros(len(gone) + 1, np.uint16)
        dense[1:][~gone] = np.arange(1, np.count_nonzero(~gone) + 1)
        return replace(self, labels=dense[self.labels], class_ids=self.class_ids[~gone],
                       track_ids=self.track_ids[~gone])


def described(labels: np.ndarray, class_ids: np.ndarray) -> Instances:
    """Return the instances of a ready label image."""
    rows = []
    for label in range(1, len(class_ids) + 1):
        inside = (labels == label).view(np.uint8)
        x, y, w, h = cv2.boundingRect(inside)
        cx, cy, *rest = oriented_box(inside[y:y + h, x:x + w])
        rows.append(((x, y, x + w, y + h), (cx + x, cy + y, *rest), np.count_nonzero(inside)))
    boxes, oriented, areas = zip(*rows, strict=True) if rows else ((), (), ())
    return Instances(labels, class_ids, np.array(areas, np.int64), np.ones(len(rows)),
                     np.array(boxes, np.int32).reshape(-1, 4),
                     np.array(oriented, np.float64).reshape(-1, 5))


def times(fps: float, seconds: float, missing: float, seed: int) -> list[float]:
    """Return the times of the frames, a share of which is missing at random."""
    dice = np.random.default_rng(seed)
    return [i / fps for i in range(int(seconds * fps)) if dice.random() >= missing]


def street(seed: int, fps: float, seconds: float = 12, missing: float = 0) -> Iterator[Moment]:
    """Yield the drawn street: a camera that stands still, a kiosk and a lamp post."""
    scene = SyntheticScene(WIDTH, HEIGHT, seed=seed, objects=6)
    for t in times(fps, seconds, missing, seed):
        seen = scene.at(t)
        yield Moment(t, seen.labels, seen.class_ids, seen.track_ids, scene.whole_areas(t))


@lru_cache(maxsize=1)
def silhouettes(folder: Path) -> dict[int, list[np.ndarray]]:
    """Return whole silhouettes, cropped, by class, of the photos' masks."""
    found: dict[int, list[np.ndarray]] = {c: [] for c in HEIGHTS}
    for path in sorted(folder.glob('*.npz')):
        photo = np.load(path)
        labels, height, width = photo['instances'], *photo['instances'].shape
        for label, class_id in enumerate(photo['class_ids'].tolist(), 1):
            if class_id not in HEIGHTS:
                continue
            inside = (labels == label).view(np.uint8)
            x, y, w, h = cv2.boundingRect(inside)
            if min(x, y) < 2 or x + w > width - 2 or y + h > height - 2:
                continue
            count, pieces, stats, _ = cv2.connectedComponentsWithStats(inside)
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            x, y, w, h, area = stats[largest].tolist()
            upright = h > 1.6 * w if class_id == PERSON else w > 0.5 * h
            if area >= 1200 and upright:
                found[class_id].append((pieces[y:y + h, x:x + w] == largest).astype(np.uint8))
    return found


@dataclass
class _Thing:
    """Something upright on the ground plane; class 0 is a post or a wall, which only hides."""

    class_id: int
    shape: np.ndarray
    height: float              # m
    place: np.ndarray          # (2,) x, y in m at time 0
    velocity: np.ndarray       # (2,) m / s
    stride: float              # Hz


def moving_camera(seed: int, fps: float, folder: Path, seconds: float = 12, missing: float = 0,
                  crowd: bool = False) -> Iterator[Moment]:
    """
    Yield what a camera sees that drives, turns, stops and shakes among people and vehicles.

    Even seeds are a robot among people (up to 1.5 m/s), odd ones a car (up to 10 m/s); a `crowd`
    of alike people is seen by a camera that only shakes.
    """
    dice = np.random.default_rng((seed, 7))
    robot = crowd or seed % 2 == 0
    path = _path(dice, seconds, robot, crowd)
    things = _things(dice, seconds, robot, path, silhouettes(folder), crowd)
    eye = 1.2 if robot else 1.5    # m
    for t in times(fps, seconds, missing, seed):
        place, heading, pitch = (np.array([np.interp(t, path[:, 0], c) for c in path[:, 1:].T])[i]
                                 for i in (slice(2), 2, 3))
        yield _seen(things, t, place, heading, pitch, eye)


def _path(dice: np.random.Generator, seconds: float, robot: bool, still: bool) -> np.ndarray:
    """Return t, x, y, heading, pitch of the camera, (K, 5) in s, m and radians."""
    t = np.arange(0, seconds + 3, 0.01)
    speed, rate, shake = np.zeros(len(t)), np.zeros(len(t)), np.full(len(t), 0.001)
    at = 0
    while at < len(t):
        length = int(100 * dice.uniform(1.5, 4))
        part = slice(at, at + length)
        at += length
        kind = dice.choice(['drive', 'turn', 'stop', 'shake'], p=[0.4, 0.3, 0.15, 0.15])
        fastest, turning = (1.5, 0.8) if robot else (10, 0.3)
        if kind != 'stop' and not still:
            speed[part] = dice.uniform(0.4, 1) * fastest
        if kind == 'turn' and not still:
            rate[part] = dice.choice([-1, 1]) * dice.uniform(0.3, 1) * turning
        shake[part] = dice.uniform(0.008, 0.02) if kind == 'shake' else 0.0015
    smooth = np.ones(60) / 60
    speed, rate, shake = (np.convolve(v, smooth, 'same') for v in (speed, rate, shake))
    heading = np.cumsum(rate) * 0.01
    trembling = [sum(np.sin(2 * np.pi * (f * t + dice.random())) / 2 for f in (1.3, 3.1, 5.7))
                 for _ in range(2)]
    x, y = np.cumsum(speed * np.cos(heading)) * 0.01, np.cumsum(speed * np.sin(heading)) * 0.01
    return np.stack([t, x, y, heading + shake * trembling[0],
                     0.02 + shake * trembling[1]], axis=1)


def _things(dice: np.random.Generator, seconds: float, robot: bool, path: np.ndarray,
            shapes: dict[int, list[np.ndarray]], crowd: bool) -> list[_Thing]:
    """Return everybody, each placed where the camera sees it at some time of its own."""
    things: list[_Thing] = []
    alike = shapes[PERSON][int(dice.integers(len(shapes[PERSON])))]
    while len(things) < (22 if robot else 34):
        t = 0.0 if crowd else dice.uniform(0, seconds)
        x, y, heading = (np.interp(t, path[:, 0], path[:, i]) for i in (1, 2, 3))
        ahead = dice.uniform(3, 16) if robot else dice.uniform(8, 45)
        aside = dice.uniform(-0.55, 0.55) * ahead
        front = np.array([np.cos(heading), np.sin(heading)])
        left = np.array([-front[1], front[0]])
        place = np.array([x, y]) + ahead * front + aside * left
        kind = 0 if dice.random() < 0.12 else PERSON if crowd or dice.random() < (
            0.75 if robot else 0.35) else int(dice.choice([CAR, CAR, CAR, BUS, BICYCLE,
                                                           MOTORBIKE]))
        if kind == 0:
            wall = dice.random() < 0.4
            things.append(_Thing(0, np.ones((40, 15 if wall else 3), np.uint8),
                                 2.2 if wall else 4.0, place, np.zeros(2), 0))
            continue
        group = int(dice.choice([1, 2, 3], p=[0.5, 0.3, 0.2])) if kind == PERSON else 1
        pace = dice.uniform(0.6, 1.6) if kind == PERSON else dice.uniform(2, 9)
        if dice.random() < (0.35 if kind == PERSON else 0.5):
            pace = 0.0
        angle = dice.uniform(0, 2 * np.pi) if kind == PERSON else heading + dice.choice(
            [0, np.pi, np.pi, np.pi / 2], p=[0.4, 0.2, 0.2, 0.2])
        if crowd:
            angle = heading + dice.choice([-1, 1]) * np.pi / 2 + dice.normal(0, 0.4)
        velocity = pace * np.array([np.cos(angle), np.sin(angle)])
        for member in range(group):
            shape = alike if crowd and dice.random() < 0.6 else shapes[kind][
                int(dice.integers(len(shapes[kind])))]
            if dice.random() < 0.5:
                shape = shape[:, ::-1]
            beside = (0.55 + 0.2 * dice.random()) * member * left + 0.3 * dice.normal() * front
            things.append(_Thing(kind, np.ascontiguousarray(shape), dice.uniform(*HEIGHTS[kind]),
                                 place - t * velocity + beside,
                                 velocity * dice.uniform(0.95, 1.05),
                                 dice.uniform(0.7, 1.1) if kind == PERSON and pace else 0))
    return things


def _seen(things: list[_Thing], t: float, place: np.ndarray, heading: float, pitch: float,
          eye: float) -> Moment:
    """Draw what the camera sees, the far things first."""
    front = np.array([np.cos(heading), np.sin(heading)])
    right = np.array([front[1], -front[0]])
    drawn, whole_areas = np.zeros((HEIGHT, WIDTH), np.uint8), dict[int, int]()
    offsets = np.array([thing.place + t * thing.velocity for thing in things]) - place
    depths = offsets @ front
    for k in np.argsort(-depths).tolist():
        thing, z = things[k], float(depths[k])
        if z < 0.8 or z > 60:
            continue
        h = FOCAL * thing.height / z
        x = WIDTH / 2 + FOCAL * float(offsets[k] @ right) / z
        foot = HEIGHT / 2 - FOCAL * pitch + FOCAL * eye / z
        # Legs that swing: the lower the row, the more it leans to and fro.
        swing = 0.12 * np.sin(2 * np.pi * thing.stride * t + k) if thing.stride else 0.0
        rows, columns = thing.shape.shape
        scale = h / rows
        matrix = np.array([[scale * (1 + abs(swing)), scale * swing,
                            x - scale * (columns * (1 + abs(swing)) + swing * rows) / 2],
                           [0, scale, foot - h]])
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        inside = cv2.warpAffine(thing.shape * 255, matrix, (WIDTH, HEIGHT),
                                flags=cv2.INTER_LINEAR if flags else 0)
        drawn[inside > 127] = k + 1
        whole_areas[k] = np.count_nonzero(inside > 127)
    present = np.unique(drawn)
    kept = [k for k in present.tolist() if k and things[k - 1].class_id]
    dense = np.zeros(256, np.uint16)
    dense[kept] = np.arange(1, len(kept) + 1)
    return Moment(t, dense[drawn], np.array([things[k - 1].class_id for k in kept], np.uint8),
                  np.array(kept, np.int64), {k + 1: area for k, area in whole_areas.items()})


def cells(seed: int, fps: float, seconds: float = 12, step: float = 0.15, missing: float = 0
          ) -> Iterator[Moment]:
    """
    Yield blobs of one class that wander, touch, divide, and vanish for 1 to 20 frames.

    `step` is how far one goes from frame to frame, in radii. Daughters are new tracks.
    """
    dice = np.random.default_rng((seed, 11))
    count = int(dice.integers(20, 60))
    radius = float(dice.uniform(9, 18))
    place = dice.uniform((0, 0), (WIDTH, HEIGHT), (count, 2))
    velocity = dice.normal(0, 1, (count, 2))
    growth = dice.uniform(0.8, 1.3, count)      # of the radius
    form = dice.normal(0, 1, (count, 3, 2))
    ids = np.arange(1, count + 1)
    unseen = np.zeros(count, int)
    circle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for i in range(int(seconds * fps)):
        velocity = 0.8 * velocity + 0.6 * dice.normal(0, 1, velocity.shape)
        place = place + step * radius * velocity / 1.4
        away = place[:, None] - place[None]
        distance = np.maximum(np.hypot(*away.transpose(2, 0, 1)), 1e-6)
        close = np.clip(1.7 * radius * (growth[:, None] + growth) / 2 - distance, 0, None)
        np.fill_diagonal(close, 0)
        place = place + 0.5 * (away / distance[..., None] * close[..., None]).sum(axis=1)
        form = 0.95 * form + 0.3 * dice.normal(0, 1, form.shape)
        growth = growth * 1.003
        ripe = np.flatnonzero((growth > 1.25) & (dice.random(len(growth)) < 0.02))
        if len(ripe) and len(ids) < 110:
            axis = dice.normal(0, 1, (len(ripe), 2))
            axis *= 0.7 * radius / np.linalg.norm(axis, axis=1)[:, None]
            stay = np.setdiff1d(np.arange(len(ids)), ripe)
            fresh = int(ids.max()) + 1 + np.arange(2 * len(ripe))
            place = np.concatenate([place[stay], place[ripe] - axis, place[ripe] + axis])
            velocity = np.concatenate([velocity[stay], velocity[ripe], velocity[ripe]])
            growth = np.concatenate([growth[stay], growth[ripe] * 0.71, growth[ripe] * 0.71])
            form = np.concatenate([form[stay], form[ripe], -form[ripe]])
            unseen = np.concatenate([unseen[stay], np.zeros(2 * len(ripe), int)])
            ids = np.concatenate([ids[stay], fresh])
        unseen = np.maximum(unseen - 1, 0)
        starts = (unseen == 0) & (dice.random(len(ids)) < 0.008)
        unseen[starts] = dice.integers(1, 21, np.count_nonzero(starts))
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k in dice.permutation(len(ids)).tolist() if i == 0 else np.argsort(ids).tolist():
            if unseen[k]:
                continue
            wave = sum(0.06 * form[k, n, 0] * np.cos((n + 2) * circle)
                       + 0.06 * form[k, n, 1] * np.sin((n + 2) * circle) for n in range(3))
            r = radius * growth[k] * np.clip(1 + wave, 0.6, 1.5)
            outline = place[k] + r[:, None] * np.stack([np.cos(circle), np.sin(circle)], axis=1)
            cv2.fillPoly(drawn, [np.rint(outline).astype(np.int32)], k + 1)
        kept = np.unique(drawn)
        kept = kept[kept > 0]
        dense = np.zeros(256, np.uint16)
        dense[kept] = np.arange(1, len(kept) + 1)
        yield Moment(i / fps, dense[drawn], np.full(len(kept), 1, np.uint8), ids[kept - 1])


def with_gaps(moments: Iterator[Moment], seed: int, rate: float = 0.012) -> Iterator[Moment]:
    """Let each object vanish now and then for 1 to 20 frames."""
    dice, unseen = np.random.default_rng((seed, 13)), dict[int, int]()
    for moment in moments:
        gone = np.zeros(len(moment.track_ids), bool)
        for k, track in enumerate(moment.track_ids.tolist()):
            left = unseen.get(track, 0) - 1
            if left < 0 and dice.random() < rate:
                left = int(dice.integers(0, 20))
            unseen[track] = max(left, 0)
            gone[k] = left >= 0
        yield moment.without(gone)


# Of DeepLabV3 on 155 photos (coco_voc20_network): share of the objects of which anything
# is seen, by their share of the frame; outline off by 0.077 of the square root of the area
# (median of the standard deviations within an object); holes in 35 % of the objects, a gap through
# 38 %; 3.1 false pieces in a frame, with sizes of 7e-6 to 4e-3 of it (10th, 90th percentile).
SEEN = ((0, 0.07), (0.001, 0.10), (0.0035, 0.23), (0.012, 0.53), (0.035, 0.86), (0.12, 0.86))
OUTLINE, HOLES, FALSE = 0.077, 0.35, 3.1
GRID = 320               # px: side of the network's grid
LASTING_S = 0.5          # s after which an error of the network is another one


class NetworkErrors:
    """
    Makes of a perfect mask what a real network gives, with errors that last a while.

    Outlines wander, holes and gaps open, small objects are missed for some time, false pieces
    come and go, and everything is on a grid of 320x320.
    """

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng((seed, 17))
        self._t = -np.inf
        self._fields: dict[int, np.ndarray] = {}      # (7, 7) unit noise on each object's box
        self._luck: dict[int, np.ndarray] = {}        # of being seen at all: lasting, passing
        self._false: list[tuple[float, float, float, float, int]] = []   # until, x, y, r, class

    def mask(self, moment: Moment) -> np.ndarray:
        """Return the (H, W) class mask."""
        dice, frame = self._dice, moment.labels.size
        stays = np.exp(-(moment.t - self._t) / LASTING_S)
        fresh = np.sqrt(1 - stays**2)
        mask = np.zeros(moment.labels.shape, np.uint8)
        for label, (class_id, track) in enumerate(zip(moment.class_ids.tolist(),
                                                      moment.track_ids.tolist(), strict=True), 1):
            inside = (moment.labels == label).view(np.uint8)
            x, y, w, h = cv2.boundingRect(inside)
            area = np.count_nonzero(inside)
            if not area:
                continue
            size = np.sqrt(area)
            noise = self._fields.get(track, dice.normal(size=(2, 7, 7)))
            noise = self._fields[track] = stays * noise + fresh * dice.normal(size=(2, 7, 7))
            luck = self._luck.setdefault(track, dice.normal(size=2))
            luck[1] = stays * luck[1] + fresh * dice.normal()
            p = np.interp(area / frame, *zip(*SEEN, strict=True))
            if 0.5 * (1 + np.tanh(0.8 * (0.8 * luck[0] + 0.6 * luck[1]))) > p:
                continue
            pad = int(0.25 * size) + 2
            x0, y0, x1, y1 = max(x - pad, 0), max(y - pad, 0), x + w + pad, y + h + pad
            crop = inside[y0:y1, x0:x1]
            signed = cv2.distanceTransform(crop, cv2.DIST_L2, 5) \
                - cv2.distanceTransform(1 - crop, cv2.DIST_L2, 5)
            wander, holes = (cv2.resize(n, crop.shape[::-1], interpolation=cv2.INTER_CUBIC)
                             for n in noise)
            kept = signed + OUTLINE * size * 1.3 * wander > 0
            kept &= holes > -2.6 + HOLES
            mask[y0:y1, x0:x1][kept] = class_id
        self._false = [f for f in self._false if f[0] > moment.t]
        while len(self._false) < dice.poisson(FALSE) and len(moment.class_ids):
            share = 10**dice.uniform(-5.2, -2.4) if dice.random() < 0.5 else 10**-4.5
            self._false.append((moment.t + dice.exponential(LASTING_S), *dice.random(2).tolist(),
                                float(np.sqrt(share * frame / np.pi)),
                                int(dice.choice(moment.class_ids))))
        height, width = mask.shape
        for _, x, y, r, class_id in self._false:
            cv2.circle(mask, (int(x * width), int(y * height)), max(1, round(r)), class_id, -1)
        self._t = moment.t
        small = cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_NEAREST)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
