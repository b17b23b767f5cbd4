"""
How well class masks are split: panoptic quality beside other splitters, scores, oriented boxes.

``python benchmarks/quality.py [--only-ours]`` reads ``../shared/data/masks``. Panoptic quality is
the sum of the IoU of matches over (matches + half the false + half the missed), over all images
together; an instance matches a true one of its class with IoU > 0.5.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
import itertools
import math
from pathlib import Path
import sys

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.cameras.synthetic import SyntheticScene  # noqa: E402, I100
from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402

KINDS = ('coco_voc20', 'nuclei')
DRAWN = 'synthetic scene'  # which nothing is learned from


def load(kind: str) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield name, class mask, true instances and their classes of every image of a kind."""
    if kind == DRAWN:
        for seed, moment in itertools.product(range(12), np.arange(1, 12, 1.7)):
            scene = SyntheticScene(seed=seed).at(float(moment))
            yield str(seed), scene.mask, scene.labels.astype(np.int64), scene.class_ids
        return
    folder = ROOT.parent / 'shared' / 'data' / 'masks' / kind
    files = sorted(folder.glob('*.npz'))
    if not files:
        raise FileNotFoundError(f'{folder}: no masks')
    for file in files:
        data = np.load(file)
        yield (file.stem, data['semantic'], data['instances'].astype(np.int64),
               data['class_ids'])


def overlaps(labels: np.ndarray, class_ids: np.ndarray, true: np.ndarray,
             true_class_ids: np.ndarray) -> np.ndarray:
    """Return the IoU of every instance with every true one, 0 for other classes."""
    n, m = len(class_ids), len(true_class_ids)
    table = np.bincount(labels.ravel().astype(np.int64) * (m + 1) + true.ravel(),
                        minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    both = table[1:, 1:]
    either = table[1:].sum(1)[:, None] + table[:, 1:].sum(0) - both
    return both / np.maximum(either, 1) * (
        np.asarray(class_ids)[:, None] == np.asarray(true_class_ids))


def panoptic_quality(tables: Iterable[np.ndarray]) -> float:
    """Return the panoptic quality of the tables of :func:`overlaps` of many images."""
    total = matched = found = true = 0
    for iou in tables:
        hits = iou[iou > 0.5]
        total, matched = total + hits.sum(), matched + len(hits)
        found, true = found + iou.shape[0], true + iou.shape[1]
    return float(total / ((found + true) / 2)) if found + true else 0.0


def roc_area(values: np.ndarray, right: np.ndarray) -> float:
    """Return how often a right instance has a higher value than a wrong one, ties half."""
    right = np.asarray(right, bool)
    ranks = np.searchsorted(np.sort(values), values) + np.searchsorted(
        np.sort(values), values, side='right')
    n, m = np.count_nonzero(right), np.count_nonzero(~right)
    return float((ranks[right].sum() / 2 - n * n / 2) / (n * m)) if n * m else math.nan


def evaluate(kind: str, segment) -> tuple[float, float, float]:
    """Return panoptic quality, its mean over images, and the ROC area of the scores."""
    tables, values, right = [], [], []
    for _, mask, true, true_class_ids in load(kind):
        labels, class_ids, scores = segment(mask)
        tables.append(overlaps(labels, class_ids, true, true_class_ids))
        values.append(scores)
        right.append((tables[-1] > 0.5).any(axis=1))
    values, right = np.concatenate(values), np.concatenate(right)
    return (panoptic_quality(tables),
            float(np.mean([panoptic_quality([t]) for t in tables if t.size or sum(t.shape)])),
            roc_area(values, right))


def ours(**settings):
    """Return this package's splitter with some settings."""
    chosen = SegmentationSettings(**settings)

    def segment(mask):
        result = segment_instances(mask, chosen)
        return result.labels, result.class_ids, result.scores

    return segment


def pieces(mask: np.ndarray):
    """Return the plain 8-connected components of at least 30 pixels."""
    labels, class_ids = np.zeros(mask.shape, np.int32), []
    for class_id in np.unique(mask):
        if class_id in (0, 255):
            continue
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (mask == class_id).view(np.uint8), connectivity=8)
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] >= 30:
                class_ids.append(class_id)
                labels[parts == k] = len(class_ids)
    return labels, np.array(class_ids), np.ones(len(class_ids))


