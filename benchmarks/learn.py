"""
Learn the few numbers of the splitter and of the scores from masks with known instances.

``python benchmarks/learn.py`` learns on one half of the images of ``../shared/data/masks`` and
tests on the other, both ways round, then learns on all; it prints what belongs into
``necks.ALLOWED``, ``splitting.ALLOWED`` and ``scores.WEIGHTS``. ``learn.py scores`` learns only
the last.
"""

from __future__ import annotations

import math
from pathlib import Path
import sys
import zlib

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.core import necks, scores, splitting  # noqa: E402, I100
from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402
from instseg_ros.core.components import components  # noqa: E402
from instseg_ros.core.segmentation import classes, MAX_INSTANCES, may_be_cut  # noqa: E402
from quality import KINDS, load, overlaps, panoptic_quality, roc_area  # noqa: E402

SETTINGS = SegmentationSettings()
# Steps of the search, halved in each round, in the order of ALLOWED; hills have the first four.
STEPS = (0.1, 2.0, 2.0, 0.06, 0.25)
START = (0.5, -7.0, 4.0, 0.0, 0.0)


def half(name: str) -> int:
    """Return which half an image belongs to."""
    return zlib.crc32(name.encode()) % 2


def survey_all(kind: str) -> list:
    """
    Return what does not depend on the numbers, image by image.

    Each image is (half, number of true instances, components); each component is (pixels of its
    true instances, what there is to cut or None, tables). What there is to cut is the survey of
    a hollow component, with the pixels of each hill and each true instance for tables, or the
    component, with the true instance of each pixel of its box.
    """
    images = []
    for name, mask, instances, class_ids in load(kind):
        sizes = np.bincount(instances.ravel(), minlength=len(class_ids) + 1)
        rows = []
        for _, binary, x, y in classes(mask, SETTINGS):
            for component in components(binary, SETTINGS.size_threshold):
                x0, y0, x1, y1 = component.box
                here = component.inside[1:-1, 1:-1] != 0
                true = instances[y + y0:y + y1, x + x0:x + x1][here]
                ids, local = np.unique(true, return_inverse=True)
                counts = np.bincount(local)
                cut, table = None, counts[None]
                if may_be_cut(component, SETTINGS):
                    if component.hollow:
                        cut, = splitting.survey([component])
                        hills = splitting.spread(cut.basins, here.shape)[here]
                        table = np.bincount(hills * len(ids) + local, minlength=(
                            len(cut.regions) + 1) * len(ids)).reshape(-1, len(ids))
                    else:
                        cut, table = component, np.zeros(here.shape, np.intp)
                        table[here] = local
                rows.append((sizes[ids], cut, table))
        images.append((half(name), len(class_ids), rows))
    return images


def parted(cut, table: np.ndarray, count: int, threshold: float) -> np.ndarray:
    """Return the pixels of each part of a component and each of its ``count`` true instances."""
    least = SETTINGS.size_threshold
    if isinstance(cut, splitting.Survey):
        parts = splitting.join(cut, threshold, least)
        tables = np.zeros((len(parts) + 1, count), np.int64)
        np.add.at(tables, parts.group, table)
        return tables[1:]
    if cut is None:
        return table
    x, y, _, _ = cut.box
    rows = []
    for piece in necks.split([cut], threshold, least, MAX_INSTANCES):
        x0, y0, x1, y1 = piece.component.box
        here = piece.component.inside[1:-1, 1:-1] != 0
        rows.append(np.bincount(table[y0 - y:y1 - y, x0 - x:x1 - x][here], minlength=count))
    return np.array(rows)


def quality(images: list, threshold: float, part: int | None = None) -> float:
    """Return the panoptic quality that the present numbers give on one half, or on all."""
    hits = total = false = missed = 0
    for which, count, rows in images:
        if part is not None and which != part:
            continue
        found = 0
        for wholes, cut, table in rows:
            tables = parted(cut, table, len(wholes), threshold)
            iou = (tables / (tables.sum(1, keepdims=True) + wholes - tables)).max(axis=1)
            iou = iou[tables.sum(1) >= SETTINGS.size_threshold]
            found += np.count_nonzero(iou > 0.5)
            total += iou[iou > 0.5].sum()
            false += np.count_nonzero(iou <= 0.5)
        hits += found
        missed += count - found
    return total / (hits + false / 2 + missed / 2)


