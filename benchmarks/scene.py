"""
Events in zones, at lines and between objects against the truth of drawn streets, and their cost.

``python benchmarks/scene.py [--quick] [--no-peers] [--tuning]``; peers live in environments of
their own in ``benchmarks/.venvs``; ``--install-peers`` makes them. A whole run with all peers
writes ``benchmarks/results/scene.json``; ``benchmarks/tables.py`` makes the table of the docs.

The truth knows the whole figures, where the camera sees parts of them: a foot is where the figure
stands, two overlap where their whole shapes do. Every row of a table is of the same tracks. The
settings were chosen on the streets of ``--tuning``; the others are reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import cv2
from instseg_ros.cameras import synthetic
from instseg_ros.cameras.synthetic import CAR, PERSON, SyntheticScene
from instseg_ros.core import Instances, Tracker, TrackingSettings
from instseg_ros.core import segment_instances, SegmentationSettings
from instseg_ros.core.scene import Scene, SceneSettings
import numpy as np
from peer_environments import install, python_of
from scene_peers import PEERS
from scipy.optimize import linear_sum_assignment
from tracking_scenes import described

HERE = Path(__file__).resolve().parent
REQUIREMENTS = {'modlib': 'modlib==1.5.0', 'supervision': 'supervision==0.31.2'}
SIZE, FPS = (640, 480), 15
VISIBLE = 150       # px: of whom less is seen is not asked for
TOGETHER_S = 0.5    # what is shorter is no stay and no absence
CLEAR = 5.0         # px from a line, or from a zone, at which it is crossed or left
NEAR_S = 1.5        # how far an event may be from that of the truth
BICYCLE, HELMET = 2, 30
NAMES = {BICYCLE: 'bicycle', CAR: 'car', PERSON: 'person', HELMET: 'helmet'}

ZONES = {'door': (0.36, 0.70, 0.62, 0.70, 0.66, 1.0, 0.32, 1.0),
         'left': (0.03, 0.66, 0.22, 0.66, 0.30, 1.0, 0.03, 1.0),
         'kiosk': (0.55, 0.72, 0.92, 0.72, 0.92, 1.0, 0.55, 1.0)}
LINES = {'middle': (0.5, 0.6, 0.5, 1.0), 'slanted': (0.20, 1.0, 0.36, 0.6),
         'right': (0.84, 0.62, 0.80, 0.99)}
RELATIONS = {'meets a car': {'with': ['car'], 'hysteresis_s': 0.1},
             'rides': {'with': ['bicycle'], 'relation_share': 0.15, 'hysteresis_s': 0.2},
             'without helmet': {'without': ['helmet'], 'hysteresis_s': 0.2}}
OURS, SHORT = 'instseg_ros', ', short ones left out'
TOPIC = {name: name.replace(' ', '_') for name in (*ZONES, *LINES, *RELATIONS)}


class Street(SyntheticScene):
    """A drawn street where some people ride bicycles, and some wear helmets."""

    def _actors(self, t_s):
        figures = []
        for figure in super()._actors(t_s):
            if figure.class_id != PERSON:
                figures.append(figure)
                continue
            dice = np.random.default_rng(figure.track_id).random(3)
            points = np.concatenate([p for p, _ in figure.parts])
            head, _ = figure.parts[-2]
            size, x = np.ptp(points[:, 1]), head[:, 0].mean()
            if dice[0] < 0.4:  # rides: the bicycle is around the legs, behind them
                figures.append(_bicycle(figure, x, size, figure.depth - 1e-3, 0))
            elif dice[1] < 0.4:  # a bicycle stands at the kerb behind somebody's way
                figures.append(_bicycle(figure, self._width * (0.2 + 0.6 * dice[2]), 0.8 * size,
                                        0.735 * self._height, 1))
            figures.append(figure)
            if dice[2] < 0.5:
                top = head[:, 1].min()
                cap = synthetic._CIRCLE * (0.085 * size, 0.06 * size) + (x, top + 0.035 * size)
                figures.append(synthetic._Figure(
                    HELMET, figure.track_id + 5 * 10**8, figure.depth + 1e-3,
                    [(cap, (30, 200, 230))]))
        return figures


def _bicycle(owner, x, size, foot, parked):
    y = owner.depth if not parked else foot
    wheel, steel = synthetic._CIRCLE * 0.15, (90, 60, 40)
    parts = [(wheel + (-0.22, -0.15), (40, 40, 40)), (wheel + (0.22, -0.15), (40, 40, 40)),
             (np.array([(-0.24, -0.18), (-0.04, -0.46), (0.02, -0.46), (-0.16, -0.14)]), steel),
             (np.array([(-0.05, -0.44), (0.20, -0.46), (0.22, -0.40), (-0.03, -0.36)]), steel),
             (np.array([(0.17, -0.54), (0.23, -0.54), (0.26, -0.14), (0.20, -0.14)]), steel)]
    return synthetic._placed(BICYCLE, owner.track_id + (2 + parked) * 10**8, foot, parts, x, y,
                             size, 0.0)


@dataclass
class Frame:
    """What a tracker is shown, and the truth about it."""

    stamp_ns: int
    labels: np.ndarray
    class_ids: np.ndarray
    objects: np.ndarray               # which object each label is
    mask: np.ndarray
    feet: dict[int, tuple[float, float]]
    relations: dict[str, set[int]]    # the persons who have each


def street(seed: int, seconds: float, moving: bool) -> list[Frame]:
    """Draw a street; a moving camera looks at a part of a wider one, pans and shakes."""
    width, height = SIZE
    margin = 160 if moving else 0
    scene = Street(width + 2 * margin, height, seed=seed, objects=7)
    frames = []
    for i in range(int(seconds * FPS)):
        t = i / FPS
        x = margin + round(margin * 0.8 * np.sin(t / 2 + seed)
                           + 3 * np.sin(17 * t)) if moving else 0
        moment = scene.at(t)
        labels = moment.labels[:, x:x + width]
        seen = np.unique(labels)
        seen = seen[seen > 0]
        dense = np.zeros(len(moment.class_ids) + 1, np.uint16)
        dense[seen] = np.arange(1, len(seen) + 1)
        frames.append(Frame(round(i * 1e9 / FPS), np.ascontiguousarray(dense[labels]),
                            moment.class_ids[seen - 1], moment.track_ids[seen - 1],
                            np.ascontiguousarray(moment.mask[:, x:x + width]),
                            *_truth(scene, t, x)))
    return frames


def _truth(scene: Street, t: float, shift: int) -> tuple[dict, dict]:
    """Return where everybody stands, and who has which relation, whatever hides them."""
    feet, shapes, relations = {}, {}, {name: set() for name in RELATIONS}
    figures = scene._actors(t)
    for figure in figures:
        points = np.concatenate([p for p, _ in figure.parts])
        if figure.class_id == PERSON:
            x = figure.parts[-2][0][:, 0].mean()
        else:
            x = (points[:, 0].min() + points[:, 0].max()) / 2
        if figure.class_id in (PERSON, CAR):
            feet[figure.track_id] = (x - shift, figure.depth)
            shapes[figure.track_id] = figure
    ids = {f.track_id for f in figures}
    cars = [_drawn(f, scene) for f in shapes.values() if f.class_id == CAR]
    for number, figure in shapes.items():
        if figure.class_id == PERSON:
            own = _drawn(figure, scene)
            if any((own & car).any() for car in cars):
                relations['meets a car'].add(number)
            if number + 2 * 10**8 in ids:
                relations['rides'].add(number)
            if number + 5 * 10**8 not in ids:
                relations['without helmet'].add(number)
    return feet, relations


def _drawn(figure, scene: Street) -> np.ndarray:
    mask = np.zeros((scene._height, scene._width), np.uint8)
    for points, _ in figure.parts:
        cv2.fillConvexPoly(mask, np.rint(points * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    return mask


@dataclass
class Tracks:
    """The tracks of one street: what each row in the tables is made of."""

    frames: list[Frame]
    instances: list[Instances]
    ids: list[np.ndarray]
    objects: list[np.ndarray] = field(default_factory=list)  # which each instance really is


def tracks(frames: list[Frame], kind: str) -> Tracks:
    """Return the tracks of a street, with true ids or with the tracker's."""
    tracker = Tracker(TrackingSettings())
    found = Tracks(frames, [], [])
    numbers: dict[int, int] = {}
    for frame in frames:
        if kind == "splitter's instances, tracker's ids":
            instances = segment_instances(frame.mask, SegmentationSettings())
        else:
            instances = described(frame.labels, frame.class_ids)
        objects = _objects(frame, instances)
        if kind == 'true ids':
            ids = np.array([numbers.setdefault(o, len(numbers) + 1) for o in objects.tolist()],
                           np.int64)
        else:
            ids = tracker.update(instances, frame.stamp_ns)
        found.instances.append(instances)
        found.ids.append(ids)
        found.objects.append(objects)
    return found


