"""
How fast class masks are split, beside Sony's modlib and one labelling pass of OpenCV.

Both sides get the same masks on the same cores, in turns, split and oriented boxes. A turn lasts
30 ms or three calls, whatever is longer, and the first call, which finds the caches full of other
things, is not counted. The figures are medians in milliseconds. At its defaults modlib takes what
touches for one; drawn scenes are also given to it with settings that make it cut. Its times depend
on what its process has done before, by up to 1.7 times, so each scene and setting gets three new
processes that do nothing else, like a robot's.
``python benchmarks/speed.py [--quick]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import itertools
import json
import math
import os
from pathlib import Path
import platform
import resource
import sys
import time
import tracemalloc

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from instseg_ros.core import segment_instances, SegmentationSettings  # noqa: E402, I100
from splitter_peers import Peer  # noqa: E402

SETTINGS = SegmentationSettings(size_threshold=20)
# With these modlib cuts what is drawn to touch, too, and keeps what this splitter keeps.
CUTTING = {'dist_threshold': 0.5, 'size_threshold': SETTINGS.size_threshold}
# Milliseconds of a turn.
TURN = 30
# Of modlib, one after the other, for each scene and setting.
PROCESSES = 3


def scene(height: int, width: int, count: int, touching: bool = True) -> np.ndarray:
    """
    Return ellipses in rows and columns; if ``touching``, every third touches its neighbour.

    They cover about the same area, however many there are.
    """
    rng = np.random.default_rng(count)
    columns = math.ceil(math.sqrt(count * width / height))
    rows = math.ceil(count / columns)
    mask = np.zeros((height, width), np.uint8)
    wide, high = width / columns, height / rows
    for k in range(count):
        touches = touching and k % 3 == 1 and k % columns
        axes = np.array([0.38 * wide, min(0.42 * high, 0.34 * wide)])
        centre = np.array([(k % columns + 0.5) * wide, (k // columns + 0.5) * high])
        centre -= (0.28 * wide, 0) if touches else (0, 0)
        cv2.ellipse(mask, centre.round().astype(int).tolist(), axes.round().astype(int).tolist(),
                    rng.uniform(-15, 15), 0, 360, 15, -1)
    return mask


def how(touching: bool) -> str:
    """Return how tables call such a scene."""
    return 'every third touches' if touching else 'apart'


def timed(function, *arguments) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1e3


def pair(mask: np.ndarray, peers: Sequence[tuple[Peer | None, dict[str, float]]], turns: int,
         settings=SETTINGS) -> list[float]:
    """
    Return the times of this splitter, a labelling pass, and each peer, taken in turns.

    Where no peer could be installed all are None, and their times are not a number.
    """
    binary = (mask > 0).view(np.uint8)
    sides = [lambda count: [timed(segment_instances, mask, settings) for _ in range(count)],
             lambda count: [timed(cv2.connectedComponentsWithStats, binary) for _ in range(count)]]
    for peer, theirs in peers:
        if peer:
            sides.append(lambda count, peer=peer, theirs=theirs: [
                seconds * 1e3 for seconds in peer.segment(mask, count, **theirs)[0]])
    counts = [max(math.ceil(TURN / min(side(3)[1:])), 3) for side in sides]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(turns):
        for side, count, taken in zip(sides, counts, times, strict=True):
            taken += side(count)[1:]
    return [*(float(np.median(taken)) for taken in times),
            *(math.nan for peer, _ in peers if not peer)]


def synthetic(beside: bool, turns: int) -> None:
    """Print the table of drawn scenes, and write ``benchmarks/results/speed.json``."""
    rows = []
    print('\n| scene | ours | modlib | times faster | modlib, cutting | times faster | '
          'labelling pass | ours / pass |\n|---|---|---|---|---|---|---|---|')
    for height, width in ((320, 320), (480, 640), (1080, 1920)):
        for count, touching in itertools.product((3, 10, 50), (False, True)):
            mask = scene(height, width, count, touching)
            times = []
            for _ in range(PROCESSES):
                peers = [(Peer('modlib') if beside else None, theirs) for theirs in ({}, CUTTING)]
                times.append(pair(mask, peers, turns))
                for peer, _ in peers:
                    if peer:
                        peer.close()
            ours, one_pass, theirs, cutting = np.median(times, axis=0)
            rows.append({'scene': f'{width}x{height}, {count} objects, {how(touching)}',
                         'ours': round(ours, 3), 'modlib': round(theirs, 2),
                         'modlib, cutting': round(cutting, 2), 'pass': round(one_pass, 3)})
            print(f'| {width}x{height}, {count} objects, {how(touching)} | {ours:.2f} | '
                  f'{theirs:.1f} | {theirs / ours:.0f} | {cutting:.1f} | {cutting / ours:.0f} | '
                  f'{one_pass:.2f} | {ours / one_pass:.1f} |', flush=True)
    if beside:
        results = ROOT / 'benchmarks' / 'results'
        results.mkdir(exist_ok=True)
        (results / 'speed.json').write_text(json.dumps(rows, indent=1) + '\n')


def photos(peer: Peer | None, every: int) -> None:
    """Print the table of real masks."""
    print('\n| data | ours: median, mean, slowest | modlib: median, mean | times faster: mean, '
          'median, least |\n|---|---|---|---|')
    # modlib drops what is below 100 pixels: of small nuclei nearly everything.
    alike = SegmentationSettings(size_threshold=100)
    for kind, settings in (('coco_voc20', SETTINGS), ('nuclei', SETTINGS), ('nuclei', alike)):
        files = sorted((ROOT.parent / 'shared' / 'data' / 'masks' / kind).glob('*.npz'))[::every]
        if not files:
            print(f'| {kind} | not here | | |')
            continue
        ours, _, theirs = np.array([pair(np.load(file)['semantic'], [(peer, {})], 2, settings)
                                    for file in files]).T
        quotient = theirs / ours
        least = settings.size_threshold
        print(f'| {kind}, {len(files)} images, ours from {least} px | '
              f'{np.median(ours):.2f}, {ours.mean():.2f}, {ours.max():.2f} | '
              f'{np.median(theirs):.1f}, {theirs.mean():.1f} | '
              f'{theirs.mean() / ours.mean():.0f}, {np.median(quotient):.0f}, '
              f'{quotient.min():.1f} |', flush=True)


def growth(turns: int) -> None:
    """Print what many small objects cost beside few large ones of the same total area."""
    for touching in (False, True):
        few, many = (pair(scene(1080, 1920, count, touching), [], turns)[0]
                     for count in (20, 200))
        print(f'\n1920x1080, same total area, {how(touching)}: 20 objects {few:.1f} ms, '
              f'200 objects {many:.1f} ms, {many / few:.1f} times')


def memory() -> None:
    """Print the extra memory at the peak, in bytes for each pixel of the frame."""
    print('\n| frame | bytes a pixel as NumPy counts | as the system counts |\n|---|---|---|')
    shape = (3040, 4056)
    dumbbell = np.zeros(shape, np.uint8)
    cv2.circle(dumbbell, (1100, 1520), 1050, 15, -1)
    cv2.circle(dumbbell, (2950, 1520), 1050, 15, -1)
    for name, mask in (('4056x3040, 50 objects', scene(*shape, 50)),
                       ('4056x3040, two that fill it', dumbbell)):
        tracemalloc.start()
        segment_instances(mask, SETTINGS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        child = os.fork()
        if not child:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            segment_instances(mask, SETTINGS)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f'| {name} | {peak / mask.size:.1f} | {(after - before) * 1024 / mask.size:.1f}'
                  ' |', flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def worst() -> None:
    """Print the time for masks that no camera gives."""
    rng = np.random.default_rng(0)
    shape = (3040, 4056)
    rows, columns = np.indices(shape, sparse=True)
    print('\n| 4056x3040 | seconds | instances |\n|---|---|---|')
    for name, make in (
            ('one class everywhere', lambda: np.full(shape, 15, np.uint8)),
            ('checkerboard', lambda: ((rows + columns) % 2).astype(np.uint8)),
            ('dots', lambda: ((rows % 2 == 0) & (columns % 2 == 0)).astype(np.uint8)),
            ('noise, two classes', lambda: rng.integers(0, 3, shape, np.uint8)),
            ('noise, one pixel in three', lambda: (rng.random(shape) < 0.35).astype(np.uint8)),
            ('noise, half', lambda: rng.integers(0, 2, shape, np.uint8)),
            ('noise, all 256 values', lambda: rng.integers(0, 256, shape, np.uint8))):
        mask = make()
        start = time.perf_counter()
        count = len(segment_instances(mask, SETTINGS))
        print(f'| {name} | {time.perf_counter() - start:.1f} | {count} |', flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='fewer repetitions and images')
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)  # As nodes do; modlib has the threads that OpenCV takes.
    try:
        peer = Peer('modlib')
    except (RuntimeError, OSError) as error:
        print(f'without modlib: {error}')
        peer = None
    print(f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, '
          f'NumPy {np.__version__}, OpenCV {cv2.__version__}'
          '\nMilliseconds, medians of turns of all sides')
    synthetic(peer is not None, 2 if quick else 5)
    photos(peer, 10 if quick else 1)
    growth(5 if quick else 15)
    memory()
    worst()
    if peer:
        peer.close()


if __name__ == '__main__':
    main()
