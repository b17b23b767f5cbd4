"""
Ids of the tracker against those of others, on the same detections.

``python benchmarks/tracking.py [--rows TEXT] [--choose]`` needs ``trackeval`` and ``motmetrics``
(for its data). Peers live in environments of their own in ``benchmarks/.venvs``;
``--install-peers`` makes them. Every scene has seeds to choose settings on (``--choose``) and
others, which are printed. Each row of these replaces its row in ``results/tracking.json``, so
that a long run may be made in parts; ``benchmarks/tables.py`` makes the table of the docs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
import subprocess
import sys
import tempfile
import time
import warnings

import cv2
from instseg_ros.core import Instances, SegmentationSettings, Segmenter
from instseg_ros.core import Tracker, TrackingSettings
import motmetrics
import numpy as np
from peer_environments import install, python_of
from scipy.optimize import linear_sum_assignment
from tables import write_part
from tracker_peers import PEERS
from trackeval.metrics import CLEAR, HOTA, Identity
import tracking_scenes as scenes
from tracking_scenes import described, Moment, PERSON

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / 'shared' / 'data'
PHOTOS = SHARED / 'masks' / 'coco_voc20'
REQUIREMENTS = {'modlib': 'modlib==1.5.0', 'trackers': 'trackers==2.6.1'}
REPORTED, CHOSEN_ON = range(20, 24), range(10, 14)   # seeds
TRUTH_PIXELS = 150   # an object of which less is seen is not asked for


@dataclass
class Truth:
    """What is there in a frame: ids, their similarity (G, N) to detections in [0, 1]."""

    ids: np.ndarray
    similarity: np.ndarray
    ignored: np.ndarray   # (N,) detections of something that is not asked for


@dataclass
class Sequence:
    """Detections and truth of one sequence; `stamps` in ns."""

    name: str
    fps: float
    size: tuple[int, int]
    stamps: list[int]
    detections: list[Instances]
    truth: list[Truth]


def scored(sequences: list[Sequence], runs: list[list[np.ndarray]]) -> dict[str, float]:
    """Return IDF1, HOTA, MOTA, id switches and fragmentations; ids <= 0 are not shown."""
    metrics = {'IDF1': Identity({'THRESHOLD': 0.5, 'PRINT_CONFIG': False}),
               'MOTA': CLEAR({'THRESHOLD': 0.5, 'PRINT_CONFIG': False}), 'HOTA': HOTA()}
    parts: dict[str, dict] = {name: {} for name in metrics}
    for sequence, ids in zip(sequences, runs, strict=True):
        data = _evaluated(sequence, ids)
        for name, metric in metrics.items():
            parts[name][str(len(parts[name]))] = metric.eval_sequence(data)
    total = {name: metrics[name].combine_sequences(parts[name]) for name in metrics}
    return {'IDF1': float(total['IDF1']['IDF1']), 'HOTA': float(total['HOTA']['HOTA'].mean()),
            'MOTA': float(total['MOTA']['MOTA']), 'switches': int(total['MOTA']['IDSW']),
            'fragmentations': int(total['MOTA']['Frag'])}


def _evaluated(sequence: Sequence, runs: list[np.ndarray]) -> dict:
    """Return a sequence as trackeval wants it, ids dense from 0."""
    shown = [(ids > 0) & ~truth.ignored for ids, truth in zip(runs, sequence.truth, strict=True)]
    found = [ids[s] for ids, s in zip(runs, shown, strict=True)]
    tracks, found_dense = np.unique(np.concatenate(found), return_inverse=True)
    real, real_dense = np.unique(np.concatenate([t.ids for t in sequence.truth]),
                                 return_inverse=True)
    return {
        'num_timesteps': len(runs), 'num_gt_ids': len(real), 'num_tracker_ids': len(tracks),
        'num_gt_dets': len(real_dense), 'num_tracker_dets': len(found_dense),
        'gt_ids': np.split(real_dense, np.cumsum([len(t.ids) for t in sequence.truth])[:-1]),
        'tracker_ids': np.split(found_dense, np.cumsum([len(f) for f in found])[:-1]),
        'similarity_scores': [t.similarity[:, s]
                              for t, s in zip(sequence.truth, shown, strict=True)]}


def follow(sequence: Sequence) -> list[np.ndarray]:
    """Return the ids of this package's tracker, with its defaults."""
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
        near = np.where(truth.similarity >= 0.5, truth.similarity, 0)
        rows, columns = linear_sum_assignment(near, maximize=True)
        made = near[rows, columns] > 0
        ids[columns[made]] = truth.ids[rows[made]] + 1   # 0 is no id
        found.append(ids)
    return found


