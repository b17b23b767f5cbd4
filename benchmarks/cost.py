"""
What a frame costs: CPU time and memory of the pipeline, in one process and with one for each node.

camera_node (synthetic scene, drawn in the node), instance_segmentation_node and tracker_node run
for a while, with a subscriber to the tracks in a process apart; with the overlay, overlay_node
runs too, and the subscriber also looks at its pictures. The CPU time is that of all processes of
the pipeline, user and system, divided by the frames whose tracks arrived. Beside it stands the
same in labelling passes: one pass is ``cv2.connectedComponentsWithStats`` of a mask of the scene
in one thread, timed while the pipeline runs (median), so that machines can be compared. Memory is
the sum of the proportional set sizes (PSS), in which shared pages count once. What drawing the
scene takes, which no real camera does, is measured apart and stands in the last column.

Runs take turns, with those of another checkout of this package where ``--before`` names one; the
table has the median of each. Then ``results/cost.json`` is written, too.

    scripts/environment python benchmarks/cost.py [--duration S] [--rounds N] [--rate HZ]
        [--size WIDTHxHEIGHT] [--before DIRECTORY]
    scripts/environment python benchmarks/cost.py --nodes

With ``--nodes`` a table says where the time of each node goes, in milliseconds a frame.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
import contextlib
import itertools
import json
import os
from pathlib import Path
import re
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
from instseg_ros.cameras.synthetic import SyntheticScene
from instseg_ros.messages import topics
from instseg_ros.ros.main import command
from instseg_ros.ros.probe import own_domain
from instseg_ros.ros.stage_node import OFFERED
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from tables import write_part
from vision_msgs.msg import Detection2DArray

SIZES = ((640, 480), (1280, 720))
NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node')
WARM_UP_S = 3.0
TIMEOUT_S = 60.0
PASSES = 3  # after each other, twice a second
PARTS = ('source', 'algorithm', 'conversion', 'publish', 'other')
TICK_S = 1 / os.sysconf('SC_CLK_TCK')


def descendants(pid: int) -> list[int]:
    """Return a process and those that it started, the camera's for instance."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [pid, *itertools.chain(*(descendants(int(child)) for child in children))]


def cpu_s(pid: int) -> float:
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory_mb(pid: int) -> float:
    found = re.search(r'^Pss:\s+(\d+) kB', Path(f'/proc/{pid}/smaps_rollup').read_text(), re.M)
    return int(found[1]) / 1e3


