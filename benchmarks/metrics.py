"""Measures of quality that the benchmarks and the tests share, and the data they are taken on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import math
from pathlib import Path
from typing import NamedTuple
import zlib

import numpy as np

MASKS = Path(__file__).resolve().parents[2] / 'shared' / 'data' / 'masks'
VOID = 255
# IoU from which on an instance is a true one; at most one can be.
MATCH = 0.5
# Share of a true instance inside one of its class that says that it is in there.
INSIDE = 0.5


class Example(NamedTuple):
    """A class mask and its true instances, as in ``segment_instances``' result."""

    name: str
    mask: np.ndarray
    instances: np.ndarray
    class_ids: np.ndarray

    @property
    def half(self) -> int:
        """Which half the example belongs to: what is chosen on 0 is reported on 1."""
        return zlib.crc32(self.name.encode()) % 2


def load(kind: str, folder: Path = MASKS) -> list[Example]:
    """Return the examples of one kind, ordered by name; FileNotFoundError without any."""
    files = sorted((folder / kind).glob('*.npz'))
    if not files:
        raise FileNotFoundError(f'{folder / kind}: no masks')
    return [Example(file.stem, data['semantic'], data['instances'].astype(np.int64),
                    data['class_ids']) for file in files for data in (np.load(file),)]


class Overlap(NamedTuple):
    """
    What found and true instances of one image have in common.

    Attributes
    ----------
    iou : ndarray of shape (N, M)
        Of found and true instances; 0 for other classes.
    inside : ndarray of shape (N, M)
        Share of each true instance inside each found one of its class.

    """

    iou: np.ndarray
    inside: np.ndarray


def overlap(labels: np.ndarray, class_ids: np.ndarray, example: Example) -> Overlap:
    """Compare label images; pixels whose true class is void count for nobody."""
    true, true_class_ids = example.instances, example.class_ids
    n, m = len(class_ids), len(true_class_ids)
    table = np.bincount(labels.ravel().astype(np.int64) * (m + 1) + true.ravel(),
                        minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    both = table[1:, 1:] * (np.asarray(class_ids)[:, None] == np.asarray(true_class_ids))
    sizes = table[:, 1:].sum(0)
    either = table[1:].sum(1)[:, None] + sizes - both
    return Overlap(both / np.maximum(either, 1), both / np.maximum(sizes, 1))


@dataclass(frozen=True)
class Quality:
    """
    How well class masks of many images were split.

    Attributes
    ----------
    pq : float
        Panoptic quality: sum of the IoU of matches over (matches + half the false + half the
        missed), over all images together.
    found, true, matched : int
        Instances that were found, that there are, and that are the same.
    merged : int
        True instances that share a found one with another true one.

    """

    pq: float
    found: int
    true: int
    matched: int
    merged: int


def quality(overlaps: Iterable[Overlap]) -> Quality:
    """Return the quality over many images."""
    total = 0.0
    found = true = matched = merged = 0
    for iou, inside in overlaps:
        hits = iou[iou > MATCH]
        total, matched = total + hits.sum(), matched + len(hits)
        found, true = found + iou.shape[0], true + iou.shape[1]
        together = (inside >= INSIDE).sum(axis=1)
        merged += int(together[together > 1].sum())
    return Quality(float(total / ((found + true) / 2)) if found + true else 0.0, found, true,
                   matched, merged)


def roc_area(values: np.ndarray, right: np.ndarray) -> float:
    """Return how often a right instance has a higher value than a wrong one, ties half."""
    right = np.asarray(right, bool)
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values)
             + np.searchsorted(ordered, values, side='right'))
    n, m = np.count_nonzero(right), np.count_nonzero(~right)
    return float((ranks[right].sum() / 2 - n * n / 2) / (n * m)) if n * m else math.nan
