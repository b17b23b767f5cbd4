"""
What the shape memory is worth, and what it costs.

``python benchmarks/occlusion.py [--rows TEXT] [--choose]``. Every scene has seeds to choose
settings on (``--choose``) and others, which are printed. Each row of these replaces its row in
``results/occlusion.json``, so that a long run may be made in parts. ``tables.py`` puts them into
the docs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
import sys
import time

import cv2
from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.core import Instances, SegmentationSettings, Segmenter
import numpy as np
from tables import write_part
import tracking_scenes as scenes
from tracking_scenes import Moment, PERSON

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parent.parent / 'shared' / 'data' / 'masks' / 'coco_voc20'
REPORTED, CHOSEN_ON = range(8), range(18, 34)   # seeds
ASKED_PIXELS = 150   # an object of which less is seen is not asked for
PUBLISHED_PIXELS = SegmentationSettings().smallest_area((scenes.HEIGHT, scenes.WIDTH))


def drive(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.moving_camera(seed, fps, PHOTOS)


def crowd(seed: int, fps: float) -> Iterator[Moment]:
    return scenes.moving_camera(seed, fps, PHOTOS, crowd=True)


SCENES: tuple[tuple[str, Callable[[int, float], Iterator[Moment]], float, bool], ...] = (
    ('drawn street, 10 fps', scenes.street, 10, False),
    ('drawn street, 30 fps', scenes.street, 30, False),
    ('moving camera, 10 fps', drive, 10, False),
    ('moving camera, 30 fps', drive, 30, False),
    ('crowd, 10 fps', crowd, 10, False),
    ('drawn street, 10 fps, network', scenes.street, 10, True),
    ('moving camera, 10 fps, network', drive, 10, True))


@dataclass
class Score:
    """
    How a scene was cut.

    Attributes
    ----------
    pairs, apart : int
        Views of two objects that touch and were seen apart before; in how many they are two.
    true, found, matched : int
        Objects, instances, and pairs of them with an IoU of at least 0.5.
    pieces : int
        Instances that are a further piece of an object that has a larger one.

    """

    pairs: int = 0
    apart: int = 0
    true: int = 0
    found: int = 0
    matched: int = 0
    pieces: int = 0

    def __add__(self, other: Score) -> Score:
        """Return the sum of both."""
        return Score(*(a + b for a, b in zip(vars(self).values(), vars(other).values(),
                                             strict=True)))

    def row(self) -> dict[str, float]:
        """Return what is reported."""
        return {'published as two': self.apart / max(self.pairs, 1), 'pairs': self.pairs,
                'F1': 2 * self.matched / max(self.true + self.found, 1),
                'pieces': self.pieces / max(self.found, 1)}


class Judge:
    """Compares the instances of a sequence with the truth."""

    def __init__(self) -> None:
        self._alone: dict[int, int] = defaultdict(int)   # frames that nobody touched a track

    def score(self, moment: Moment, found: Instances, alone: Instances) -> Score:
        """Return the score of the next frame; `alone` is what it tells alone."""
        areas, common, iou = overlaps(moment, found)
        count, n = len(moment.track_ids), len(found)
        asked = areas[1:] >= ASKED_PIXELS
        matched = int((iou[asked] >= 0.5).sum())
        ignored = ~(iou[asked] >= 0.5).any(axis=0) & (
            ((iou[~asked] >= 0.3).any(axis=0)) | (found.areas < ASKED_PIXELS))
        best = common[1:].argmax(axis=0) if count else np.zeros(n, int)
        pieces = n - len(np.unique(best))
        pairs = self._pairs_seen_apart(moment, areas, common,
                                       (overlaps(moment, alone)[2] >= 0.5).any(axis=1))
        return Score(len(pairs), sum(pairs), int(asked.sum()), int((~ignored).sum()), matched,
                     pieces)

    def _pairs_seen_apart(self, moment: Moment, areas: np.ndarray, common: np.ndarray,
                          seen: np.ndarray) -> list[bool]:
        """
        Return whether each touching pair is two, of those who were seen apart in three frames.

        Seen apart: the splitter found it, and nobody of its class touched it. Both are at least
        half visible, and large enough to be published. Two: most of each lies in an instance of
        its own.
        """
        ids = [0, *moment.track_ids.tolist()]
        half = {k for k in range(1, len(ids))
                if areas[k] >= max(PUBLISHED_PIXELS, 0.5 * moment.whole_areas[ids[k]])}
        main = [int(row.argmax()) if row.max(initial=0) > row.sum() / 2 else None
                for row in common]
        touching: set[tuple[int, int]] = set()
        labels = moment.labels
        for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
            border = (a != b) & (a > 0) & (b > 0)
            a, b = np.minimum(a, b)[border].astype(int), np.maximum(a, b)[border].astype(int)
            touching |= {(int(c) // 65536, int(c) % 65536) for c in np.unique(a * 65536 + b)}
        touching = {(a, b) for a, b in touching
                    if moment.class_ids[a - 1] == moment.class_ids[b - 1]}
        two = [main[a] is not None and main[b] is not None and main[a] != main[b]
               for a, b in touching if {a, b} <= half
               and min(self._alone[ids[a]], self._alone[ids[b]]) >= 3]
        for k in half - {k for pair in touching for k in pair}:
            self._alone[ids[k]] += bool(seen[k - 1])
        return two


def overlaps(moment: Moment, found: Instances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels of objects (G + 1,), shared with instances (G + 1, N), and IoU (G, N)."""
    count, n = len(moment.track_ids), len(found)
    common = np.bincount(moment.labels.ravel().astype(np.int64) * (n + 1) + found.labels.ravel(),
                         minlength=(count + 1) * (n + 1)).reshape(count + 1, n + 1)
    areas, common = common.sum(axis=1), common[:, 1:]
    return areas, common, common[1:] / (areas[1:, None] + found.areas - common[1:])


