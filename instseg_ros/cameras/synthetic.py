"""
A drawn street with exact ground truth: people walk, meet, cross and vanish behind things.

Everything is a function of the seed and the time, so any frame rate, dropped frames and jumps are
only a choice of times, and two processes that ask for the same time get the same pixels.

>>> scene = SyntheticScene(320, 240, seed=1).at(2.0)
>>> scene.frame.shape, scene.mask.shape, scene.labels.dtype.name
((240, 320, 3), (240, 320), 'uint16')
>>> len(scene.class_ids) == len(scene.track_ids) == int(scene.labels.max())
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
import math

import cv2
import numpy as np
import numpy.typing as npt

from ..core.segmentation.oriented_boxes import oriented_box

AEROPLANE, CAR, PERSON = 1, 7, 15  # PASCAL VOC
CLASS_NAMES = {AEROPLANE: 'aeroplane', CAR: 'car', PERSON: 'person'}
DEFAULT_OBJECTS = ('person', 'person', 'car', 'person', 'aeroplane', 'person')
MAX_OBJECTS = 250
PASSES = 1_000_000  # track ids: object * PASSES + pass, so that they never meet

_SUBPIXEL_BITS = 4
_CIRCLE = np.array([(math.cos(a), math.sin(a))
                    for a in np.linspace(0, 2 * math.pi, 20, endpoint=False)])
_HAIR = ((40, 50, 70), (30, 30, 35), (80, 120, 170), (110, 110, 115))
_SKIN = ((150, 185, 225), (120, 155, 205), (75, 105, 150), (50, 70, 100))
_CLOTHES = ((60, 60, 190), (190, 120, 50), (70, 150, 70), (50, 160, 220), (160, 70, 140),
            (200, 200, 200), (110, 90, 60), (60, 110, 230))

_Part = tuple[npt.NDArray[np.float64], tuple[int, int, int]]


@dataclass(frozen=True)
class SceneFrame:
    """
    One moment of the scene, and the truth about it.

    Attributes
    ----------
    frame : ndarray of shape (H, W, 3), uint8
        What a camera sees, BGR.
    mask : ndarray of shape (H, W), uint8
        Class id of each pixel, 0 background.
    class_ids : ndarray of shape (N,), uint8
        Class of each label.
    track_ids : ndarray of shape (N,), int64
        Which object each label is. An object that left the frame comes back as another one.
    figures : ndarray of shape (H, W), uint8
        Number of the figure that is seen in each pixel, 0 where there is none.
    label_of : ndarray of shape (256,), uint16
        Label of each figure, 0 where it is background.

    """

    frame: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.uint8]
    track_ids: npt.NDArray[np.int64]
    figures: npt.NDArray[np.uint8]
    label_of: npt.NDArray[np.uint16]

    @cached_property
    def labels(self) -> npt.NDArray[np.uint16]:
        """Visible pixels of each object, (H, W): 0 background, 1..N dense, far to near."""
        return cv2.LUT(self.figures, self.label_of).astype(np.uint16, copy=False)

    @cached_property
    def oriented_boxes(self) -> npt.NDArray[np.float64]:
        """Boxes of the visible pixels, (N, 5) as in ``Instances``; computed when asked for."""
        rows = []
        for label in range(1, len(self.class_ids) + 1):
            inside = (self.labels == label).view(np.uint8)
            x, y, w, h = cv2.boundingRect(inside)
            cx, cy, *rest = oriented_box(inside[y:y + h, x:x + w])
            rows.append((cx + x, cy + y, *rest))
        return np.array(rows, np.float64).reshape(-1, 5)


@dataclass(frozen=True)
class _Figure:
    """One object at one time: convex parts in pixels, drawn in order; ``depth`` grows nearer."""

    class_id: int
    track_id: int
    depth: float
    parts: list[_Part]


class SyntheticScene:
    """
    People, cars and aeroplanes on a street with a lamp post and a kiosk to vanish behind.

    Parameters
    ----------
    width, height : int
        Size of the frames in pixels.
    seed : int
        Chooses lanes, directions, sizes, speeds and colours.
    objects : int or sequence of {'person', 'car', 'aeroplane'}
        Who takes part; a number repeats `DEFAULT_OBJECTS` up to that many.
    speed : float
        How fast time passes for the objects.

    """

    def __init__(self, width: int = 640, height: int = 480, seed: int = 0,
                 objects: int | Sequence[str] = DEFAULT_OBJECTS, speed: float = 1.0) -> None:
        if width < 16 or height < 16:
            raise ValueError(f'expected width and height >= 16, got {width} x {height}')
        if isinstance(objects, int):
            objects = [DEFAULT_OBJECTS[i % len(DEFAULT_OBJECTS)] for i in range(objects)]
        kinds = {'person': self._person, 'car': self._car, 'aeroplane': self._aeroplane}
        for name in objects:
            if name not in kinds:
                raise ValueError(f'expected objects among {", ".join(kinds)}, got {name!r}')
        if len(objects) > MAX_OBJECTS:
            raise ValueError(f'expected at most {MAX_OBJECTS} objects, got {len(objects)}')
        self._makers = [kinds[name] for name in objects]
        self._width, self._height, self._seed, self._speed = width, height, seed, speed
        self._background = _street(width, height, seed)
        self._props = _street_furniture(width, height)
        # Per scene, not per process: two scenes share nothing.
        self._dice = lru_cache(maxsize=1024)(self._throw)

    def at(self, t_s: float) -> SceneFrame:
        """Return the scene ``t_s`` seconds after its start (any number, also negative)."""
        figures = sorted(self._actors(t_s) + self._props, key=lambda f: f.depth)
        frame = self._background.copy()
        # 8 bits while drawing: a table look-up in OpenCV costs a tenth of NumPy's indexing.
        drawn = np.zeros(frame.shape[:2], np.uint8)
        for value, figure in enumerate(figures, 1):
            for points, colour in figure.parts:
                polygon = np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
                cv2.fillConvexPoly(frame, polygon, colour, cv2.LINE_8, _SUBPIXEL_BITS)
                cv2.fillConvexPoly(drawn, polygon, value, cv2.LINE_8, _SUBPIXEL_BITS)
        # Figures drawn over completely and furniture, which is background, lose their labels.
        visible = cv2.calcHist([drawn], [0], None, [256], [0, 256]).ravel() > 0
        seen = [(v, f) for v, f in enumerate(figures, 1) if visible[v] and f.class_id]
        to_label, to_class = np.zeros(256, np.uint16), np.zeros(256, np.uint8)
        for label, (value, figure) in enumerate(seen, 1):
            to_label[value], to_class[value] = label, figure.class_id
        return SceneFrame(frame, cv2.LUT(drawn, to_class).astype(np.uint8, copy=False),
                          np.array([f.class_id for _, f in seen], np.uint8),
                          np.array([f.track_id for _, f in seen], np.int64), drawn, to_label)

    def whole_areas(self, t_s: float) -> dict[int, int]:
        """Return how many pixels of each track id would be seen if nothing hid anything."""
        areas = {}
        for figure in self._actors(t_s):
            alone = np.zeros(self._background.shape[:2], np.uint8)
            for points, _ in figure.parts:
                polygon = np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
                cv2.fillConvexPoly(alone, polygon, 1, cv2.LINE_8, _SUBPIXEL_BITS)
            areas[figure.track_id] = cv2.countNonZero(alone)
        return areas

    def _actors(self, t_s: float) -> list[_Figure]:
        """Return everybody who is in the frame."""
        everybody = (make(index, t_s * self._speed) for index, make in enumerate(self._makers))
        return [figure for figure in everybody if figure]

    def _throw(self, index: int, number: int) -> npt.NDArray[np.float64]:
        """Return 16 uniform numbers that belong to one pass of one object."""
        return np.random.default_rng((self._seed, index, number % 2**32)).random(16)

    def _across(self, index: int, t: float, seconds: float, margin: float
                ) -> tuple[int, float, npt.NDArray[np.float64], float]:
        """Return pass number, x in pixels, the pass's dice and the direction (+1 rightwards)."""
        own = self._dice(index, -1)
        clock = t / (seconds * (0.8 + 0.4 * own[0])) + own[1]
        number = math.floor(clock)
        dice = self._dice(index, number)
        progress = clock - number
        if seconds > 6 and dice[0] < 0.4:  # some people stop on their way, at about the middle
            progress = _with_pause(progress, 0.3 + 0.4 * dice[1])
        direction = 1.0 if dice[2] < 0.5 else -1.0
        span = self._width + 2 * margin
        x = self._width / 2 + direction * (progress - 0.5) * span
        return index * PASSES + number % PASSES + 1, x, dice, direction

    def _person(self, index: int, t: float) -> _Figure | None:
        h0 = self._height
        track_id, x, dice, direction = self._across(index, t, 11.0, 0.12 * h0)
        foot = h0 * (0.74 + 0.22 * dice[3])
        size = foot * (0.42 + 0.06 * dice[4])
        if not -0.5 * size < x < self._width + 0.5 * size:
            return None
        # The stride follows the way walked, so somebody who stops also stands still.
        swing = math.sin(x / size * 7.5 + 6 * dice[5])
        skin, hair = _SKIN[int(dice[6] * 4)], _HAIR[int(dice[7] * 4)]
        shirt, trousers = _CLOTHES[int(dice[8] * 8)], _CLOTHES[int(dice[9] * 8)]
        lean = 0.02 * direction
        parts: list[_Part] = []
        for side in (-1, 1):
            parts.append((_limb((0, -0.50), (0.13 * swing * side + lean, -0.02), 0.062, 0.042),
                          _darker(trousers, 0.75 if side < 0 else 0.95)))
        parts += [(_limb((0, -0.78), (-0.14 * swing, -0.48), 0.04, 0.028), _darker(shirt, 0.7)),
                  (_limb((lean, -0.77), (0, -0.52), 0.105, 0.085), shirt),
                  (_limb((0, -0.78), (0.14 * swing, -0.48), 0.04, 0.028), _darker(shirt, 0.85)),
                  (_limb((lean, -0.86), (lean, -0.80), 0.032, 0.032), skin),
                  (_CIRCLE * (0.066, 0.075) + (lean, -0.925), hair),
                  (_CIRCLE * (0.048, 0.06) + (lean + 0.016 * direction, -0.912), skin)]
        return _placed(PERSON, track_id, foot, parts, x, foot, size, 0.0)

    def _car(self, index: int, t: float) -> _Figure | None:
        size = self._height * 0.42
        track_id, x, dice, direction = self._across(index, t, 5.5, size)
        if not -0.5 * size < x < self._width + 0.5 * size:
            return None
        paint = _CLOTHES[int(dice[8] * 8)]
        glass, rubber = (160, 150, 130), (35, 35, 35)
        parts: list[_Part] = [
            (np.array([(-0.30, -0.20), (-0.20, -0.36), (0.10, -0.36), (0.27, -0.20)]), paint),
            (np.array([(-0.50, -0.10), (-0.48, -0.21), (0.28, -0.23), (0.48, -0.17), (0.50, -0.08),
                       (0.46, -0.05), (-0.46, -0.05)]), _darker(paint, 0.9)),
            (np.array([(-0.24, -0.22), (-0.17, -0.33), (-0.06, -0.33), (-0.06, -0.22)]), glass),
            (np.array([(-0.02, -0.22), (-0.02, -0.33), (0.08, -0.33), (0.20, -0.22)]), glass)]
        for wheel in (-0.28, 0.30):
            parts += [(_CIRCLE * 0.085 + (wheel, -0.085), rubber),
                      (_CIRCLE * 0.04 + (wheel, -0.085), (150, 150, 150))]
        lane = self._height * (0.68 if direction > 0 else 0.715)
        parts = [(points * (direction, 1), colour) for points, colour in parts]
        return _placed(CAR, track_id, lane, parts, x, lane, size, 0.0)

    def _aeroplane(self, index: int, t: float) -> _Figure | None:
        dice = self._dice(index, -1)
        angle = (1 if dice[2] < 0.5 else -1) * t * (0.5 + 0.3 * dice[0]) + 6.3 * dice[1]
        x = self._width * (0.5 + (0.2 + 0.12 * dice[3]) * math.cos(angle))
        y = self._height * (0.2 + (0.06 + 0.05 * dice[4]) * math.sin(angle))
        size = self._height * (0.17 + 0.06 * dice[5])
        white, grey = (235, 235, 235), (190, 190, 195)
        parts: list[_Part] = [
            (np.array([(0.12, 0), (0, 0.45), (-0.10, 0.45), (-0.08, 0)]), grey),
            (np.array([(0.12, 0), (0, -0.45), (-0.10, -0.45), (-0.08, 0)]), grey),
            (np.array([(-0.36, 0), (-0.44, 0.17), (-0.50, 0.17), (-0.50, -0.17), (-0.44, -0.17)]),
             grey),
            (_CIRCLE * (0.5, 0.065), white),
            (_CIRCLE * (0.07, 0.04) + (0.36, 0), (120, 90, 60))]
        turn = angle + math.copysign(math.pi / 2, 0.5 - dice[2])
        return _placed(AEROPLANE, index * PASSES + 1, -1.0, parts, x, y, size, turn)


