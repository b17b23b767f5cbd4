"""
Where the time of each node goes: a program of the package, with stopwatches in it.

Run by ``cost.py --nodes``. The CPU time of each thread is divided among what the nodes do in it;
what is left of the executor's thread is spent on waiting for messages, taking and reading them. A
stopwatch costs about a microsecond. At its end the program writes its times to a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
import contextlib
from functools import wraps
import importlib
import json
from pathlib import Path
import sys
import threading
import time
from typing import Any

from instseg_ros.ros import bus, conversions, health, main, stage_node
from instseg_ros.ros.camera_node import CameraNode

# What is measured, and what each is called; the functions are looked for in the nodes' modules.
ALGORITHMS = ('draw_overlay', 'draw_classes', 'draw_scene', 'debug_view')
CONVERSIONS = ('read_mask', 'image_to_array', 'detections_to_instances', 'array_to_compressed')
MODULES = ('instance_segmentation_node', 'tracker_node', 'overlay_node', 'ground_node',
           'scene_node', 'stage_node')


class Stopwatches:
    """The CPU time spent in each part of each node, without what the parts inside it took."""

    def __init__(self) -> None:
        self.spent: Counter[tuple[str, str]] = Counter()
        self.frames: Counter[str] = Counter()  # that each node has processed
        self.running = False
        self._local = threading.local()

    @contextlib.contextmanager
    def part(self, what: str, node: str = '') -> Iterator[None]:
        open_parts = self._local.__dict__.setdefault('parts', [])
        node = node or (open_parts[-1][0] if open_parts else 'other')
        inside = [node, 0.0]
        open_parts.append(inside)
        started = time.thread_time()
        try:
            yield
        finally:
            taken = time.thread_time() - started
            open_parts.pop()
            if open_parts:
                open_parts[-1][1] += taken
            if self.running:
                self.spent[node, what] += taken - inside[1]

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            with self.part(what):
                return function(*arguments, **options)
        return measured


def put_in(watches: Stopwatches) -> None:
    """Put the stopwatches into the package."""
    from instseg_ros.cameras.synthetic_camera import SyntheticCamera
    from instseg_ros.core import Segmenter, Tracker

    for name in MODULES:
        module = importlib.import_module(f'instseg_ros.ros.{name}')
        for what, functions in (('algorithm', ALGORITHMS), ('conversion', CONVERSIONS)):
            for function in functions:
                if hasattr(module, function):
                    setattr(module, function, watches.timed(what, getattr(module, function)))
    for owner, method, what in ((Segmenter, 'update', 'algorithm'),
                                (Tracker, 'update', 'algorithm'),
                                (SyntheticCamera, 'read', 'source'),
                                (conversions.ArrayImage, 'serialized', 'conversion'),
                                (conversions.InstanceDetections, 'serialized', 'conversion'),
                                (bus.BusPublisher, 'publish', 'publish')):
        setattr(owner, method, watches.timed(what, getattr(owner, method)))

    count_frame = health.Health.frame

    def counted_frame(self: Any, stamp_ns: int) -> None:
        count_frame(self, stamp_ns)
        watches.frames[self._node.get_name()] += watches.running

    health.Health.frame = counted_frame  # type: ignore[method-assign]
    request, publish_captures = stage_node.StageNode.request, CameraNode._publish_captures

    def measured_request(node: Any, kind: type, topic: str, callback: Any, *others: Any,
                         **options: Any) -> Any:
        def measured(message: Any) -> None:
            with watches.part('callback', node.get_name()):
                callback(message)
        return request(node, kind, topic, measured, *others, **options)

    def measured_captures(node: Any) -> None:
        with watches.part('callback', node.get_name()):
            publish_captures(node)

    stage_node.StageNode.request = measured_request  # type: ignore[method-assign]
    CameraNode._publish_captures = measured_captures  # type: ignore[method-assign]


def thread_times() -> dict[str, float]:
    """Return the CPU time of the Python threads by name, and of all others together."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    times: Counter[str] = Counter()
    for folder in Path('/proc/self/task').iterdir():
        run_ns = int((folder / 'schedstat').read_text().split()[0])
        times[names.get(int(folder.name), 'middleware')] += run_ns / 1e9
    return dict(times)


def run(file: str, warm_up_s: float, duration_s: float, program: str) -> int:
    watches = Stopwatches()
    put_in(watches)

    def measure() -> None:
        time.sleep(warm_up_s)
        before, watches.running = thread_times(), True
        time.sleep(duration_s)
        watches.running = False
        used = {name: t - before.get(name, 0.0) for name, t in thread_times().items()}
        Path(file).write_text(json.dumps({
            'threads': used, 'frames': watches.frames,
            'parts': [(*key, s) for key, s in watches.spent.items()]}))

    threading.Thread(target=measure, daemon=True, name='measure').start()
    return int(getattr(main, program)())


if __name__ == '__main__':
    file, warm_up, duration, program, *sys.argv[1:] = sys.argv[1:]
    sys.exit(run(file, float(warm_up), float(duration), program))