def scored(moments: Callable[[int, float], Iterator[Moment]], fps: float, network: bool,
           seeds: Iterable[int]) -> dict[str, dict[str, float]]:
    """Return the scores without and with memory."""
    total = {False: Score(), True: Score()}
    for seed in seeds:
        errors = scenes.NetworkErrors(seed) if network else None
        alone, remembering = (Segmenter(SegmentationSettings(memory=way)) for way in total)
        judges = {way: Judge() for way in total}
        for moment in moments(seed, fps):
            mask, stamp_ns = errors.mask(moment) if errors else moment.mask, round(moment.t * 1e9)
            found = {False: alone.update(mask, stamp_ns)}
            found[True] = remembering.remember(found[False], stamp_ns)
            for way, judge in judges.items():
                total[way] += judge.score(moment, found[way], found[False])
    return {('memory' if memory else 'splitter'): score.row() for memory, score in total.items()}


def ten_people(i: int) -> np.ndarray:
    """Return a mask of ten people, two pairs of whom walk into each other and part again."""
    mask = np.zeros((480, 640), np.uint8)
    sway = 26 * np.cos(i / 12)
    for k in range(10):
        x, foot = 60 + 125 * (k % 5), 215 if k < 5 else 450
        pair = {0: 1, 1: -1, 6: 1, 7: -1}.get(k, 0)
        x += round(pair * (45 - sway)) + round(3 * np.sin(i / 5 + k))
        foot += 6 * (k % 2)
        cv2.rectangle(mask, (x - 24, foot - 130), (x + 24, foot), PERSON, -1)
        cv2.circle(mask, (x, foot - 145), 20, PERSON, -1)
    return mask


def street_of_ten(i: int) -> np.ndarray:
    """Return a mask of the drawn street with ten people, who touch much of the time."""
    return _STREET.at(i / 15).mask


_STREET = SyntheticScene(640, 480, seed=3, objects=('person',) * 10)


def cost(frames: int = 300) -> dict[str, dict[str, float]]:
    """Print and return milliseconds a frame with and without memory, turn by turn."""
    print('\nMilliseconds of processor time a frame, 640x480, ten people, in turns in one process')
    result = {}
    for name, draw in (('two pairs touch', ten_people), ('drawn street', street_of_ten)):
        ways = {memory: Segmenter(SegmentationSettings(memory=memory)) for memory in (False, True)}
        spent: dict[bool, list[float]] = {memory: [] for memory in ways}
        for i in range(frames):
            mask = draw(i)
            for memory in sorted(ways, reverse=bool(i % 2)):
                start = time.thread_time()
                ways[memory].update(mask, round(i * 1e9 / 15))
                spent[memory].append(1e3 * (time.thread_time() - start))
        more = np.array(spent[True]) - spent[False]
        result[name] = {'splitter': float(np.median(spent[False])),
                        'with memory': float(np.median(spent[True])),
                        'more': float(np.median(more)),
                        'more, p95': float(np.percentile(more, 95))}
        print(f'  {name:16} ' + ', '.join(f'{k} {v:.2f}' for k, v in result[name].items()),
              flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', default='', help='only rows whose title contains this text')
    parser.add_argument('--choose', action='store_true', help='the seeds to choose settings on')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f'{"":34} {"as two":>7} {"of":>6} {"F1":>6} {"pieces":>7}')
    for title, moments, fps, network in SCENES:
        if options.rows not in title:
            continue
        if moments is not scenes.street and not PHOTOS.exists():
            print(f'{title}: skipped, the data is not here')
            continue
        ways = scored(moments, fps, network, CHOSEN_ON if options.choose else REPORTED)
        for way, row in ways.items():
            print(f'{title:34} {way:8} {row["published as two"]:7.3f} {row["pairs"]:6.0f} '
                  f'{row["F1"]:6.3f} {row["pieces"]:7.4f}', flush=True)
        if not options.choose:
            write_part('occlusion', 'rows', {title: ways}, [name for name, *_ in SCENES])
    if options.rows in 'cost' and not options.choose:
        spent = cost()
        write_part('occlusion', 'cost', spent, spent)


if __name__ == '__main__':
    sys.exit(main())