def _placed(class_id: int, track_id: int, depth: float, parts: list[_Part], x: float, y: float,
            size: float, turn: float) -> _Figure:
    """Scale, turn (radians, clockwise on the screen) and move parts to (x, y)."""
    c, s = size * math.cos(turn), size * math.sin(turn)
    # All points at once: most parts have twenty.
    points = np.concatenate([p for p, _ in parts]) @ np.array([(c, s), (-s, c)]) + (x, y)
    ends = accumulate(len(p) for p, _ in parts)
    return _Figure(class_id, track_id, depth, [
        (points[end - len(p):end], colour) for (p, colour), end in zip(parts, ends, strict=True)])


def _limb(a: tuple[float, float], b: tuple[float, float], ra: float, rb: float
          ) -> npt.NDArray[np.float64]:
    """Return a rounded convex limb from `a` (radius `ra`) to `b` (radius `rb`)."""
    points = np.concatenate([_CIRCLE * ra + a, _CIRCLE * rb + b]).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)


def _darker(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    b, g, r = (int(c * factor) for c in colour)
    return b, g, r


def _with_pause(progress: float, where: float, length: float = 0.25) -> float:
    """Walk the same way in the same time, but stand still for a while at `where`."""
    start, end = where * (1 - length), where * (1 - length) + length
    if progress < start:
        return progress / (1 - length)
    return where if progress < end else (progress - length) / (1 - length)


def _street(width: int, height: int, seed: int) -> npt.NDArray[np.uint8]:
    """Paint the background once: sky, houses, road, pavement."""
    rng = np.random.default_rng((seed, 1))
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.broadcast_to((225, 190, 150) + rows * (10, 50, 80), (height, width, 3)).copy()
    x = 0
    while x < width:
        w = int(width * rng.uniform(0.1, 0.2)) + 1
        top, foot = int(height * rng.uniform(0.30, 0.45)), int(height * 0.60)
        wall = np.array([(125, 140, 160), (110, 120, 135), (130, 150, 180)][rng.integers(3)])
        picture[top:foot, x:x + w] = wall + rng.uniform(-15, 15)
        step = max(4, height // 22)
        for wy in range(top + step // 2, foot - step, step):
            for wx in range(x + step // 2, min(x + w, width) - step // 2, step):
                picture[wy:wy + step // 2, wx:wx + step // 2] = (100, 85, 70)
        x += w
    picture[int(height * 0.60):] = (150, 155, 158)  # far pavement
    picture[int(height * 0.63):int(height * 0.74)] = (88, 86, 84)  # road
    for x in range(0, width, max(8, width // 12)):
        picture[int(height * 0.682):int(height * 0.690), x:x + max(4, width // 24)] = 200
    picture[int(height * 0.74):int(height * 0.75)] = (170, 172, 174)  # kerb
    near = np.linspace(0, 1, height - int(height * 0.75))[:, None, None]
    picture[int(height * 0.75):] = (128, 134, 140) + near * (20, 22, 24)
    picture += rng.normal(0, 3, (height, width, 1))
    return picture.clip(0, 255).astype(np.uint8)


def _street_furniture(width: int, height: int) -> list[_Figure]:
    """Return a kiosk and a lamp post: background that hides what passes behind it."""
    kiosk, post = width * 0.70, width * 0.27
    foot = height * 0.86

    def box(x: float, w: float, top: float, colour: tuple[int, int, int]) -> _Part:
        top *= height
        return (np.array([(x - w, top), (x + w, top), (x + w, foot), (x - w, foot)]), colour)

    kiosk_half = height * 0.055
    roof = np.array([(kiosk - 1.2 * kiosk_half, height * 0.44), (kiosk, height * 0.40),
                     (kiosk + 1.2 * kiosk_half, height * 0.44)])
    return [_Figure(0, 0, foot, [
        box(kiosk, kiosk_half, 0.44, (70, 95, 60)),
        box(kiosk, 0.8 * kiosk_half, 0.50, (150, 190, 205)),
        (roof, (50, 70, 45)),
        box(post, height * 0.008, 0.24, (60, 62, 62)),
        (_CIRCLE * (0.03 * height) + (post, 0.24 * height), (200, 235, 245))])]