def _objects(frame: Frame, found: Instances) -> np.ndarray:
    """Return which object most of each instance is; -1 for none."""
    columns = len(frame.objects) + 1
    table = np.bincount(found.labels.ravel().astype(np.int64) * columns + frame.labels.ravel(),
                        minlength=(len(found) + 1) * columns).reshape(-1, columns)[1:, 1:]
    if not table.size:
        return np.full(len(found), -1, np.int64)
    return np.where(table.max(axis=1) > 0, frame.objects[table.argmax(axis=1)], -1)


# An event is (seconds, kind, object); each is noted under the name of its zone or line.
Events = dict[str, list[tuple[float, str, int]]]


def stays(inside: dict[int, np.ndarray]) -> list[tuple[float, str, int]]:
    """Return entries and exits from who is inside in each frame; short gaps and stays are none."""
    events = []
    short = round(TOGETHER_S * FPS)
    for who, flags in inside.items():
        edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
        spans = [list(s) for s in edges.reshape(-1, 2)]
        joined = []
        for span in spans:
            if joined and span[0] - joined[-1][1] < short:
                joined[-1][1] = span[1]
            else:
                joined.append(span)
        for first, last in joined:
            if last - first >= short:
                events += [(first / FPS, 'entered', who)]
                events += [(last / FPS, 'left', who)] if last < len(flags) else []
    return events


