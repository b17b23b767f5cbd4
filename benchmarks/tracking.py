"""
Ids of the tracker against those of others, on the same detections, and what memory is worth.

``python benchmarks/tracking.py [--quick] [--no-peers]``; needs ``motmetrics``. Peers live in
environments of their own in ``benchmarks/.venvs``; ``--install-peers`` makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
import csv
from dataclasses import dataclass
from pathlib import Path
import subprocess
import sys
import tempfile
import time
import venv
import warnings

import cv2
from instseg_ros.cameras.synthetic import SceneFrame, SyntheticScene
from instseg_ros.core import Instances, segment_instances, SegmentationSettings, Segmenter
from instseg_ros.core import Tracker, TrackingSettings
from instseg_ros.core.association import box_overlaps
from instseg_ros.core.segmentation.oriented_boxes import oriented_box
import motmetrics
import numpy as np
from scipy.optimize import linear_sum_assignment
from tracker_peers import PEERS

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / 'shared' / 'data'
REQUIREMENTS = {'modlib': 'modlib==1.5.0', 'trackers': 'trackers==2.6.1'}
TRUTH_PIXELS = 150  # a person of whom less is seen is not asked for
PERSON = 15
RATES = ((10, 0), (19, 0), (30, 0), (10, 0.3), (19, 0.3), (30, 0.3))  # fps, share missing


@dataclass
class Truth:
    """What is there in a frame: ids, and their distance (G, N) to detections, NaN when too far."""

    ids: np.ndarray
    distances: np.ndarray
    ignored: np.ndarray  # (N,) detections of something that is not asked for


@dataclass
class Sequence:
    """Detections and truth of one sequence; `stamps` in ns."""

    name: str
    fps: float
    size: tuple[int, int]
    stamps: list[int]
    detections: list[Instances]
    truth: list[Truth]


def scored(sequence: Sequence, ids: Iterable[np.ndarray]) -> motmetrics.MOTAccumulator:
    """Return the accumulated events of one run; ids <= 0 are not shown."""
    events = motmetrics.MOTAccumulator(auto_id=True)
    for truth, found in zip(sequence.truth, ids, strict=True):
        shown = (found > 0) & ~truth.ignored
        events.update(truth.ids, found[shown], truth.distances[:, shown])
    return events


def summary(name: str, accumulators: list) -> dict:
    host = motmetrics.metrics.create()
    metrics = ['idf1', 'mota', 'num_switches', 'num_fragmentations', 'num_objects']
    table = host.compute_many(accumulators, metrics=metrics, generate_overall=True,
                              names=[str(i) for i in range(len(accumulators))])
    return {'name': name, **table.loc['OVERALL'].to_dict()}


def follow(sequence: Sequence) -> list[np.ndarray]:
    tracker = Tracker(TrackingSettings())
    return [tracker.update(d, s) for d, s in zip(sequence.detections, sequence.stamps,
                                                 strict=True)]


def perfect(sequence: Sequence, show_rest: bool) -> list[np.ndarray]:
    """
    Return the ids of the truth: as good as any tracker can be on these detections.

    What matches nothing that is asked for has no id, which no tracker can know, or with
    `show_rest` one of its own in each frame.
    """
    found, strange = [], 10**9
    for truth, detections in zip(sequence.truth, sequence.detections, strict=True):
        ids = np.zeros(len(detections), np.int64)
        if show_rest:
            strange += len(ids)
            ids += strange + np.arange(len(ids))
        far = 1e6
        rows, columns = linear_sum_assignment(np.nan_to_num(truth.distances, nan=far))
        near = ~np.isnan(truth.distances[rows, columns])
        ids[columns[near]] = truth.ids[rows[near]] + 1  # 0 is no id
        found.append(ids)
    return found


def peer_ids(name: str, sequences: list[Sequence]) -> list[list[np.ndarray]] | None:
    """Run a peer in its own environment over all sequences; None when it is not there."""
    python = HERE / '.venvs' / PEERS[name][0] / 'bin' / 'python'
    if not python.exists():
        return None
    boxes = [d.boxes for s in sequences for d in s.detections]
    counts = [len(b) for b in boxes]
    starts = np.concatenate([[0], np.cumsum(counts)])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / 'in.npz', Path(folder) / 'out.npy'
        np.savez(source, boxes=np.concatenate(boxes), starts=starts,
                 classes=np.concatenate([d.class_ids for s in sequences for d in s.detections]),
                 sizes=[s.size for s in sequences], fps=[s.fps for s in sequences],
                 stamps=[t * 1e-9 for s in sequences for t in s.stamps],
                 frame_sequence=[i for i, s in enumerate(sequences) for _ in s.stamps])
        subprocess.run([python, HERE / 'tracker_peers.py', name, source, target], check=True)
        ids = iter(np.split(np.load(target), starts[1:-1]))
    # Their ids start at 0 or 1; here 0 is "no id".
    return [[np.where(f >= 0, f + 1, 0) for _, f in zip(s.stamps, ids, strict=False)]
            for s in sequences]


def mask_truth(ids: np.ndarray, labels: np.ndarray, found: Instances) -> Truth:
    """Compare visible masks by 1 - IoU."""
    count, n = len(ids), len(found)
    table = np.bincount(labels.ravel().astype(np.int64) * (n + 1) + found.labels.ravel(),
                        minlength=(count + 1) * (n + 1)).reshape(count + 1, n + 1)
    areas, common = table.sum(axis=1)[1:], table[1:, 1:].astype(float)
    iou = common / np.maximum(areas[:, None] + found.areas[None] - common, 1)
    asked = areas >= TRUTH_PIXELS
    best = iou.max(axis=0, initial=0)
    ignored = (iou[~asked].max(axis=0, initial=0) >= np.maximum(best, 0.3)) \
        | (found.areas < TRUTH_PIXELS)
    return Truth(ids[asked], np.where(iou >= 0.5, 1 - iou, np.nan)[asked], ignored)


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


def synthetic(fps: float, missing: float, seeds: Iterable[int], seconds: float,
              segment: str = 'truth') -> list[Sequence]:
    """Drawn streets; `segment` says where the instances come from."""
    sequences = []
    for seed in seeds:
        scene = SyntheticScene(640, 480, seed=seed, objects=6)
        dice = np.random.default_rng(seed)
        times = [i / fps for i in range(int(seconds * fps)) if dice.random() >= missing]
        sequence = Sequence(f'{seed}', fps, (640, 480), [round(t * 1e9) for t in times], [], [])
        segmenter = SEGMENTERS[segment]()
        for t, stamp in zip(times, sequence.stamps, strict=True):
            moment = scene.at(t)
            found = segmenter(moment, stamp)
            sequence.detections.append(found)
            sequence.truth.append(mask_truth(moment.track_ids, moment.labels, found))
        sequences.append(sequence)
    return sequences


def _true_instances() -> Callable:
    return lambda moment, stamp: described(moment.labels, moment.class_ids)


def _single_frames() -> Callable:
    settings = SegmentationSettings()
    return lambda moment, stamp: segment_instances(moment.mask, settings)


def _with_memory() -> Callable:
    segmenter = Segmenter(SegmentationSettings(memory=True))
    return lambda moment, stamp: segmenter.update(moment.mask, stamp)


SEGMENTERS = {'truth': _true_instances, 'single frames': _single_frames, 'memory': _with_memory}


class TouchingPairs:
    """
    Counts pairs of one class that touch, both at least half visible, and those published as two.

    Published as two: most of each lies in an instance of its own. A pair is `known` when both had
    been seen apart from others of their class in three frames; memory has nothing on the rest.
    """

    def __init__(self) -> None:
        self.all, self.known = np.zeros(2, int), np.zeros(2, int)   # touching, published as two
        self._seen_apart: dict[int, int] = {}

    def add(self, found: Instances, moment: SceneFrame, whole: dict[int, int]) -> None:
        """Count the pairs of one frame; `whole` is the scene's ``whole_areas``."""
        labels, ids = moment.labels, moment.track_ids.tolist()
        count, n = len(ids), len(found)
        table = np.bincount(labels.ravel().astype(np.int64) * (n + 1) + found.labels.ravel(),
                            minlength=(count + 1) * (n + 1)).reshape(count + 1, n + 1)
        areas = table.sum(axis=1)
        half_seen = [k for k in range(1, count + 1) if areas[k] >= 0.5 * whole[ids[k - 1]]]
        main = [int(row[1:].argmax()) if n and row[1:].max() > row.sum() / 2 else None
                for row in table]
        pairs: set[tuple[int, int]] = set()
        for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
            border = (a != b) & (a > 0) & (b > 0)
            pairs |= set(zip(np.minimum(a, b)[border].tolist(), np.maximum(a, b)[border].tolist(),
                             strict=True))
        pairs = {(a, b) for a, b in pairs if moment.class_ids[a - 1] == moment.class_ids[b - 1]}
        for a, b in pairs:
            if a in half_seen and b in half_seen:
                apart = main[a] is not None and main[b] is not None and main[a] != main[b]
                self.all += (1, apart)
                if min(self._seen_apart.get(ids[k - 1], 0) for k in (a, b)) >= 3:
                    self.known += (1, apart)
        together = {k for pair in pairs for k in pair}
        for k in half_seen:
            if k not in together:
                self._seen_apart[ids[k - 1]] = self._seen_apart.get(ids[k - 1], 0) + 1


