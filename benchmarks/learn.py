"""
Learn the weights of the cut criterion and of the scores from masks with known instances.

``python benchmarks/learn.py [cuts|scores]`` learns on one half of ``../shared/data/masks`` and
tests on the other, both ways round, then learns on all; it prints what belongs into
``instseg_ros/core/segmentation/algorithm.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402, I100
from instseg_ros.core.segmentation import algorithm, scores, segment  # noqa: E402
from instseg_ros.core.segmentation.class_masks import classes  # noqa: E402
from instseg_ros.core.segmentation.components import components  # noqa: E402
from instseg_ros.core.segmentation.merging import merge  # noqa: E402
from instseg_ros.core.segmentation.watershed import basin_graphs, upsampled  # noqa: E402
from metrics import Example, load, MATCH, overlap, roc_area  # noqa: E402

# Pixels below which instances are dropped: the small pieces of a network are no matter of cuts.
SIZES = {'coco_voc20': 20, 'nuclei': 20, 'coco_voc20_network': 300}
# Steps of the search, halved in each round.
STEPS = {'limit': 0.15, 'concavity': 2.0, 'size_ratio': 0.06, 'elongation': 0.7}


def survey(example: Example, size: int) -> list:
    """
    Return what does not depend on the weights, component by component.

    Each is (pixels of its true instances, whether they are of its class, its region graph or
    None, pixels of each region and each true instance).
    """
    sizes = np.bincount(example.instances.ravel(), minlength=len(example.class_ids) + 1)
    true_class = np.concatenate([[0], example.class_ids])
    rows = []
    for class_id, binary, x, y in classes(example.mask, SegmentationSettings()):
        found = list(components(binary, size))
        doubtful = [one for one in found if one.area >= 2 * size and not one.is_solid]
        graphs = dict(zip(doubtful, basin_graphs(doubtful), strict=True))
        for component in found:
            x0, y0, x1, y1 = component.box
            here = component.inside != 0
            ids, true = np.unique(example.instances[y + y0:y + y1, x + x0:x + x1][here],
                                  return_inverse=True)
            graph = graphs.get(component)
            regions = np.zeros(len(true), np.int64) if graph is None else upsampled(
                graph.labels, here.shape)[here].astype(np.int64)
            table = np.zeros((int(regions.max()) + 1 if graph is None else len(graph.regions) + 1,
                              len(ids)), np.int64)
            np.add.at(table, (regions, true), 1)
            rows.append((sizes[ids], true_class[ids] == class_id, graph, table))
    return rows


def quality(surveys: dict, kind: str, dist_threshold: float, half: int | None) -> float:
    """Return the panoptic quality that the present weights give, of cells and without heads."""
    total = found = true = 0
    for example, rows in surveys[kind]:
        if half is not None and example.half != half:
            continue
        true += len(example.class_ids)
        for sizes, own, graph, table in rows:
            tables = table
            if graph is not None:
                parts = merge(graph, dist_threshold, SIZES[kind])
                tables = np.zeros((len(parts) + 1, table.shape[1]), np.int64)
                np.add.at(tables, parts.part_of, table)
                tables = tables[tables.sum(axis=1) >= SIZES[kind]]
            iou = (tables / (tables.sum(axis=1, keepdims=True) + sizes - tables) * own).max(axis=1)
            found += len(iou)
            total += iou[iou > MATCH].sum()
    return 2 * total / (found + true)


def goodness(surveys: dict, half: int | None) -> float:
    """Return what is made as large as possible: all kinds, nuclei at a high threshold too."""
    return (sum(quality(surveys, kind, 0.5, half) for kind in SIZES)
            + quality(surveys, 'nuclei', 0.7, half) / 2)


def search(surveys: dict, half: int | None) -> None:
    """Set the best weights: one after the other, with ever smaller steps."""
    best = goodness(surveys, half)
    for scale in (1, 0.5, 0.25):
        for name, step in STEPS.items():
            for sign in (1, -1):
                start = best
                while True:
                    before = algorithm.ALGORITHM
                    algorithm.ALGORITHM = replace(
                        before, **{name: getattr(before, name) + sign * step * scale})
                    value = goodness(surveys, half)
                    if value <= best + 1e-5:
                        algorithm.ALGORITHM = before
                        break
                    best = value
                if best > start:
                    break


def learn_cuts() -> None:
    """Print what is learned about cuts."""
    surveys = {kind: [(example, survey(example, size)) for example in load(kind)]
               for kind, size in SIZES.items()}
    start = algorithm.ALGORITHM

    def tell(title: str, half: int | None) -> None:
        print(title, {name: round(getattr(algorithm.ALGORITHM, name), 3) for name in STEPS}, *(
            f'{kind} {threshold}: {quality(surveys, kind, threshold, half):.4f}'
            for kind, threshold in (*((kind, 0.5) for kind in SIZES), ('nuclei', 0.7))),
            sep='\n  ', flush=True)

    for half in (0, 1, None):
        tell('in use, ' + ('all' if half is None else f'half {half}'), half)
    for half in (0, 1, None):
        algorithm.ALGORITHM = start
        search(surveys, None if half is None else 1 - half)
        tell('all' if half is None else f'learned on half {1 - half}, tested on half {half}', half)
    algorithm.ALGORITHM = start


def logistic(features: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the coefficients of a logistic regression, by Newton's method."""
    answer = np.zeros(features.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-features @ answer))
        slope = features.T @ (weights * (right - p)) - 1e-3 * answer
        curve = (features * (weights * p * (1 - p))[:, None]).T @ features
        answer += np.linalg.solve(curve + 1e-3 * np.eye(len(answer)), slope)
    return answer