def truth_of(frames: list[Frame]) -> tuple[Events, Events]:
    """Return the true entries and exits by zone, and the true crossings by line."""
    seen: dict[int, np.ndarray] = {}
    for i, frame in enumerate(frames):
        areas = np.bincount(frame.labels.ravel())[1:]
        for who, area in zip(frame.objects.tolist(), areas.tolist(), strict=True):
            if area >= VISIBLE:
                seen.setdefault(who, np.zeros(len(frames), bool))[i] = True
    everybody = {who for frame in frames for who in frame.feet}
    classes = {who: int(c) for f in frames
               for who, c in zip(f.objects.tolist(), f.class_ids.tolist(), strict=True)}
    zones: Events = {}
    for name, corners in ZONES.items():
        polygon = (np.array(corners).reshape(-1, 2) * SIZE).astype(np.float32)
        inside = {}
        for who in everybody:
            if classes.get(who) != PERSON:
                continue
            flags = _inside([cv2.pointPolygonTest(polygon, f.feet[who], True)
                             if who in f.feet else -np.inf for f in frames])
            if (flags & seen.get(who, False)).any():
                inside[who] = flags
        zones[name] = stays(inside)
    crossings: Events = {}
    for name, points in LINES.items():
        line = np.array(points).reshape(2, 2) * SIZE
        crossings[name] = []
        for who in everybody & set(seen):
            path = [(i, f.feet[who]) for i, f in enumerate(frames) if who in f.feet]
            crossings[name] += [(i / FPS, kind, who) for i, kind in _crossed(line, path)
                                # Seen before and after: nobody can know of the others.
                                if seen[who][:i].any() and seen[who][i:].any()]
    return zones, crossings


def _inside(depths: list[float]) -> np.ndarray:
    """Return in which frames somebody is inside; who is on the edge stays where he was."""
    flags, inside = [], False
    for depth in depths:
        inside = depth >= (-CLEAR if inside else 0)
        flags.append(inside)
    return np.array(flags)