def sav() -> list[Sequence]:
    """Return the real mask track."""
    path = SHARED / 'tracks' / 'sav_000001.npz'
    if not path.exists():
        return []
    frames = np.load(path)['instances']
    sequence = Sequence('sav', 6, frames.shape[:0:-1], [round(i * 1e9 / 6) for i in
                                                        range(len(frames))], [], [])
    for frame in frames:
        ids = np.unique(frame)[1:] if 0 in frame else np.unique(frame)
        dense = np.zeros(256, np.uint16)
        dense[ids] = np.arange(1, len(ids) + 1)
        labels = dense[frame]
        found = described(labels, np.full(len(ids), PERSON, np.uint8))
        sequence.detections.append(found)
        sequence.truth.append(mask_truth(ids.astype(np.int64), labels, found))
    return [sequence]


def mot15(name: str, source: str) -> list[Sequence]:
    """MOT15 boxes of the motmetrics wheel; `source` is whose boxes are detections."""
    folder = Path(motmetrics.__file__).parent / 'data' / name
    truth = np.loadtxt(folder / 'gt.txt', delimiter=',')
    boxes = np.loadtxt(folder / f'{source}.txt', delimiter=',')
    last = int(truth[:, 0].max())
    sequence = Sequence(name, 25, (640, 480), [round(i * 4e7) for i in range(last)], [], [])
    dice = np.random.default_rng(0)
    for frame in range(1, last + 1):
        rows = dice.permutation(boxes[boxes[:, 0] == frame])[:, 2:6].reshape(-1, 4)
        found = boxes_only(rows)
        real = truth[truth[:, 0] == frame]
        iou = box_overlaps(boxes_only(real[:, 2:6]).boxes, found.boxes)
        sequence.detections.append(found)
        sequence.truth.append(Truth(real[:, 1].astype(int),
                                    np.where(iou >= 0.5, 1 - iou, np.nan),
                                    np.zeros(len(rows), bool)))
    return [sequence]