def peer_ids(name: str, sequences: list[Sequence]) -> list[list[np.ndarray]] | None:
    """Run a peer in its own environment over all sequences; None when it is not there."""
    python = python_of(PEERS[name][0])
    if python is None:
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


def mask_truth(moment: Moment, found: Instances) -> Truth:
    """Compare visible masks by IoU."""
    table = common_pixels(moment, found)
    areas, common = table.sum(axis=1)[1:], table[1:, 1:].astype(float)
    iou = common / np.maximum(areas[:, None] + found.areas[None] - common, 1)
    asked = areas >= TRUTH_PIXELS
    best = iou.max(axis=0, initial=0)
    ignored = (iou[~asked].max(axis=0, initial=0) >= np.maximum(best, 0.3)) \
        | (found.areas < TRUTH_PIXELS)
    return Truth(moment.track_ids[asked], iou[asked], ignored)


def common_pixels(moment: Moment, found: Instances) -> np.ndarray:
    """Return the pixels, (G + 1, N + 1), that each true object shares with each instance."""
    count, n = len(moment.track_ids), len(found)
    pairs = moment.labels.ravel().astype(np.int64) * (n + 1) + found.labels.ravel()
    return np.bincount(pairs, minlength=(count + 1) * (n + 1)).reshape(count + 1, n + 1)


def segmenter(source: str, seed: int) -> Callable[[Moment], Instances]:
    """
    Return what makes the instances of a moment.

    The source is 'truth', 'splitter' (each frame alone) or 'memory', the last two with
    ', network' for masks with the errors of a network.
    """
    if source == 'truth':
        return lambda moment: described(moment.labels, moment.class_ids)
    errors = scenes.NetworkErrors(seed) if 'network' in source else None
    split = Segmenter(SegmentationSettings(memory='memory' in source))
    return lambda moment: split.update(errors.mask(moment) if errors else moment.mask,
                                       round(moment.t * 1e9))


def detected(moments: Callable[[int, float], Iterator[Moment]], fps: float, source: str,
             seeds: Iterable[int]) -> list[Sequence]:
    """Return the sequences of one kind of scene."""
    sequences = []
    for seed in seeds:
        sequence, segment = Sequence(f'{seed}', fps, (640, 480), [], [], []), segmenter(source,
                                                                                        seed)
        for moment in drawn(moments, seed, fps):
            found = segment(moment)
            sequence.stamps.append(round(moment.t * 1e9))
            sequence.detections.append(found)
            sequence.truth.append(mask_truth(moment, found))
        sequences.append(sequence)
    return sequences


@lru_cache(maxsize=len(REPORTED))
def drawn(moments: Callable[[int, float], Iterator[Moment]], seed: int, fps: float
          ) -> list[Moment]:
    """Return a scene, which takes longer to draw than to follow, for all sources in turn."""
    return list(moments(seed, fps))