def _crossed(line: np.ndarray, path: list) -> list[tuple[int, str]]:
    """Return the first crossing in each direction; who is on the line has not crossed it yet."""
    found: dict[str, int] = {}
    way = (line[1] - line[0]) / np.hypot(*(line[1] - line[0]))
    side, passed = 0, False
    for (_, before), (i, place) in zip(path, path[1:], strict=False):
        was, now = np.array(before) - line[0], np.array(place) - line[0]
        across = way[0] * now[1] - way[1] * now[0]
        came_from = way[0] * was[1] - way[1] * was[0]
        side = side or int(np.sign(came_from))
        if (came_from > 0) != (across > 0):
            # Between the ends of the line, or beyond them?
            passed = bool(0 <= now @ way <= np.hypot(*(line[1] - line[0])))
        if abs(across) >= CLEAR:
            if side * across < 0 and passed:
                found.setdefault('forward' if across > 0 else 'backward', i)
            side, passed = int(np.sign(across)), False
    return [(i, kind) for kind, i in found.items()]


def settings() -> SceneSettings:
    """Return the selections of all tables."""
    own: dict = {}
    for name, zone in ZONES.items():
        own[TOPIC[name]] = {'classes': ['person'], 'zone': zone, 'stay_s': TOGETHER_S}
    for name, line in LINES.items():
        own[TOPIC[name]] = {'classes': ['person', 'car'], 'line': line}
    for name, relation in RELATIONS.items():
        own[TOPIC[name]] = {'classes': ['person'], **relation}
    return SceneSettings(selections=tuple(own)).changed(**{
        f'{name}.{key}': value for name, of in own.items() for key, value in of.items()})


def ours(found: Tracks) -> tuple[Events, dict[str, list[set[int]]]]:
    """Return our events, and who has each relation in each frame, by object."""
    scene = Scene(settings(), NAMES)
    events: Events = {TOPIC[n]: [] for n in (*ZONES, *LINES)}
    related: dict[str, list[set[int]]] = {n: [] for n in RELATIONS}
    last: dict[int, int] = {}
    for frame, instances, ids, objects in zip(found.frames, found.instances, found.ids,
                                              found.objects, strict=True):
        last.update(zip(ids.tolist(), objects.tolist(), strict=True))
        selected, happened = scene.update(instances, ids, frame.stamp_ns)
        for event in happened:
            if event.selection in events:
                events[event.selection].append(
                    (frame.stamp_ns / 1e9, event.kind, last[event.track_id]))
        for name, frames in related.items():
            frames.append(set(objects[selected[TOPIC[name]].rows].tolist()))
    return {n: events[TOPIC[n]] for n in (*ZONES, *LINES)}, related


def peer(name: str, found: Tracks) -> np.ndarray | None:
    """Return what a peer says of every row of every frame; None when it is not there."""
    python = python_of(PEERS[name][0])
    if python is None:
        return None
    counts = [len(i) for i in found.ids]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / 'in.npz', Path(folder) / 'out.npy'
        np.savez(source, boxes=np.concatenate([i.boxes for i in found.instances]).astype(float),
                 classes=np.concatenate([i.class_ids for i in found.instances]).astype(int),
                 ids=np.concatenate([np.where(i > 0, i, -1) for i in found.ids]),
                 starts=np.concatenate([[0], np.cumsum(counts)]), size=SIZE,
                 zones=[np.array(z).reshape(-1, 2) * SIZE for z in ZONES.values()],
                 lines=[np.array(z).reshape(-1, 2) * SIZE for z in LINES.values()],
                 relations=[(PERSON, CAR, 0), (PERSON, BICYCLE, 0), (PERSON, HELMET, 1)])
        subprocess.run([python, HERE / 'scene_peers.py', name, source, target], check=True)
        return np.load(target)


def peer_stays(said: np.ndarray, found: Tracks, joined: bool) -> Events:
    """Return entries and exits from who is in each zone; ``joined`` leaves out what is short."""
    events: Events = {}
    for column, name in enumerate(ZONES):
        inside: dict[int, np.ndarray] = {}
        last: dict[int, int] = {}
        row = 0
        for i, (instances, ids, objects) in enumerate(zip(
                found.instances, found.ids, found.objects, strict=True)):
            for k, (track, who) in enumerate(zip(ids.tolist(), objects.tolist(), strict=True)):
                if track > 0 and instances.class_ids[k] == PERSON:
                    last[track] = who
                    if said[row + k, column]:
                        inside.setdefault(track, np.zeros(len(found.frames), bool))[i] = True
            row += len(ids)
        if joined:
            spans = stays(inside)
        else:
            spans = []
            for track, flags in inside.items():
                edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
                spans += [(at / FPS, kind, track) for at, kind in zip(
                    edges.tolist(), ['entered', 'left'] * len(edges), strict=False)
                    if at < len(flags)]
        events[name] = [(t, kind, last[track]) for t, kind, track in spans]
    return events


