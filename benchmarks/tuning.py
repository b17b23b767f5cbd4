"""
What a search with a few marks is worth on masks that nobody marked.

``python benchmarks/tuning.py`` marks frames of one half of ``../shared/data/masks`` as a person
would who looks at the result of the defaults and marks what is wrong, up to three marks a frame.
It searches with them, and prints panoptic quality before and after on the frames of that half
which were not marked (what the weight of unmarked instances was chosen on), and on the other half.
"""

from __future__ import annotations

from pathlib import Path
import sys
from typing import NamedTuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402, I100
from instseg_ros.core.class_names import VOC_NAMES  # noqa: E402
from instseg_ros.recordings.marks import Mark  # noqa: E402
from instseg_ros.recordings.search import find_settings  # noqa: E402
from metrics import Example, INSIDE, load, overlap, quality  # noqa: E402

FRAMES = 12  # that are marked: a few minutes' work
MOST = 3  # marks on a frame
DRAWS = 5
STEP_NS = 2 * 10**9


class Still(NamedTuple):
    """A frame of its own moment."""

    stamp_ns: int
    mask: np.ndarray


def marks_of(example: Example, stamp_ns: int, random: np.random.Generator) -> list[Mark]:
    """Return what a person would say about the result of the defaults."""
    found = segment_instances(example.mask, SegmentationSettings())
    if not len(example.class_ids):
        return []
    iou, inside = overlap(found.labels, found.class_ids, example)
    wrong = []
    for k in range(len(found)):
        true = np.flatnonzero(inside[k] >= INSIDE) + 1
        if len(true) > 1:
            line = between(example.instances == true[0], np.isin(example.instances, true[1:]))
            if line:
                wrong.append(Mark(stamp_ns, 'two', line))
        elif not len(true) and iou[k].max(initial=0) == 0:
            wrong.append(Mark(stamp_ns, 'nothing', (deepest(found.labels == k + 1),)))
    for m in range(len(example.class_ids)):
        here = example.instances == m + 1
        parts = [k for k in range(len(found)) if iou[k, m] > 0.1]
        if len(parts) > 1:
            wrong.append(Mark(stamp_ns, 'one', tuple(
                deepest(here & (found.labels == k + 1)) for k in parts)))
    random.shuffle(wrong)
    return wrong[:MOST]


def deepest(here: np.ndarray) -> tuple[float, float]:
    """Return x and y of the pixel farthest from the outline."""
    depth = cv2.distanceTransform(np.pad(here, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = divmod(int(depth.argmax()), here.shape[1])
    return x + 0.5, y + 0.5


def between(one: np.ndarray, other: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return the line along which two objects touch; empty where they do not."""
    kernel = np.ones((5, 5), np.uint8)
    near = (cv2.dilate(one.astype(np.uint8), kernel) & cv2.dilate(other.astype(np.uint8), kernel))
    rows, columns = np.nonzero(near)
    if len(rows) < 20:
        return ()
    points = np.stack([columns, rows], axis=1) + 0.5
    along = (points - points.mean(0)) @ np.linalg.svd(points - points.mean(0),
                                                      full_matrices=False)[2][0]
    first, last = points[along.argmin()], points[along.argmax()]
    return tuple(map(float, first)), tuple(map(float, last))


def panoptic(examples: list[Example], settings: SegmentationSettings) -> float:
    """Return the panoptic quality of settings."""
    results = [segment_instances(example.mask, settings) for example in examples]
    return quality(overlap(r.labels, r.class_ids, e)
                   for r, e in zip(results, examples, strict=True)).pq


def main() -> None:
    """Print a line for each kind and draw."""
    cv2.setNumThreads(1)
    begin = SegmentationSettings()
    for kind in ('coco_voc20', 'nuclei', 'coco_voc20_network'):
        examples = load(kind)
        unseen = [e for e in examples if e.half == 1]
        for draw in range(DRAWS):
            random = np.random.default_rng(draw)
            seen = [e for e in examples if e.half == 0]
            random.shuffle(seen)
            frames, marks = [], []
            while len(frames) < FRAMES:
                example = seen.pop()
                stamp_ns = (len(frames) + 1) * STEP_NS
                here = [m for m in marks_of(example, stamp_ns, random) if m.touches(example.mask)]
                if here:
                    frames.append(Still(stamp_ns, example.mask))
                    marks += here
            found = find_settings(frames, VOC_NAMES, marks, begin)
            held = found.held_out or ('-', '-')
            same, other = ([panoptic(some, settings) for settings in (begin, found.settings)]
                           for some in (seen, unseen))
            print(f'{kind}: {len(marks)} marks, used {found.used[0]} -> {found.used[1]}, '
                  f'not used {held[0]} -> {held[1]}; PQ of the same half {same[0]:.3f} -> '
                  f'{same[1]:.3f}, of the other {other[0]:.3f} -> {other[1]:.3f}; '
                  f'{({n: b for n, (_, b) in found.changes.items()})}, {found.tried} tried'
                  f'{"; " if found.doubt else ""}{found.doubt}', flush=True)


if __name__ == '__main__':
    main()
