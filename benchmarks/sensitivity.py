"""
What 30 % more and less of each constant of the splitter does.

``python benchmarks/sensitivity.py`` prints panoptic quality, and the area under the ROC curve of
the scores on photos, and writes ``benchmarks/results/sensitivity.json``.
"""

from __future__ import annotations

from dataclasses import fields, replace
import json
from pathlib import Path
import sys

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402, I100
from instseg_ros.core.segmentation import algorithm  # noqa: E402
from metrics import load, MATCH, overlap, quality, roc_area  # noqa: E402

SETTINGS = {'coco_voc20': SegmentationSettings(size_threshold=20),
            'nuclei': SegmentationSettings(size_threshold=20),
            'coco_voc20_network': SegmentationSettings()}


def figures(data: dict) -> dict[str, float]:
    """Return all figures with the present constants."""
    found = {}
    for kind, examples in data.items():
        results = [segment_instances(example.mask, SETTINGS[kind]) for example in examples]
        overlaps = [overlap(result.labels, result.class_ids, example)
                    for result, example in zip(results, examples, strict=True)]
        found[kind] = round(quality(overlaps).pq, 4)
        if kind == 'coco_voc20':
            found['roc area'] = round(roc_area(
                np.concatenate([result.scores for result in results]),
                np.concatenate([(one.iou > MATCH).any(axis=1) for one in overlaps])), 4)
    return found


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    data = {kind: load(kind) for kind in SETTINGS}
    start = algorithm.ALGORITHM
    rows = [{'constant': 'as they are', 'value': None, **figures(data)}]
    for one in fields(start):
        for factor in (0.7, 1.3):
            value = getattr(start, one.name)
            value = (tuple(factor * v for v in value) if isinstance(value, tuple)
                     else type(value)(factor * value))
            algorithm.ALGORITHM = replace(start, **{one.name: value})
            rows.append({'constant': one.name, 'value': value, **figures(data)})
            print(rows[-1], flush=True)
    algorithm.ALGORITHM = start
    results = ROOT / 'benchmarks' / 'results'
    results.mkdir(exist_ok=True)
    (results / 'sensitivity.json').write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