def learn_scores() -> None:
    """Print what is learned about scores, and how well it tells right from wrong."""
    seen = []
    original = scores.scores

    def watched(*measures):
        seen.append(np.stack([np.ones(len(measures[0])), *scores.features(*measures)], axis=1))
        return original(*measures)

    segment.scores = watched
    rows = {kind: [] for kind in SIZES}
    for kind, size in SIZES.items():
        for example in load(kind):
            result = segment_instances(example.mask, SegmentationSettings(size_threshold=size))
            right = (overlap(result.labels, result.class_ids, example).iou > MATCH).any(axis=1)
            rows[kind] += [(example.half, r, *f) for r, f in zip(right, seen[-1], strict=True)]
    segment.scores = original
    data = {kind: np.array(values, float) for kind, values in rows.items()}
    counts = {'coco_voc20': 3000, 'nuclei': 1000, 'coco_voc20_network': 1000}

    def fit(half: int | None) -> np.ndarray:
        chosen = {kind: d if half is None else d[d[:, 0] == half] for kind, d in data.items()}
        # Photos count threefold: nearly every nucleus is right.
        weights = np.concatenate([np.full(len(d), counts[kind] / len(d))
                                  for kind, d in chosen.items()])
        every = np.concatenate(list(chosen.values()))
        return logistic(every[:, 2:], every[:, 1], weights)

    def tell(title: str, answer: np.ndarray, half: int | None) -> None:
        print(title, np.round(answer, 2).tolist(), *(
            f'{kind} {roc_area(d[:, 2:] @ answer, d[:, 1]):.3f}' for kind, d in (
                (kind, d if half is None else d[d[:, 0] == half]) for kind, d in data.items())))

    for half in (0, 1, None):
        tell('scores in use,', np.array(algorithm.ALGORITHM.score_weights), half)
    for half in (0, 1):
        tell(f'scores learned on half {1 - half}, tested on half {half}:', fit(1 - half), half)
    tell('scores, all:', fit(None), None)


if __name__ == '__main__':
    cv2.setNumThreads(1)
    if 'scores' not in sys.argv[1:]:
        learn_cuts()
    if 'cuts' not in sys.argv[1:]:
        learn_scores()