def corners(box: np.ndarray) -> np.ndarray:
    """Return the corners of cx, cy, w, h, theta (counter-clockwise on the screen)."""
    cx, cy, w, h, theta = box
    along = np.array([math.cos(theta), -math.sin(theta)]) * w / 2
    across = np.array([math.sin(theta), math.cos(theta)]) * h / 2
    centre = np.array([cx, cy])
    return np.array([centre - along - across, centre + along - across,
                     centre + along + across, centre - along + across], np.float32)


def box_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two oriented boxes."""
    both, _ = cv2.intersectConvexConvex(corners(one), corners(other))
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def drawn(box: np.ndarray, height: int = 480, width: int = 640) -> np.ndarray:
    """Return the mask of a box: pixels whose centre is inside."""
    y, x = np.mgrid[:height, :width] + 0.5
    cx, cy, w, h, theta = box
    along = (x - cx) * math.cos(theta) - (y - cy) * math.sin(theta)
    across = (x - cx) * math.sin(theta) + (y - cy) * math.cos(theta)
    return ((np.abs(along) <= w / 2) & (np.abs(across) <= h / 2)).astype(np.uint8)


def squeezed(mask: np.ndarray) -> np.ndarray:
    """Return a mask as the network's 320x320 grid has it, registered back to the frame."""
    grid = cv2.resize(mask, (320, 320), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(grid, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)


def box_quality(w: float, h: float) -> tuple[float, float, float]:
    """Return mean IoU, direct and squeezed, and the least squeezed, over angles."""
    rng = np.random.default_rng(0)
    rows = []
    for degrees in range(-85, 91, 5):
        box = np.array([320 + rng.random(), 240 + rng.random(), w, h, math.radians(degrees)])
        mask = drawn(box)
        rows.append([box_overlap(segment_instances(m, SegmentationSettings(dist_threshold=0.0))
                                 .oriented_boxes[0], box) for m in (mask, squeezed(mask))])
    direct, back = np.array(rows).T
    return direct.mean(), back.mean(), back.min()


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only-ours', action='store_true', help='without the other splitters')
    others = {'8-connected components': pieces}
    if not parser.parse_args().only_ours:
        from splitter_peers import Peer
        for name, title in (('modlib', 'modlib, its defaults'),
                            ('skimage', 'scikit-image, watershed of its example')):
            try:
                peer = Peer(name)
            except (RuntimeError, OSError) as error:
                print(f'without {name}: {error}')
                continue

            def segment(mask, peer=peer):
                _, labels, class_ids = peer.segment(mask)
                return labels, class_ids, np.ones(len(class_ids))
            others[title] = segment
    kinds = (*KINDS, DRAWN)
    print('| splitter | ' + ' | '.join(kinds) + ' |\n|---|---|---|---|')
    for title, segment in others.items():
        print(f'| {title} | ' + ' | '.join(
            f'{evaluate(kind, segment)[0]:.3f}' for kind in kinds) + ' |', flush=True)
    for threshold in (0.3, 0.4, SegmentationSettings().dist_threshold, 0.6, 0.7, 0.8, 0.9, 1.0):
        results = [evaluate(kind, ours(dist_threshold=threshold)) for kind in kinds]
        print(f'| ours, dist_threshold {threshold} | '
              + ' | '.join(f'{r[0]:.3f}' for r in results) + ' |', flush=True)
        if threshold == SegmentationSettings().dist_threshold:
            default = results
    print('\nDefaults: mean over images of panoptic quality, ROC area of the scores')
    for kind, (_, mean, area) in zip(kinds, default, strict=True):
        print(f'  {kind}: {mean:.3f}, {area:.3f}')
    print('\n| rectangle | IoU direct | IoU squeezed to 320x320 and back | least |'
          '\n|---|---|---|---|')
    for w, h in ((40, 40), (60, 40), (80, 40), (160, 40), (100, 100), (200, 80)):
        print('| {}x{} | {:.3f} | {:.3f} | {:.3f} |'.format(w, h, *box_quality(w, h)), flush=True)


if __name__ == '__main__':
    main()
