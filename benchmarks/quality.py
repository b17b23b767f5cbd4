"""
How well class masks are split, beside other splitters; scores; oriented boxes.

``python benchmarks/quality.py [--only-ours]`` reads ``../shared/data/masks`` and writes
``benchmarks/results/quality.json``, from which ``benchmarks/tables.py`` makes the tables of the
documentation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from pathlib import Path
import sys

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.cameras.synthetic import SyntheticScene  # noqa: E402, I100
from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402
from metrics import Example, load, MATCH, overlap, quality, roc_area  # noqa: E402

KINDS = ('coco_voc20', 'nuclei', 'coco_voc20_network')
DRAWN = 'drawn street'
PEOPLE, PERSON = 'people of a network', 15
# Of true masks every small piece is a piece of an object; a network leaves false ones.
SIZES = {'coco_voc20': 20, 'nuclei': 20, 'coco_voc20_network': -1, PEOPLE: -1, DRAWN: 20}


def drawn_street() -> list[Example]:
    """Return moments of drawn scenes, which nothing is learned from."""
    return [Example(f'{seed} {moment}', scene.mask, scene.labels.astype(np.int64),
                    scene.class_ids)
            for seed, moment in itertools.product(range(12), np.arange(1, 12, 1.7))
            for scene in (SyntheticScene(seed=seed).at(float(moment)),)]


def people(examples: list[Example]) -> list[Example]:
    """Return the people of the images that have several."""
    found = []
    for example in examples:
        chosen = np.flatnonzero(example.class_ids == PERSON)
        if len(chosen) > 1:
            numbers = np.zeros(len(example.class_ids) + 1, np.int64)
            numbers[chosen + 1] = np.arange(1, len(chosen) + 1)
            found.append(Example(
                example.name, np.where(example.mask == PERSON, example.mask, np.uint8(0)),
                numbers[example.instances], example.class_ids[chosen]))
    return found


def evaluate(examples: list[Example], segment) -> dict[str, float]:
    """Return panoptic quality of all and of each half, what matched, ROC area of the scores."""
    overlaps, values = [], []
    for example in examples:
        labels, class_ids, scores = segment(example.mask)
        overlaps.append(overlap(labels, class_ids, example))
        values.append(scores)
    halves = [quality(one for one, example in zip(overlaps, examples, strict=True)
                      if example.half == half).pq for half in (0, 1)]
    every = quality(overlaps)
    right = np.concatenate([(one.iou > MATCH).any(axis=1) for one in overlaps])
    return {'pq': every.pq, 'half 0': halves[0], 'half 1': halves[1], 'matched': every.matched,
            'true': every.true, 'merged': every.merged,
            'roc area': roc_area(np.concatenate(values), right)}


def ours(**settings):
    """Return this package's splitter with some settings."""
    chosen = SegmentationSettings(**settings)

    def segment(mask):
        result = segment_instances(mask, chosen)
        return result.labels, result.class_ids, result.scores

    return segment


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
    """Print all figures, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only-ours', action='store_true', help='without the other splitters')
    peers = {}
    if not parser.parse_args().only_ours:
        from splitter_peers import Peer
        for name, title in (('modlib', 'modlib 1.5, its defaults'),
                            ('skimage', 'scikit-image, watershed of its example')):
            try:
                peers[title] = Peer(name)
            except (RuntimeError, OSError) as error:
                print(f'without {name}: {error}')
    cv2.setNumThreads(1)
    default = SegmentationSettings().dist_threshold
    rows, data = [], {kind: load(kind) for kind in KINDS}
    data[PEOPLE] = people(data['coco_voc20_network'])
    data[DRAWN] = drawn_street()

    def tell(kind: str, title: str, segment) -> None:
        figures = evaluate(data[kind], segment)
        rows.append({'kind': kind, 'splitter': title, **{
            name: round(value, 4) for name, value in figures.items() if value == value}})
        print(rows[-1], flush=True)

    for kind, size in SIZES.items():
        for title, peer in peers.items():
            def other(mask, peer=peer):
                _, labels, class_ids = peer.segment(mask)
                return labels, class_ids, np.ones(len(class_ids))
            tell(kind, title, other)
        tell(kind, '8-connected components', ours(dist_threshold=0.0, size_threshold=size))
        for threshold in (0.3, 0.4, default, 0.6, 0.7, 1.0):
            tell(kind, f'ours, dist_threshold {threshold}',
                 ours(dist_threshold=threshold, size_threshold=size))
        tell(kind, 'ours, no upright classes', ours(upright_classes=(), size_threshold=size))
    boxes = []
    for w, h in ((40, 40), (60, 40), (80, 40), (160, 40), (100, 100), (200, 80)):
        direct, back, least = box_quality(w, h)
        boxes.append({'rectangle': f'{w}x{h}', 'direct': round(direct, 3),
                      'squeezed': round(back, 3), 'least squeezed': round(least, 3)})
        print(boxes[-1], flush=True)
    results = ROOT / 'benchmarks' / 'results'
    results.mkdir(exist_ok=True)
    (results / 'quality.json').write_text(json.dumps({'masks': rows, 'boxes': boxes}, indent=1)
                                          + '\n')


if __name__ == '__main__':
    main()
