"""
How fast masks are made of YOLO-seg's tensors, beside Sony's modlib, and whether they are equal.

Both sides get the tensors of an export for the AI Camera (300 rows, 32 prototypes of 160x160)
with some objects in them, and give what modlib's post-processing gives: a mask of cells for each
box. They take turns, each in a process of its own. The figures are medians in milliseconds; "to
the frame" is all that this package does: masks in the pixels of a 640x480 frame, with measures.

The outlines are those of real objects (``../shared/data/masks``), as a network would give them
that is never wrong: its probabilities are the share of each cell that the object covers. Masks
that are interpolated before they are cut are compared with the cells, enlarged.
``python benchmarks/instance_networks.py`` writes ``benchmarks/results/instance_networks.json``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
import sys
import time

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.cameras.instance_network import read_outputs, register  # noqa: E402, I100
from splitter_peers import Peer  # noqa: E402

INPUT, GRID, ROWS, KERNELS = 640, 160, 300, 32
TURNS, CALLS = 15, 7


class Arrays:
    """Tensors that are arrays already."""

    def __init__(self, arrays):
        self._arrays, self.sizes = arrays, [a.shape for a in arrays]

    def array(self, index):
        return self._arrays[index]


def tensors(count: int, seed: int) -> list[np.ndarray]:
    """Return tensors with ``count`` objects of a tenth to a third of the picture's side."""
    rng = np.random.default_rng(seed)
    prototypes = np.stack([cv2.resize(rng.standard_normal((12, 12)).astype(np.float32),
                                      (GRID, GRID), interpolation=cv2.INTER_CUBIC)
                           for _ in range(KERNELS)])
    boxes, scores = np.zeros((ROWS, 4), np.float32), np.zeros(ROWS, np.float32)
    sides = rng.uniform(INPUT / 10, INPUT / 3, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * (INPUT - sides)
    boxes[:count] = np.hstack([corners, corners + sides])
    scores[:count] = np.sort(rng.uniform(0.3, 0.95, count))[::-1]
    coefficients = rng.standard_normal((ROWS, KERNELS)).astype(np.float32)
    # As picamera2 gives them: column after column.
    return [np.asfortranarray(a) for a in (
        boxes, scores, rng.integers(0, 80, ROWS).astype(np.float32), coefficients, prototypes)]


def decode(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return a mask of the cells that each box touches, as modlib does."""
    found = read_outputs(Arrays(arrays), (INPUT, INPUT), 0.0, in_pixels=True)
    masks = []
    for k, box in enumerate(found.boxes.tolist()):
        x0, y0, x1, y1 = (GRID * edge for edge in box)
        masks.append(found.logits(k, slice(math.floor(y0), min(math.ceil(y1), GRID)),
                                  slice(math.floor(x0), min(math.ceil(x1), GRID))) > 0)
    return masks


def timed(function, *arguments) -> float:
    """Return the milliseconds of the median call; the first one is not counted."""
    taken = []
    for _ in range(CALLS + 1):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:])) * 1e3


def to_frame(arrays: list[np.ndarray]) -> None:
    """Make instances in the pixels of a frame."""
    register(read_outputs(Arrays(arrays), (INPUT, INPUT), 0.25), (640, 480))


def different(arrays: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[int, int]:
    """Return the cells that differ, and all there are."""
    ours = decode(arrays)
    assert [m.shape for m in ours] == [m.shape for m in theirs]
    return (sum(int(np.count_nonzero(a != (b > 0))) for a, b in zip(ours, theirs, strict=True)),
            sum(m.size for m in ours))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union."""
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def of_outlines(truth: np.ndarray) -> list[tuple[float, float]]:
    """Return how well interpolated masks and enlarged cells fit each object of a label image."""
    height, width = truth.shape
    ids, areas = np.unique(truth[truth > 0], return_counts=True)
    objects = [truth == k for k in ids[areas > 300][:KERNELS]]
    if not objects:
        return []
    boxes, scores = np.zeros((ROWS, 4)), np.zeros(ROWS)
    prototypes = np.zeros((KERNELS, GRID, GRID))
    for k, inside in enumerate(objects):
        x, y, w, h = cv2.boundingRect(inside.view(np.uint8))
        boxes[k] = INPUT * np.array((x / width, y / height, (x + w) / width, (y + h) / height))
        share = np.clip(cv2.resize(inside.astype(float), (GRID, GRID),
                                   interpolation=cv2.INTER_AREA), 0.02, 0.98)
        scores[k], prototypes[k] = 0.95 - 0.01 * k, np.log(share / (1 - share))
    found = read_outputs(Arrays([a.astype(np.float32) for a in (
        boxes, scores, np.zeros(ROWS), np.eye(ROWS, KERNELS), prototypes)]), (INPUT, INPUT), 0.25)
    labels = register(found, (width, height))[0].labels
    return [(overlap(labels == k + 1, inside),
             overlap(cv2.resize((prototypes[k] > 0).view(np.uint8), (width, height),
                                interpolation=cv2.INTER_NEAREST) > 0, inside))
            for k, inside in enumerate(objects)]


def outlines() -> list[dict]:
    """Print how well outlines fit real objects."""
    rows = []
    print('\n| objects | mean IoU, interpolated | cells, enlarged |\n|---|---|---|')
    for kind in ('coco_voc20', 'nuclei'):
        files = sorted((ROOT.parent / 'shared' / 'data' / 'masks' / kind).glob('*.npz'))
        fits = [fit for file in files for fit in of_outlines(np.load(file)['instances'])]
        if fits:
            smooth, cells = np.mean(fits, axis=0)
            rows.append({'kind': kind, 'objects': len(fits), 'interpolated': round(smooth, 4),
                         'cells': round(cells, 4)})
            print(f'| {kind}, {len(fits)} | {smooth:.3f} | {cells:.3f} |', flush=True)
    return rows


def main() -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    peer = Peer('modlib')
    rows = []
    print('| objects | ours (ms) | modlib (ms) | times faster | to the frame (ms) | cells that '
          'differ |\n|---|---|---|---|---|---|')
    for count in (1, 5, 20, 50):
        differ = [different(arrays, peer.masks(arrays)[1]) for arrays in (
            tensors(count, seed) for seed in range(20))]
        arrays = tensors(count, 1000)
        ours, theirs, whole = np.median([
            (timed(decode, arrays), 1e3 * float(np.median(peer.masks(arrays, CALLS + 1)[0][1:])),
             timed(to_frame, arrays)) for _ in range(TURNS)], axis=0)
        wrong, cells = map(sum, zip(*differ, strict=True))
        rows.append({'objects': count, 'ours': round(ours, 3), 'modlib': round(theirs, 3),
                     'to the frame': round(whole, 3), 'cells': cells, 'different cells': wrong})
        print(f'| {count} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {whole:.2f} | '
              f'{wrong} of {cells} |', flush=True)
    peer.close()
    results = ROOT / 'benchmarks' / 'results' / 'instance_networks.json'
    results.write_text(json.dumps({'speed': rows, 'outlines': outlines()}, indent=1) + '\n')


if __name__ == '__main__':
    main()