def peer_crossings(said: np.ndarray, found: Tracks) -> Events:
    events: Events = {name: [] for name in LINES}
    row = 0
    for frame, instances, objects in zip(found.frames, found.instances, found.objects,
                                         strict=True):
        for k, who in enumerate(objects.tolist()):
            for column, name in enumerate(LINES):
                if said[row + k, column] and instances.class_ids[k] in (PERSON, CAR):
                    events[name].append((
                        frame.stamp_ns / 1e9,
                        'forward' if said[row + k, column] > 0 else 'backward', who))
        row += len(objects)
    return events


def peer_related(said: np.ndarray, found: Tracks) -> dict[str, list[set[int]]]:
    related: dict[str, list[set[int]]] = {name: [] for name in RELATIONS}
    row = 0
    for instances, objects in zip(found.instances, found.objects, strict=True):
        rows = slice(row, row + len(objects))
        for column, name in enumerate(RELATIONS):
            chosen = (said[rows, column] > 0) & (instances.class_ids == PERSON)
            related[name].append(set(objects[chosen].tolist()))
        row += len(objects)
    return related


@dataclass
class Score:
    """True, found and matched."""

    true: int = 0
    found: int = 0
    right: int = 0

    def add(self, true: int, found: int, right: int) -> None:
        self.true, self.found, self.right = (
            self.true + true, self.found + found, self.right + right)

    def __str__(self) -> str:
        return (f'{self.right / max(1, self.found):.3f} {self.right / max(1, self.true):.3f} '
                f'{self.found:5d}')


def match_events(true: list, found: list, kind: str, score: Score) -> None:
    """Match events of a kind by object and time."""
    wanted = [(t, who) for t, k, who in true if k == kind]
    got = [(t, who) for t, k, who in found if k == kind]
    cost = np.array([[abs(a - b) if x == y and abs(a - b) <= NEAR_S else 1e6 for b, y in got]
                     for a, x in wanted]).reshape(len(wanted), len(got))
    rows, columns = linear_sum_assignment(cost)
    score.add(len(wanted), len(got), int((cost[rows, columns] < 1e6).sum()))


def scored(name: str, table: dict, kinds: Iterable[str], places: Iterable[str], true: Events,
           found: Events) -> None:
    for kind in kinds:
        for place in places:
            match_events(true[place], found[place], kind,
                         table.setdefault(kind, {}).setdefault(name, Score()))


def related_scored(name: str, table: dict, found: Tracks, said: dict[str, list[set[int]]]) -> None:
    """Count persons in frames, as far as they are seen."""
    for relation, frames in said.items():
        score = table.setdefault(relation, {}).setdefault(name, Score())
        for frame, who in zip(found.frames, frames, strict=True):
            areas = np.bincount(frame.labels.ravel())[1:]
            asked = set(frame.objects[(areas >= VISIBLE) & (frame.class_ids == PERSON)].tolist())
            true = frame.relations[relation] & asked
            score.add(len(true), len(who & asked), len(who & true))


