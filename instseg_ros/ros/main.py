"""The programs: one node each, or the whole pipeline in one process."""

from __future__ import annotations

import gc
from importlib import import_module
from itertools import takewhile
import os
from queue import SimpleQueue
import re
import signal
import sys
from typing import Any

_NODES = {'camera_node': 'CameraNode',
          'instance_segmentation_node': 'InstanceSegmentationNode',
          'tracker_node': 'TrackerNode', 'overlay_node': 'OverlayNode',
          'ground_node': 'GroundNode', 'scene_node': 'SceneNode'}
_OPTIONAL = {'ground_node', 'scene_node'}
# What core imports when it is needed, which would be amid a frame; and nodes that never need it.
_WHEN_ASKED_FOR = {
    'scipy.ndimage': {'camera_node'},
    'scipy.optimize': {'camera_node', 'overlay_node', 'ground_node', 'scene_node'}}


def camera_node() -> int:
    """Run the camera node."""
    return _run('camera_node')


def instance_segmentation_node() -> int:
    """Run the instance segmentation node."""
    return _run('instance_segmentation_node')


def tracker_node() -> int:
    """Run the tracker node."""
    return _run('tracker_node')


def overlay_node() -> int:
    """Run the overlay node."""
    return _run('overlay_node')


def ground_node() -> int:
    """Run the ground node."""
    return _run('ground_node')


def scene_node() -> int:
    """Run the scene node."""
    return _run('scene_node')


def pipeline() -> int:
    """Run camera to overlay in one process, or the nodes whose names are the arguments."""
    # ROS's own arguments start with --ros-args, and come last.
    given = list(takewhile(lambda argument: argument != '--ros-args', sys.argv[1:]))
    unknown = [name for name in given if name not in _NODES]
    if unknown:
        sys.exit(f'pipeline: expected names out of {", ".join(_NODES)}, got {unknown[0]}')
    return _run(*(given or [name for name in _NODES if name not in _OPTIONAL]))


def command(program: str) -> list[str]:
    """Return the command that runs a program with this interpreter, wherever it is installed."""
    return [sys.executable, '-c',
            f'import sys; from {__name__} import {program}; sys.exit({program}())']


def _refusal(error: Exception) -> str:
    """Return what rclpy says of arguments that it does not take, without its sources' lines."""
    text = re.sub(r',? at /\S+|failed to initialize rcl: |Error: Expected lexeme.*', '',
                  str(error))
    return ('expected arguments such as --ros-args -p NAME:=VALUE -r OLD:=NEW -r __ns:=/ROBOT '
            f'--params-file FILE --log-level info; {" ".join(text.split())}')


def _run(*names: str) -> int:
    """Run nodes until Ctrl-C, SIGTERM or a shutdown of ROS; no traceback for any of them."""
    # Importing takes a second, in which Ctrl-C must not end in a traceback either.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit(0))
    import cv2
    for module, without in _WHEN_ASKED_FOR.items():
        if not without.issuperset(names):
            import_module(module)
    try:
        import rclpy
        import rclpy.signals

        from .bus import Bus
        from .executor import new_executor, Spinner
        from .transport import transport_variables
    except ImportError as error:
        sys.exit(f'{names[0]} needs ROS 2, which is not here ({error}): source its setup file, '
                 'or try scripts/demo of the source tree')
    # The nodes share the cores with each other: a pool of threads in each only waits for its turn.
    cv2.setNumThreads(1)
    # Before rclpy loads the middleware; a launch file has done it already.
    os.environ.update(transport_variables(os.environ))
    classes = [getattr(import_module(f'.{name}', __package__), _NODES[name]) for name in names]
    # rclpy's own handler would take the context away from a callback that is publishing.
    try:
        rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    except Exception as error:  # of its C library, which has no public names
        sys.exit(f'{names[0]}: {_refusal(error)}')
    # Not an Event: a second signal while the first one is heard would find its lock taken.
    stop: SimpleQueue[None] = SimpleQueue()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: stop.put(None))
    executor = new_executor()
    # A single node has nobody to hand messages to.
    bus = Bus(executor) if len(names) > 1 else None
    nodes: list[Any] = []
    spinner = Spinner(executor, lambda: stop.put(None))
    try:
        # The camera last: it begins at once.
        for kind in reversed(classes):
            # Those that start after the camera are the ones that it waits for.
            options = {'followers': names[1:]} if kind.__name__ == 'CameraNode' else {}
            nodes.append(kind(bus=bus, **options))
            executor.add_node(nodes[-1])
        # What was imported stays: searching it for garbage again and again costs frames 20 ms.
        gc.collect()
        gc.freeze()
        spinner.start()
        stop.get()
    finally:
        spinner.end()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    if spinner.failure:
        raise spinner.failure
    return 0