def drive(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.moving_camera(seed, fps, PHOTOS)


def crowd(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.moving_camera(seed, fps, PHOTOS, crowd=True)


def gaps(moments: Callable) -> Callable:
    return lambda seed, fps: scenes.with_gaps(moments(seed, fps), seed)


def fast_cells(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.cells(seed, fps, step=0.5)


def some_missing(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.street(seed, fps, missing=0.3)


# Title, scene, frames per second, sources of the instances.
BOTH, ALL = ('truth', 'splitter'), ('truth', 'splitter', 'memory', 'splitter, network',
                                    'memory, network')
SCENES = (
    ('drawn street', scenes.street, 10, ALL),
    ('drawn street', scenes.street, 30, ALL),
    ('drawn street, 30 % of the frames missing', some_missing, 10, ALL[:3]),
    ('moving camera', drive, 10, ALL),
    ('moving camera', drive, 30, ALL),
    ('moving camera, gaps', gaps(drive), 10, BOTH),
    ('crowd', crowd, 10, ALL),
    ('crowd, gaps', gaps(crowd), 10, BOTH),
    ('cells', scenes.cells, 10, ALL[:3]),
    ('fast cells', fast_cells, 10, BOTH))


def rows(seeds: Iterable[int]) -> Iterator[tuple[str, Callable[[], list[Sequence]]]]:
    """Yield the title of each row and what makes its sequences."""
    for title, moments, fps, sources in SCENES:
        for source in sources:
            yield (f'{title}, {fps} fps, {source}',
                   lambda m=moments, f=fps, s=source: detected(m, f, s, seeds))
    yield 'sav_000001, 6 fps, truth', sav
    for name in ('TUD-Campus', 'TUD-Stadtmitte'):
        for source, whose in (('gt', 'the truth'), ('test', 'a tracker')):
            yield f'{name}, boxes of {whose}', lambda n=name, s=source: mot15(n, s)
    yield 'real street, 10 fps, splitter', street
    yield 'real street, 10 fps, memory', lambda: street(memory=True)


def sav() -> list[Sequence]:
    """Return the real mask track."""
    path = SHARED / 'tracks' / 'sav_000001.npz'
    if not path.exists():
        return []
    frames = np.load(path)['instances']
    sequence = Sequence('sav', 6, frames.shape[:0:-1], [], [], [])
    for i, frame in enumerate(frames):
        ids = np.unique(frame)[1:] if 0 in frame else np.unique(frame)
        dense = np.zeros(256, np.uint16)
        dense[ids] = np.arange(1, len(ids) + 1)
        moment = Moment(i / 6, dense[frame], np.full(len(ids), PERSON, np.uint8),
                        ids.astype(np.int64))
        found = described(moment.labels, moment.class_ids)
        sequence.stamps.append(round(moment.t * 1e9))
        sequence.detections.append(found)
        sequence.truth.append(mask_truth(moment, found))
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
        found = boxes_only(dice.permutation(boxes[boxes[:, 0] == frame])[:, 2:6].reshape(-1, 4))
        real = truth[truth[:, 0] == frame]
        low = np.maximum(real[:, None, 2:4], found.boxes[None, :, :2])
        high = np.minimum(real[:, None, 2:4] + real[:, None, 4:6], found.boxes[None, :, 2:])
        common = np.prod(np.clip(high - low, 0, None), axis=2)
        iou = common / (real[:, 4:5] * real[:, 5:6] + found.areas[None] - common)
        sequence.detections.append(found)
        sequence.truth.append(Truth(real[:, 1].astype(int), iou, np.zeros(len(found), bool)))
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


def street(memory: bool = False) -> list[Sequence]:
    """Return the real street; a truth point matches an instance that it lies in, or nearly."""
    folder = SHARED / 'street'
    if not folder.exists():
        return []
    points = street_points(HERE.parent / 'test' / 'data' / 'street_tracks.csv')
    split = Segmenter(SegmentationSettings(memory=memory))
    sequence = Sequence('street', 10, (640, 480), [round(i * 1e8) for i in range(160)], [], [])
    for i in range(160):
        mask = cv2.imread(str(folder / f'{i:04d}.png'), cv2.IMREAD_UNCHANGED)
        mask = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_NEAREST)
        found = split.update(mask, sequence.stamps[i])
        here = points[i]
        similarity = np.zeros((len(here), len(found)))
        for k in range(len(found)):
            outside = cv2.distanceTransform((found.labels != k + 1).view(np.uint8),
                                            cv2.DIST_L2, 3)
            centre = found.oriented_boxes[k, :2]
            for g, (_, x, y) in enumerate(here):
                if outside[min(479, int(y)), min(639, int(x))] <= 8:
                    away = np.hypot(*(centre - (x, y)))
                    similarity[g, k] = 0.5 + 0.5 / (1 + away / 100)
        sequence.detections.append(found)
        sequence.truth.append(Truth(np.array([h[0] for h in here], int), similarity,
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


def compared(title: str, sequences: list[Sequence], peers: Iterable[str]) -> dict[str, dict]:
    """Print and return one row: this tracker and every peer on the same detections."""
    runs = {'instseg_ros': [follow(s) for s in sequences]}
    for name in peers:
        ids = peer_ids(name, sequences)
        if ids is None:
            print(f'  {name}: skipped, no environment in benchmarks/.venvs (--install-peers)')
        else:
            runs[name] = ids
    for name, show_rest in (('perfect', False), ('perfect, all shown', True)):
        runs[name] = [perfect(s, show_rest) for s in sequences]
    print(f'\n{title}: {sum(len(s.stamps) for s in sequences)} frames', flush=True)
    print(f'  {"":20} {"IDF1":>6} {"HOTA":>6} {"MOTA":>6} {"switches":>8} {"fragments":>9}')
    result = {}
    for name, ids in runs.items():
        row = result[name] = scored(sequences, ids)
        print(f'  {name:20} {row["IDF1"]:6.3f} {row["HOTA"]:6.3f} {row["MOTA"]:6.3f} '
              f'{row["switches"]:8} {row["fragmentations"]:9}', flush=True)
    return result


def cost() -> dict[str, dict]:
    """Print and return milliseconds per frame of ``Tracker.update``."""
    print('\nCost, 640x480, one run')
    result = {}
    for count in (10, 50, 300):
        frames = [described(*grid(count, i)) for i in range(60)]
        tracker, spent = Tracker(TrackingSettings()), []
        for i, frame in enumerate(frames):
            start = time.perf_counter()
            tracker.update(frame, round(i * 5e7))
            spent.append(time.perf_counter() - start)
        median, p95 = 1e3 * np.median(spent), 1e3 * np.percentile(spent, 95)
        result[str(count)] = {'median ms': float(median), 'p95 ms': float(p95)}
        print(f'  {count:4d} instances: median {median:5.2f} ms, p95 {p95:5.2f} ms')
    return result


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', default='', help='only rows whose title contains this text')
    parser.add_argument('--choose', action='store_true', help='the seeds to choose settings on')
    parser.add_argument('--no-peers', action='store_true', help='writes no results')
    parser.add_argument('--install-peers', action='store_true')
    options = parser.parse_args()
    if options.install_peers:
        install(REQUIREMENTS)
    warnings.simplefilter('ignore')
    peers = () if options.no_peers else tuple(PEERS)
    written = not (options.choose or options.no_peers)
    for title, make in rows(CHOSEN_ON if options.choose else REPORTED):
        if options.rows not in title:
            continue
        sequences = make()
        if not sequences:
            print(f'\n{title}: skipped, the data is not here')
            continue
        row = compared(title, sequences, peers)
        if written:
            write_part('tracking', 'rows', {title: row}, [name for name, _ in rows(REPORTED)])
    if options.rows in 'cost' and written:
        spent = cost()
        write_part('tracking', 'cost', spent, spent)


if __name__ == '__main__':
    sys.exit(main())