def quality(seeds: Iterable[int], seconds: float, peers: bool) -> list[dict]:
    """Print every row, and return them."""
    rows = []
    for moving in (False, True):
        streets = [street(seed, seconds, moving) for seed in seeds]
        truths = [truth_of(frames) for frames in streets]
        for kind in ('true ids', "true instances, tracker's ids",
                     "splitter's instances, tracker's ids"):
            table: dict[str, dict[str, Score]] = {}
            for frames, (zones, crossings) in zip(streets, truths, strict=True):
                found = tracks(frames, kind)
                events, related = ours(found)
                scored(OURS, table, ('entered', 'left'), ZONES, zones, events)
                scored(OURS, table, ('forward', 'backward'), LINES, crossings, events)
                related_scored(OURS, table, found, related)
                for name in PEERS if peers else ():
                    said = peer(name, found)
                    if said is None:
                        continue
                    if 'PolygonZone' in name:
                        for joined, words in ((False, ''), (True, SHORT)):
                            scored(name + words, table, ('entered', 'left'), ZONES, zones,
                                   peer_stays(said, found, joined))
                    elif 'LineZone' in name:
                        scored(name, table, ('forward', 'backward'), LINES, crossings,
                               peer_crossings(said, found))
                    else:
                        related_scored(name, table, found, peer_related(said, found))
            camera = 'moving' if moving else 'standing'
            print(f'\n{camera} camera, {kind}: {sum(map(len, streets))} frames')
            print(f'  {"":16} {"":42} precision recall count of true')
            for what, scores in table.items():
                for name, score in scores.items():
                    print(f'  {what:16} {name:42} {score} of {score.true}', flush=True)
                    rows.append({'camera': camera, 'tracks': kind, 'what': what, 'by': name,
                                 **asdict(score)})
    return rows


def cost() -> list[dict]:
    """Print milliseconds per frame of 10 selections, and return them."""
    print('\nCost of 10 selections, 640x480')
    half = (0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0)
    own = {f'zone{k}': {'classes': ['person'], 'zone': tuple(
        np.clip(np.array(half) + 0.03 * k, 0, 1).tolist()), 'anchor': anchor}
        for k, anchor in enumerate(('foot', 'centre', 'mask', 'mask'))}
    own |= {f'line{k}': {'line': (0.3 + 0.2 * k, 0.0, 0.4, 1.0)} for k in range(3)}
    own |= {'touch': {'with': ['person']}, 'bag': {'with': ['person'], 'relation': 'contains'},
            'near': {'with': ['person'], 'relation': 'near', 'distance': 0.3}}
    of = SceneSettings(selections=tuple(own)).changed(**{
        f'{name}.{key}': value for name, one in own.items() for key, value in one.items()})
    rows = []
    for count in (10, 50, 200):
        frames = [described(*crowd(count, i)) for i in range(60)]
        scene, spent = Scene(of, NAMES), []
        for i in range(300):
            start = time.perf_counter()
            scene.update(frames[i % 60], np.arange(1, count + 1), round(i * 5e7))
            spent.append(time.perf_counter() - start)
        rows.append({'tracks': count, 'median_ms': 1e3 * float(np.median(spent)),
                     'p95_ms': 1e3 * float(np.percentile(spent, 95))})
        print('  {tracks:4d} tracks: median {median_ms:5.2f} ms, p95 {p95_ms:5.2f} ms'.format(
            **rows[-1]))
    return rows


def crowd(count: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a label image of `count` swaying persons, some of whom meet."""
    labels = np.zeros((480, 640), np.uint16)
    across = int(np.ceil(np.sqrt(count * 4 / 3)))
    pitch = 640 / across
    for k in range(count):
        x = int((k % across + 0.15 + 0.35 * np.sin(step / 4 + k)) * pitch)
        y = int((k // across + 0.15 + 0.2 * np.cos(step / 6 + k)) * pitch)
        labels[max(0, y):y + int(0.7 * pitch), max(0, x):x + int(0.5 * pitch)] = k + 1
    return labels, np.full(count, PERSON, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='two short streets only')
    parser.add_argument('--no-peers', action='store_true')
    parser.add_argument('--tuning', action='store_true', help='the streets that settings were '
                        'chosen on')
    parser.add_argument('--install-peers', action='store_true')
    options = parser.parse_args()
    if options.install_peers:
        install(REQUIREMENTS)
    spent = cost()
    first = 0 if options.tuning else 100
    seeds, seconds = (range(first, first + 2), 12) if options.quick else (
        range(first, first + 4), 30)
    rows = quality(seeds, seconds, not options.no_peers)
    peers = {row['by'].removesuffix(SHORT) for row in rows} - {OURS}
    if peers == set(PEERS) and not options.quick and not options.tuning:
        (HERE / 'results' / 'scene.json').write_text(
            json.dumps({'events': rows, 'cost': spent}, indent=1) + '\n')


if __name__ == '__main__':
    sys.exit(main())