def boxes_only(rows: np.ndarray) -> Instances:
    """Return instances without a label image from x, y, w, h."""
    x, y, w, h = rows.T
    upright = h > w
    oriented = np.stack([x + w / 2, y + h / 2, np.maximum(w, h), np.minimum(w, h),
                         np.where(upright, np.pi / 2, 0)], axis=1)
    return Instances(np.zeros((0, 0), np.uint16), np.full(len(rows), PERSON, np.uint8),
                     (w * h).astype(np.int64), np.ones(len(rows)),
                     np.stack([x, y, x + w, y + h], axis=1), oriented)


def street(segment: Callable | None = None) -> list[Sequence]:
    """Return the real street; a truth point matches an instance that it lies in, or nearly."""
    folder = SHARED / 'street'
    if not folder.exists():
        return []
    points = street_points(HERE.parent / 'test' / 'data' / 'street_tracks.csv')
    settings = SegmentationSettings()
    sequence = Sequence('street', 10, (640, 480), [round(i * 1e8) for i in range(160)], [], [])
    for i in range(160):
        mask = cv2.imread(str(folder / f'{i:04d}.png'), cv2.IMREAD_UNCHANGED)
        mask = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_NEAREST)
        found = segment(mask, sequence.stamps[i]) if segment else segment_instances(mask, settings)
        here = points[i]
        distances = np.full((len(here), len(found)), np.nan)
        for k in range(len(found)):
            outside = cv2.distanceTransform((found.labels != k + 1).view(np.uint8),
                                            cv2.DIST_L2, 3)
            centre = found.oriented_boxes[k, :2]
            for g, (_, x, y) in enumerate(here):
                if outside[min(479, int(y)), min(639, int(x))] <= 8:
                    distances[g, k] = np.hypot(*(centre - (x, y)))
        sequence.detections.append(found)
        sequence.truth.append(Truth(np.array([h[0] for h in here], int), distances,
                                    found.class_ids != PERSON))
    return [sequence]


def street_points(path: Path) -> list[list[tuple[int, float, float]]]:
    """Return (track, x, y) of everyone visible, for each of the 160 frames."""
    with path.open() as file:
        rows = [{k: int(v) for k, v in row.items()}
                for row in csv.DictReader(line for line in file if line[0] != '#')]
    frames: list[list[tuple[int, float, float]]] = [[] for _ in range(160)]
    for track in sorted({row['track'] for row in rows}):
        own = [row for row in rows if row['track'] == track]
        at = [row['frame'] for row in own]
        for frame in range(at[0], at[-1] + 1):
            if own[np.searchsorted(at, frame, 'right') - 1]['visible']:
                x, y = (float(np.interp(frame, at, [row[k] for row in own])) for k in 'xy')
                frames[frame].append((track, x, y))
    return frames