def goodness(surveys: dict, part: int | None) -> float:
    """Return what is made as large as possible: both kinds well, neither badly."""
    photos = quality(surveys['coco_voc20'], 0.5, part)
    nuclei = quality(surveys['nuclei'], 0.5, part)
    tuned = max(quality(surveys['nuclei'], t, part) for t in (0.6, 0.8))
    return photos + nuclei + tuned / 2 - max(0, 0.72 - photos) - max(0, 0.89 - nuclei)


def search(surveys: dict, module, part: int | None) -> tuple[float, ...]:
    """Return the best numbers of a module: one after the other, with ever smaller steps."""
    def tried(numbers: list[float]) -> float:
        module.ALLOWED = tuple(numbers)
        return goodness(surveys, part)

    numbers = list(START[:len(module.ALLOWED)])
    best = tried(numbers)
    for scale in (1, 0.5, 0.25):
        for k, step in enumerate(STEPS[:len(numbers)]):
            for sign in (1, -1):
                start = best
                while True:
                    other = list(numbers)
                    other[k] += sign * step * scale
                    value = tried(other)
                    if value <= best + 1e-5:
                        break
                    numbers, best = other, value
                if best > start:
                    break
    return tuple(round(n, 3) for n in numbers)


def learn_cuts() -> None:
    """Print what is learned about cuts."""
    surveys = {kind: survey_all(kind) for kind in KINDS}

    def tell(title: str, part: int | None) -> None:
        print(title, f'necks {necks.ALLOWED}, hills {splitting.ALLOWED}', *(
            f'{kind} ' + ' '.join(f'{t}: {quality(surveys[kind], t, part):.4f}'
                                  for t in (0.4, 0.5, 0.6, 0.7, 0.8, 1.0))
            for kind in KINDS), sep='\n  ', flush=True)

    for part in (0, 1, None):
        tell('in use, ' + ('all' if part is None else f'half {part}'), part)
    for part in (0, 1, None):
        for module in (necks, splitting):
            module.ALLOWED = search(surveys, module, None if part is None else 1 - part)
        tell('all' if part is None else f'learned on half {1 - part}, tested on half {part}',
             part)


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
    rows = {kind: [] for kind in KINDS}
    seen = []
    original = scores.scores
    from instseg_ros.core import segmentation

    def watched(*a):
        seen.append(np.stack([np.ones(len(a[0])), *scores.features(*a)], axis=1))
        return original(*a)

    segmentation.scores = watched
    for kind in KINDS:
        for name, mask, instances, class_ids in load(kind):
            result = segment_instances(mask, SETTINGS)
            iou = overlaps(result.labels, result.class_ids, instances, class_ids)
            right = (iou > 0.5).any(axis=1)
            rows[kind] += [(half(name), r, *f) for r, f in zip(right, seen[-1], strict=True)]
    segmentation.scores = original
    data = {kind: np.array(values, float) for kind, values in rows.items()}

    def fit(part: int | None) -> np.ndarray:
        chosen = [d if part is None else d[d[:, 0] == part] for d in data.values()]
        # Photos count threefold: nearly every nucleus is right.
        weights = np.concatenate([np.full(len(d), w / len(d))
                                  for d, w in zip(chosen, (3000, 1000), strict=True)])
        every = np.concatenate(chosen)
        return logistic(every[:, 2:], every[:, 1], weights)

    for part in (0, 1):
        answer = fit(1 - part)
        print(f'scores learned on half {1 - part}, tested on half {part}:', *(
            f'{kind} {roc_area(d[d[:, 0] == part][:, 2:] @ answer, d[d[:, 0] == part][:, 1]):.3f}'
            for kind, d in data.items()))
    print('scores, all:', np.round(fit(None), 2).tolist())


if __name__ == '__main__':
    cv2.setNumThreads(1)
    assert math.isfinite(panoptic_quality([np.eye(1)]))
    if 'scores' not in sys.argv[1:]:
        learn_cuts()
    learn_scores()