def programs(nodes: tuple[str, ...], one: bool, camera: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the programs that run nodes, each with its arguments."""
    if one:
        return {'pipeline': [*nodes, *camera]}
    return {name: list(camera if name == 'camera_node' else ()) for name in nodes}


def camera_arguments(size: tuple[int, int], rate_hz: float) -> tuple[str, ...]:
    return ('--ros-args', '-p', 'source:=synthetic', '-p', 'own_process:=false',
            '-p', f'width:={size[0]}', '-p', f'height:={size[1]}', '-p', f'frame_rate:={rate_hz}')


@contextlib.contextmanager
def running(commands: list[list[str]], checkout: Path | None = None) -> Iterator[list[int]]:
    environment = os.environ | ({'PYTHONPATH': str(checkout)} if checkout else {})
    # Python looks for packages in the folder where it is started, before all others.
    processes = [subprocess.Popen(words, env=environment, cwd=checkout) for words in commands]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)


class Watcher:
    """The subscriber outside: counts frames, and times labelling passes meanwhile."""

    def __init__(self, size: tuple[int, int], overlay: bool) -> None:
        self._node = rclpy.create_node('cost_watcher')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self.frames = self.pictures = 0
        self._node.create_subscription(Detection2DArray, topics.TRACKS, self._on_tracks, OFFERED)
        if overlay:
            self._node.create_subscription(Image, topics.OVERLAY, self._on_picture, OFFERED,
                                           raw=True)
        scene = SyntheticScene(*size)
        self._scenes = itertools.cycle([(scene, t / 2) for t in range(20)])
        self.passes: list[float] = []
        self.drawings: list[float] = []

    def _on_tracks(self, _: Detection2DArray) -> None:
        self.frames += 1

    def _on_picture(self, _: bytes) -> None:
        self.pictures += 1

    def warm_up(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not self.frames:
            if time.monotonic() > deadline:
                raise SystemExit(f'expected tracks within {TIMEOUT_S:g} s, got none')
            self._executor.spin_once(timeout_sec=0.1)
        self.watch(WARM_UP_S)

    def watch(self, duration_s: float) -> None:
        end = time.monotonic() + duration_s
        due = 0.0
        while time.monotonic() < end:
            if time.monotonic() > due:
                due = time.monotonic() + 0.5
                scene, at_s = next(self._scenes)
                started = time.thread_time()
                mask = scene.at(at_s).mask
                self.drawings.append(time.thread_time() - started)
                mask = mask.clip(0, 1)
                for _ in range(PASSES):
                    started = time.thread_time()
                    cv2.connectedComponentsWithStats(mask)
                    self.passes.append(time.thread_time() - started)
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()


def measure(size: tuple[int, int], overlay: bool, one: bool, options: argparse.Namespace,
            checkout: Path | None = None) -> dict[str, float]:
    """Return what one run costs, of this package or of another checkout of it."""
    nodes = (*NODES, 'overlay_node') if overlay else NODES
    started = programs(nodes, one, camera_arguments(size, options.rate))
    with own_domain(), running([[*command(program), *arguments]
                                for program, arguments in started.items()],
                               checkout) as pids:
        rclpy.init()
        watcher = Watcher(size, overlay)
        try:
            watcher.warm_up()
            everybody = [child for pid in pids for child in descendants(pid)]
            before, frames = sum(map(cpu_s, everybody)), watcher.frames
            pictures = watcher.pictures
            watcher.watch(options.duration)
            used = sum(map(cpu_s, everybody)) - before
            frames = watcher.frames - frames
            memory = sum(map(memory_mb, everybody))
            if overlay and watcher.pictures - pictures < 0.9 * frames:
                print(f'only {watcher.pictures - pictures} overlays of {frames} frames',
                      file=sys.stderr)
        finally:
            watcher.close()
            rclpy.try_shutdown()
    one_pass = statistics.median(watcher.passes)
    return {'cpu_ms': 1e3 * used / frames, 'pass_ms': 1e3 * one_pass,
            'passes': used / frames / one_pass, 'memory_mb': memory,
            'rate_hz': frames / options.duration,
            'drawing_ms': 1e3 * statistics.median(watcher.drawings)}


def measure_nodes(size: tuple[int, int], one: bool, options: argparse.Namespace
                  ) -> dict[str, Counter[str]]:
    """Return milliseconds a frame of each part of each node, and of what belongs to none."""
    spent: dict[str, Counter[str]] = {}
    started = programs((*NODES, 'overlay_node'), one, camera_arguments(size, options.rate))
    with tempfile.TemporaryDirectory() as folder, own_domain():
        files = [Path(folder, f'{program}.json') for program in started]
        measured = Path(__file__).with_name('cost_of_nodes.py')
        with running([[sys.executable, str(measured), str(file), '8', str(options.duration),
                       program, *arguments]
                      for file, (program, arguments) in zip(files, started.items(), strict=True)]):
            rclpy.init()
            watcher = Watcher(size, overlay=True)
            try:
                watcher.warm_up()
                while not all(file.exists() and file.read_text() for file in files):
                    watcher.watch(1.0)
            finally:
                watcher.close()
                rclpy.try_shutdown()
        reports = [json.loads(file.read_text()) for file in files]
        # As many as were tracked: what it costs when more were drawn is theirs to bear.
        frames = max(report['frames'].get('tracker_node', 0) for report in reports)
        for found, program in zip(reports, started, strict=True):
            threads = Counter(found['threads'])
            for node, part, seconds in found['parts']:
                part = part if part in PARTS else 'other'
                spent.setdefault(node, Counter())[part] += 1e3 * seconds / frames
                threads['camera' if node == 'camera_node' else 'executor'] -= seconds
            if 'camera_node' in spent and threads['camera'] > 0:
                spent['camera_node']['other'] += 1e3 * threads.pop('camera') / frames
            spent[f'executor of {program}'] = Counter(
                other=1e3 * (threads['executor'] + threads['MainThread']) / frames)
            spent[f'middleware of {program}'] = Counter(other=1e3 * threads['middleware'] / frames)
    return spent


def title(size: tuple[int, int], overlay: bool, one: bool) -> str:
    count = 1 if one else len(NODES) + overlay
    return f'{size[0]}x{size[1]} {"yes" if overlay else "no"} {count}'


def as_size(text: str) -> tuple[int, int]:
    width, height = text.split('x')
    return int(width), int(height)


def print_nodes(options: argparse.Namespace) -> None:
    for size, one in itertools.product(SIZES, (False, True)):
        print(f'{size[0]}x{size[1]}, {"one process" if one else "a process for each node"}')
        print(f'{"":42}' + ''.join(f'{part:>11}' for part in PARTS) + f'{"all, ms":>11}')
        total: Counter[str] = Counter()
        for name, parts in measure_nodes(size, one, options).items():
            total += parts
            print(f'{name:42}' + ''.join(f'{parts[part]:>11.2f}' for part in PARTS)
                  + f'{parts.total():>11.2f}', flush=True)
        print(f'{"all":42}' + ''.join(f'{total[part]:>11.2f}' for part in PARTS)
              + f'{total.total():>11.2f}', flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--duration', type=float, default=20.0, metavar='S')
    parser.add_argument('--rounds', type=int, default=3, metavar='N')
    parser.add_argument('--rate', type=float, default=30.0, metavar='HZ')
    parser.add_argument('--size', type=as_size, action='append', metavar='WIDTHxHEIGHT')
    parser.add_argument('--before', type=Path, metavar='DIRECTORY',
                        help='another checkout of this package, measured in turns with this one')
    parser.add_argument('--nodes', action='store_true', help='where the time of each node goes')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.nodes:
        print_nodes(options)
        return 0
    checkouts = {'now': None} | ({'before': options.before} if options.before else {})
    print(f'{"size":>9} {"overlay":>8} {"processes":>10} {"code":>7} {"CPU ms":>7} {"pass ms":>8} '
          f'{"passes":>7} {"memory":>8} {"rate Hz":>8} {"drawing ms":>11}', flush=True)
    for size, overlay in itertools.product(options.size or SIZES, (False, True)):
        kinds = [(one, code) for one in (False, True) for code in checkouts]
        runs: dict[tuple[bool, str], list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for one, code in kinds:
                runs[one, code].append(measure(size, overlay, one, options, checkouts[code]))
        rows: dict[str, dict] = {}
        for (one, code), measured in runs.items():
            said = {key: statistics.median(run[key] for run in measured) for key in measured[0]}
            row = title(size, overlay, one)
            rows.setdefault(row, {})[code] = said
            print('{:>9} {:>8} {:>10} '.format(*row.split())
                  + f'{code:>7} {said["cpu_ms"]:>7.1f} {said["pass_ms"]:>8.2f} '
                  f'{said["passes"]:>7.1f} {said["memory_mb"]:>5.0f} MB {said["rate_hz"]:>8.2f} '
                  f'{said["drawing_ms"]:>11.1f}', flush=True)
        if options.before:
            write_part('cost', 'rows', rows, [title(*kind) for kind in itertools.product(
                SIZES, (False, True), (True, False))])
    return 0


if __name__ == '__main__':
    sys.exit(main())