def compared(title: str, sequences: list[Sequence], peers: bool) -> None:
    """Print one table: this tracker and every peer on the same detections."""
    if not sequences:
        print(f'\n{title}: skipped, the data is not here')
        return
    print(f'\n{title}: {sum(len(s.stamps) for s in sequences)} frames')
    rows = [summary('instseg_ros', [scored(s, follow(s)) for s in sequences])]
    for name in PEERS if peers else ():
        ids = peer_ids(name, sequences)
        if ids is None:
            print(f'  {name}: skipped, no environment in benchmarks/.venvs (--install-peers)')
            continue
        rows.append(summary(name, [scored(s, i) for s, i in zip(sequences, ids, strict=True)]))
    for name, show_rest in (('perfect', False), ('perfect, all shown', True)):
        rows.append(summary(name, [scored(s, perfect(s, show_rest)) for s in sequences]))
    print(f'  {"":20} {"IDF1":>6} {"MOTA":>6} {"switches":>8} {"fragments":>9}')
    for row in rows:
        print(f'  {row["name"]:20} {row["idf1"]:6.3f} {row["mota"]:6.3f} '
              f'{row["num_switches"]:8.0f} {row["num_fragmentations"]:9.0f}')


def memory_worth(seeds: Iterable[int], seconds: float) -> None:
    """Print in how many frames two people who touch are published as two."""
    print('\nTwo objects that touch, each at least half visible, published as two')
    for fps, missing in RATES:
        print(f'  {fps} fps, {missing:.0%} of frames missing:', end=' ')
        for segment in ('single frames', 'memory'):
            totals = np.zeros((2, 2), int)
            for seed in seeds:
                scene, segmenter = SyntheticScene(640, 480, seed=seed), SEGMENTERS[segment]()
                dice, pairs = np.random.default_rng(seed), TouchingPairs()
                for i in range(int(seconds * fps)):
                    if dice.random() >= missing:
                        moment = scene.at(i / fps)
                        pairs.add(segmenter(moment, round(i * 1e9 / fps)), moment,
                                  scene.whole_areas(i / fps))
                totals += (pairs.all, pairs.known)
            (touch, apart), (known, known_apart) = totals.tolist()
            print(f'{segment} {apart / max(1, touch):.3f} of {touch}, '
                  f'{known_apart / max(1, known):.3f} of the {known} seen apart before', end='; ')
        print(flush=True)


def cost() -> None:
    """Print milliseconds per frame."""
    print('\nCost, 640x480, one run')
    for count in (10, 50, 300):
        frames = [described(*grid(count, i)) for i in range(60)]
        tracker, spent = Tracker(TrackingSettings()), []
        for i, frame in enumerate(frames):
            start = time.perf_counter()
            tracker.update(frame, round(i * 5e7))
            spent.append(time.perf_counter() - start)
        print(f'  {count:4d} instances: median {1e3 * np.median(spent):5.2f} ms, '
              f'p95 {1e3 * np.percentile(spent, 95):5.2f} ms')


def grid(count: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a label image of `count` swaying squares that never meet."""
    labels = np.zeros((480, 640), np.uint16)
    across = int(np.ceil(np.sqrt(count * 4 / 3)))
    pitch = 640 / across
    for k in range(count):
        x = int((k % across + 0.2 + 0.15 * np.sin(step / 4 + k)) * pitch)
        y = int((k // across + 0.2 + 0.15 * np.cos(step / 6 + k)) * pitch)
        labels[y:y + int(0.6 * pitch), x:x + int(0.6 * pitch)] = k + 1
    return labels, np.full(count, PERSON, np.uint8)


def install_peers() -> None:
    for name, requirement in REQUIREMENTS.items():
        folder = HERE / '.venvs' / name
        venv.create(folder, with_pip=True)
        subprocess.run([folder / 'bin' / 'pip', 'install', '-q', requirement], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='two short drawn scenes only')
    parser.add_argument('--no-peers', action='store_true')
    parser.add_argument('--install-peers', action='store_true')
    options = parser.parse_args()
    if options.install_peers:
        install_peers()
    warnings.simplefilter('ignore')
    peers = not options.no_peers
    seeds, seconds = (range(2), 10) if options.quick else (range(4), 12)
    for segment in SEGMENTERS:
        for fps, missing in RATES:
            compared(f'drawn street, {segment}, {fps} fps, {missing:.0%} of frames missing',
                     synthetic(fps, missing, seeds, seconds, segment), peers)
    memory_worth(seeds, seconds)
    compared('sav_000001, real masks', sav(), peers)
    for name in ('TUD-Campus', 'TUD-Stadtmitte'):
        for source in ('gt', 'test'):
            compared(f'{name}, boxes of {source}.txt', mot15(name, source), peers)
    compared('real street', street(), peers)
    remembering = Segmenter(SegmentationSettings(memory=True))
    compared('real street, memory', street(remembering.update), peers)
    cost()


if __name__ == '__main__':
    sys.exit(main())
