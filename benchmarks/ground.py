"""
How far off, in metres, is what the ground stage says? Scenes drawn from a known camera and floor.

``python benchmarks/ground.py [--scenes N] [--chosen-on] [--pictures DIR]``. People have the real
silhouettes of ../shared/data/masks, boxes are boxes; masks are drawn through the lens, squeezed
to the 320x320 pixels of an AI Camera's network and back, and their outlines tremble by a pixel.
The stage is told a pose that is as wrong as its settings say. Even scenes were looked at while
its numbers were chosen (--chosen-on shows them); odd ones are reported.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
import math
from pathlib import Path
import time

import cv2
from instseg_ros.core.ground import (CameraModel, FloorView, GroundSettings, GroundTracker, Pose)
from instseg_ros.core.instances import Instances
import numpy as np

SHARED = Path(__file__).resolve().parent.parent.parent / 'shared' / 'data'
WIDTH, HEIGHT, GRID = 640, 480, 320
PERSON, BOX = 15, 9
FPS, FRAMES = 10, 30
SMALLEST = 60  # pixels
APART = 0.9  # metres between the middles of things, at least
# The lowest pixel of a person is the tip of the nearer shoe, so far in front of the body's middle.
TOES = 0.12
BINS = ((1, 2), (2, 4), (4, 7), (7, 10), (10, 15))
CHI2 = {0.68: 2.28, 0.95: 5.99}  # two degrees of freedom


def silhouettes() -> list[np.ndarray]:
    """Return outlines of standing people, (K, 2): x from the middle, y up, the height is 1."""
    found = []
    for file in sorted((SHARED / 'masks' / 'coco_voc20').glob('*.npz')):
        data = np.load(file)
        labels = data['instances']
        for k, kind in enumerate(data['class_ids'].tolist(), 1):
            mask = (labels == k).astype(np.uint8)
            x, y, w, h = cv2.boundingRect(mask)
            inside = x > 2 and y > 2 and x + w < mask.shape[1] - 2 and y + h < mask.shape[0] - 2
            if kind != PERSON or not inside or h < 110 or not 2.0 < h / w < 4.5:
                continue
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            outline = max(contours, key=cv2.contourArea)[:, 0].astype(float)
            if cv2.contourArea(outline.astype(np.float32)) < 0.95 * mask.sum():
                continue
            feet = outline[outline[:, 1] > y + 0.95 * h, 0]
            outline[:, 0] = (outline[:, 0] - feet.mean()) / h
            outline[:, 1] = (y + h - outline[:, 1]) / h
            found.append(outline)
    return found


@dataclass
class Thing:
    """Somebody or something on the floor; positions in the fixed frame."""

    kind: int
    place: np.ndarray
    velocity: np.ndarray
    size: tuple[float, float, float]
    outline: np.ndarray | None = None
    turn: float = 0.0

    def at(self, t: float) -> np.ndarray:
        return self.place + self.velocity * t

    def seen(self, t: float, view: FloorView, ground: Pose) -> np.ndarray:
        """Return the outline in pixels."""
        place = self.at(t)
        if self.outline is not None:
            eye = ground.at(view.pose.translation)[:2]
            away = (place - eye) / np.linalg.norm(place - eye)
            across = np.array([away[1], -away[0]])
            plane = place - TOES * away
            points = np.column_stack([plane + self.outline[:, :1] * self.size[2] * across,
                                      self.outline[:, 1] * self.size[2]])
            return view.to_pixels(ground.inverse().at(points))
        length, breadth, height = self.size
        corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (0, 2)]) / 2
        edges = [a + (b - a) * np.linspace(0, 1, 30)[:, None] for i, a in enumerate(corners)
                 for b in corners[:i] if np.abs(a - b).sum() == 1]
        points = np.concatenate(edges) * [length, breadth, height]
        c, s = math.cos(self.turn), math.sin(self.turn)
        points = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [*place, 0]
        pixels = view.to_pixels(ground.inverse().at(points))
        if not np.isfinite(pixels).all():
            return pixels
        return cv2.convexHull(pixels.astype(np.float32))[:, 0]


@dataclass
class Scene:
    """A camera on a robot that drives, and things around it."""

    camera: CameraModel
    pose: Pose
    told: Pose
    things: list[Thing]
    speed: float
    turning: float

    def ground(self, t: float) -> Pose:
        """Return where the robot is."""
        yaw = self.turning * t
        x, y = ((self.speed * t, 0.0) if abs(self.turning) < 1e-6 else (
            self.speed / self.turning * math.sin(yaw),
            self.speed / self.turning * (1 - math.cos(yaw))))
        c, s = math.cos(yaw), math.sin(yaw)
        return Pose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.array([x, y, 0]))


def make_scene(seed: int, people: list[np.ndarray]) -> Scene:
    rng = np.random.default_rng(seed)
    focal = WIDTH / 2 / math.tan(math.radians(rng.uniform(55, 80)) / 2)
    camera = CameraModel(WIDTH, HEIGHT, [
        focal, 0, 320 + rng.normal(0, 5), 0, focal, 240 + rng.normal(0, 5), 0, 0, 1],
        [rng.uniform(-0.25, 0.05), rng.uniform(0, 0.06), *rng.normal(0, 5e-4, 2), 0.0])
    height, tilt = rng.uniform(0.3, 1.7), math.radians(rng.uniform(0, 40))
    pose = Pose.of_camera(height, tilt, rng.normal(0, 0.03))
    settings = GroundSettings()
    turn, _ = cv2.Rodrigues(rng.normal(0, math.radians(settings.tilt_noise), 3))
    told = Pose(turn @ pose.rotation,
                pose.translation + [0, 0, rng.normal(0, settings.height_noise)])
    things: list[Thing] = []
    while len(things) < 7:
        distance, bearing = math.exp(rng.uniform(0, math.log(15))), rng.uniform(-0.55, 0.55)
        place = distance * np.array([math.cos(bearing), math.sin(bearing)])
        if len(things) < 5:
            way = rng.uniform(0, 2 * math.pi)
            velocity = rng.choice([0, 1]) * rng.uniform(0.4, 1.6) * np.array(
                [math.cos(way), math.sin(way)])
            tall = rng.uniform(1.5, 1.95)
            thing = Thing(PERSON, place - velocity * FRAMES / FPS / 2, velocity,
                          (0.5, 0.5, tall), people[rng.integers(len(people))])
        else:
            thing = Thing(BOX, place, np.zeros(2), tuple(rng.uniform(0.25, 1.0, 3)),
                          turn=rng.uniform(0, math.pi))
        times = np.arange(0, FRAMES / FPS, 0.2)[:, None]
        if all(np.linalg.norm(thing.at(times) - t.at(times), axis=1).min() > APART
               for t in things):
            things.append(thing)
    driving = rng.choice([0, 1])
    return Scene(camera, pose, told, things, driving * rng.uniform(0.2, 0.6),
                 driving * rng.uniform(-0.3, 0.3))


def tremble(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels as a small network gives them: squeezed, with outlines that tremble."""
    shift = rng.normal(0, 1, (2, HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    shift = [cv2.GaussianBlur(cv2.resize(s, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC),
                              (0, 0), 3) for s in shift]
    shift = [s / s.std() for s in shift]
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    moved = cv2.remap(labels, x + shift[0], y + shift[1], cv2.INTER_NEAREST,
                      borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(moved, (GRID, GRID), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


def draw(scene: Scene, t: float, rng: np.random.Generator | None
         ) -> tuple[Instances, np.ndarray, np.ndarray]:
    """Return instances, the thing of each, and the share of its foot that is seen."""
    ground, view = scene.ground(t), FloorView(scene.camera, scene.pose)
    eye = ground.at(scene.pose.translation)[:2]
    order = sorted(range(len(scene.things)),
                   key=lambda i: -np.linalg.norm(scene.things[i].at(t) - eye))
    image = np.zeros((HEIGHT, WIDTH), np.uint16)
    feet, ahead = {}, 400  # room around, so that what is outside of the frame counts too
    for i in order:
        local = ground.inverse().at(np.array([*scene.things[i].at(t), 0.0]))
        if local[0] < 0.3:
            continue
        outline = scene.things[i].seen(t, view, ground)
        if not np.isfinite(outline).all() or np.abs(outline).max() > 5000:
            continue
        cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], i + 1, shift=4)
        whole = np.zeros((HEIGHT + 2 * ahead, WIDTH + 2 * ahead), np.uint8)
        cv2.fillPoly(whole, [np.round((outline + ahead) * 16).astype(np.int32)], 1, shift=4)
        rows, _ = whole.nonzero()
        if len(rows):
            low = rows.max() - max(3, 0.04 * np.ptp(rows))
            whole[:int(low)] = 0
            feet[i] = whole
    shares = {}
    for i, whole in feet.items():
        inside = whole[ahead:-ahead, ahead:-ahead] > 0
        shares[i] = np.count_nonzero(inside & (image == i + 1)) / max(np.count_nonzero(whole), 1)
    if rng is not None:
        image = tremble(image, rng)
    ids, areas = np.unique(image[image > 0], return_counts=True)
    ids = ids[areas >= SMALLEST]
    table = np.zeros(len(scene.things) + 1, np.uint16)
    table[ids] = np.arange(1, len(ids) + 1)
    return (instances_of(table[image], [scene.things[i - 1].kind for i in ids]),
            ids.astype(np.int64) - 1, np.array([shares[i - 1] for i in ids]))


def instances_of(labels: np.ndarray, classes: list[int]) -> Instances:
    boxes = []
    for k in range(1, len(classes) + 1):
        rows, columns = (labels == k).nonzero()
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    n = len(classes)
    return Instances(labels, np.array(classes, np.uint8), np.bincount(
        labels.ravel(), minlength=n + 1)[1:].astype(np.int64), np.ones(n),
        np.array(boxes, np.int32).reshape(-1, 4), np.zeros((n, 5)))


@dataclass
class Results:
    """A row for each instance of each frame."""

    rows: list[dict] = field(default_factory=list)

    def column(self, name: str, where=None) -> np.ndarray:
        return np.array([r[name] for r in self.rows if where is None or where(r)], float)


def whole_mask(instances: Instances, view: FloorView) -> np.ndarray:
    """Return the median of each mask laid onto the floor as a whole."""
    middles = np.full((len(instances), 2), np.nan)
    for k in range(len(instances)):
        y, x = (instances.labels == k + 1).nonzero()
        points = view.to_floor(np.column_stack([x, y]))
        points = points[np.isfinite(points[:, 0])]
        if len(points):
            middles[k] = np.median(points, axis=0)
    return middles


def box_bottom(instances: Instances, view: FloorView) -> np.ndarray:
    """Return the floor point of the middle of the lower side of each upright box."""
    x0, _, x1, y1 = instances.boxes.T
    return view.to_floor(np.column_stack([(x0 + x1 - 1) / 2, y1 - 0.5]))


def run(scene: Scene, seed: int, results: Results, trembling: bool) -> None:
    rng = np.random.default_rng(seed + 10**6)
    tracker = GroundTracker(GroundSettings())
    born: dict[int, float] = {}
    for frame in range(FRAMES):
        t = frame / FPS
        instances, things, shares = draw(scene, t, rng if trembling else None)
        ground, told = scene.ground(t), FloorView(scene.camera, scene.told)
        found = tracker.update(instances, things + 1, int(t * 1e9), scene.camera, scene.told,
                               ground)
        others = {'whole': whole_mask(instances, told), 'bottom': box_bottom(instances, told)}
        back = ground.inverse()
        for k, i in enumerate(things.tolist()):
            truth = back.at(np.array([*scene.things[i].at(t), 0.0]))[:2]
            velocity = back.rotation[:2, :2] @ scene.things[i].velocity
            distance = float(np.linalg.norm(truth - scene.pose.translation[:2]))
            born.setdefault(i, t)
            row = {'kind': scene.things[i].kind, 'distance': distance, 'seen': shares[k],
                   'moving': scene.speed > 0,
                   'cut': found.measured.cut[k], 'hidden': found.measured.hidden[k],
                   'side': found.measured.side_cut[k], 'age': t - born[i],
                   'tilt': math.degrees(math.asin(-scene.pose.rotation[2, 2])),
                   'camera_height': scene.pose.translation[2]}
            error = found.positions[k] - truth
            row['error'] = np.linalg.norm(error)
            row['single'] = np.linalg.norm(found.measured.positions[k] - truth)
            away = truth / np.linalg.norm(truth)
            row['along'] = (found.measured.positions[k] - truth) @ away
            row['across'] = (found.measured.positions[k] - truth) @ [away[1], -away[0]]
            row['filtered_along'] = error @ away
            off = found.velocities[k] - velocity
            row['speed_error'] = np.linalg.norm(off)
            with np.errstate(invalid='ignore'):
                cov = found.covariances[k]
                row['stated'] = math.sqrt(max(np.trace(cov[:2, :2]), 0)) if np.isfinite(
                    cov[0, 0]) else np.nan
                row['d2'] = (error @ np.linalg.solve(cov[:2, :2], error)
                             if np.isfinite(cov[0, 0]) else np.nan)
                row['v2'] = (off @ np.linalg.solve(cov[2:, 2:], off)
                             if np.isfinite(cov[2, 2]) else np.nan)
            for name, points in others.items():
                row[name] = np.linalg.norm(points[k] - truth)
            row['height_error'] = found.measured.heights[k] - scene.things[i].size[2]
            results.rows.append(row)


def line(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return '      -      '
    return f'{np.median(values):6.2f} {np.percentile(values, 95):6.2f}'


def report(results: Results) -> None:
    def foot(r: dict) -> bool:
        return not r['cut'] and not r['hidden'] and not r['side'] and r['distance'] <= 15

    print('\nposition error in metres, foot seen: median and 95 % of instances in frames')
    print('| distance | n | filtered | one frame | box bottom | whole mask |')
    for low, high in BINS:
        def inside(r: dict, low: int = low, high: int = high) -> bool:
            return foot(r) and low <= r['distance'] < high
        print(f'| {low}-{high} m | {len(results.column("error", inside))} | '
              + ' | '.join(line(results.column(n, inside))
                           for n in ('error', 'single', 'bottom', 'whole')) + ' |')
    for name, where in (
            ('all, foot seen', foot),
            ('people', lambda r: foot(r) and r['kind'] == PERSON),
            ('boxes', lambda r: foot(r) and r['kind'] == BOX),
            ('camera stands', lambda r: foot(r) and not r['moving']),
            ('camera moves', lambda r: foot(r) and r['moving']),
            ('tilt < 20', lambda r: foot(r) and r['tilt'] < 20),
            ('tilt > 20', lambda r: foot(r) and r['tilt'] >= 20),
            ('foot hidden', lambda r: r['hidden']),
            ('foot cut off', lambda r: r['cut']),
            ('side cut off', lambda r: r['side'] and not r['cut'] and not r['hidden'])):
        print(f'| {name} | {len(results.column("error", where))} | '
              + ' | '.join(line(results.column(n, where))
                           for n in ('error', 'single', 'bottom', 'whole')) + ' |')
    print('\nsigned error of one frame, away from the camera and across (median): '
          + ', '.join(f'{name} {np.nanmedian(results.column("along", w)):.3f} '
                      f'{np.nanmedian(results.column("across", w)):.3f}'
                      for name, w in (('people', lambda r: foot(r) and r['kind'] == PERSON),
                                      ('boxes', lambda r: foot(r) and r['kind'] == BOX))))
    print('height error of people, foot and top seen: '
          + line(np.abs(results.column('height_error', lambda r: foot(r)
                                       and r['kind'] == PERSON))))
    print('\nvelocity error in m/s, tracks older than 1 s, foot seen: median and 95 %')
    for low, high in BINS:
        def old(r: dict, low: int = low, high: int = high) -> bool:
            return foot(r) and r['age'] > 1 and low <= r['distance'] < high
        print(f'| {low}-{high} m | {line(results.column("speed_error", old))} |')
    print('\ncoverage of the stated covariance, at 0.68 and 0.95')
    for name, key, where in (
            ('position, foot seen', 'd2', foot),
            ('position, hidden', 'd2', lambda r: r['hidden']),
            ('position, cut off', 'd2', lambda r: r['cut']),
            ('position, side cut', 'd2', lambda r: r['side'] and not r['cut']),
            ('people', 'd2', lambda r: foot(r) and r['kind'] == PERSON),
            ('boxes', 'd2', lambda r: foot(r) and r['kind'] == BOX),
            *((f'{a}-{b} m', 'd2', lambda r, a=a, b=b: foot(r) and a <= r['distance'] < b)
              for a, b in BINS),
            ('velocity', 'v2', lambda r: foot(r) and r['age'] > 1)):
        d2 = results.column(key, where)
        d2 = d2[np.isfinite(d2)]
        if len(d2):
            print(f'| {name} | {len(d2)} | '
                  + ' | '.join(f'{np.mean(d2 <= v):.2f}' for v in CHI2.values()) + ' |')
    seen, marked = results.column('seen'), results.column('cut') + results.column('hidden') > 0
    print(f'\nfoot less than a quarter visible: {np.mean(marked[seen < 0.25]):.2f} marked; more '
          f'than three quarters: {np.mean(marked[seen > 0.75]):.2f} marked')


def cost() -> None:
    """Print the time for a frame with 20 objects."""
    people = silhouettes()
    scene = make_scene(4, people)
    scene.pose = scene.told = Pose.of_camera(1.2, math.radians(15))
    rng = np.random.default_rng(1)
    scene.things = []
    for i in range(20):
        distance, bearing = rng.uniform(3, 12), (i - 9.5) / 20
        scene.things.append(Thing(
            PERSON, distance * np.array([math.cos(bearing), math.sin(bearing)]), np.zeros(2),
            (0.5, 0.5, 1.7), people[rng.integers(len(people))]))
    instances, things, _ = draw(scene, 0.0, None)
    tracker = GroundTracker(GroundSettings())
    times = []
    for frame in range(300):
        started = time.perf_counter(), time.thread_time()
        tracker.update(instances, things + 1, frame * 10**8, scene.camera, scene.told)
        times.append((time.perf_counter() - started[0], time.thread_time() - started[1]))
    elapsed, cpu = np.median(times[10:], axis=0) * 1e3
    print(f'\n{len(instances)} objects, {WIDTH}x{HEIGHT}: {elapsed:.2f} ms a frame, of which '
          f'{cpu:.2f} ms on the CPU (medians of {len(times) - 10})')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--scenes', type=int, default=100, help='scenes')
    parser.add_argument('--chosen-on', action='store_true', help='the other half')
    parser.add_argument('--exact', action='store_true', help='masks as drawn')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    people = silhouettes()
    print(f'{len(people)} silhouettes, {options.scenes} scenes of {FRAMES} frames')
    results = Results()
    for number in range(options.scenes):
        seed = 2 * number + (not options.chosen_on)
        run(make_scene(seed, people), seed, results, not options.exact)
    report(results)
    cost()


if __name__ == '__main__':
    main()
