"""A probe at the ends of the pipeline: how many frames, how late, how many lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
from dataclasses import dataclass
import os
import signal
import subprocess
import time
from typing import Any

from domain_coordinator import domain_id
from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_ns
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from .main import command
from .stage_node import OFFERED
from .transport import transport_variables

WARM_UP_S = 1.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
GRACE_S = 1.0  # for the tracks of the last frames


class ProbeError(RuntimeError):
    """The pipeline did not do what it was started for."""


@dataclass(frozen=True)
class _Sent:
    """A frame that arrived: when it was published, and as which of its publisher's."""

    time_ns: int
    number: int | None


class PipelineProbe(Node):
    """
    Counts frames and tracks, and times the way from the one to the other.

    A frame's publication and the arrival of its tracks are the middleware's own times. Frames
    that never reached the probe are known by the publisher's sequence numbers.
    """

    def __init__(self) -> None:
        super().__init__('pipeline_probe')
        self._sent: dict[int, _Sent] = {}
        self._tracked: dict[int, int] = {}
        self._ids: dict[int, list[str]] = {}
        # The probe must not be what loses frames: it asks for reliable delivery.
        self.create_subscription(Image, topics.IMAGE, self._on_frame, OFFERED)
        self.create_subscription(Detection2DArray, topics.TRACKS, self._on_tracks, OFFERED)

    def _on_frame(self, message: Image, info: dict[str, Any]) -> None:
        self._sent[stamp_ns(message)] = _Sent(
            info['source_timestamp'], info.get('publication_sequence_number'))

    def _on_tracks(self, message: Detection2DArray, info: dict[str, Any]) -> None:
        self._tracked[stamp_ns(message)] = info['received_timestamp']
        self._ids[stamp_ns(message)] = [d.id for d in message.detections]

    @property
    def started(self) -> bool:
        """Whether frames and tracks arrive."""
        return bool(self._sent and self._tracked)

    def summary(self, source: str, end_ns: int) -> dict[str, Any]:
        """
        Return the figures of the frames from a second after the first frame and tracks on.

        Parameters
        ----------
        source : str
            Where the frames came from, for the record.
        end_ns : int
            Later frames do not count: their tracks may be on their way. Nanoseconds since 1970.

        """
        start_ns = int(WARM_UP_S * 1e9) + max(
            min(self._tracked.values()), min(frame.time_ns for frame in self._sent.values()))
        sent = {stamp: frame for stamp, frame in self._sent.items()
                if start_ns <= frame.time_ns <= end_ns}
        tracked = {stamp for stamp, time_ns in self._tracked.items()
                   if stamp in sent or (stamp not in self._sent and start_ns <= time_ns <= end_ns)}
        frames = list(sent.values())
        numbers = [f.number for f in frames if f.number is not None]
        count = max(numbers) - min(numbers) + 1 if len(numbers) == len(frames) > 0 else len(frames)
        latencies = [(self._tracked[stamp] - frame.time_ns) / 1e6
                     for stamp, frame in sent.items() if stamp in tracked]
        seconds = (end_ns - start_ns) / 1e9
        percentiles = np.percentile(latencies, (50, 95, 99)) if latencies else (0.0,) * 3
        return {
            'source': source,
            'ros_distro': os.environ.get('ROS_DISTRO', ''),
            'frames_sent': count,
            'frames_lost': count - len(tracked),
            'detections': sum(len(self._ids[stamp]) for stamp in tracked),
            'tracks': len({i for stamp in tracked for i in self._ids[stamp] if i}),
            'rate_hz': round(len(tracked) / seconds, 2),
            'latency_ms': {name: round(float(value), 2) for name, value in
                           zip(('p50', 'p95', 'p99'), percentiles, strict=True)},
        }


@contextlib.contextmanager
def own_domain() -> Iterator[None]:
    """Keep what is started inside to this machine and out of others' way."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(transport_variables(os.environ))
    with domain_id() as domain:
        os.environ['ROS_DOMAIN_ID'] = str(domain)
        yield


def watch_pipeline(programs: Mapping[str, Sequence[str]], duration_s: float, source: str,
                   observers: Sequence[Callable[[], Node]] = (),
                   start_timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
    """
    Run nodes in processes of their own and return what the probe saw of them.

    Parameters
    ----------
    programs : mapping of str to sequence of str
        Programs of this package, each with its arguments.
    duration_s : float
        How long to watch after the first second, in seconds.
    source : str
        Where the frames come from, for the summary.
    observers : sequence of callable
        Each returns a node that runs beside the probe.
    start_timeout_s : float
        How long to wait for the first tracks, in seconds.

    Returns
    -------
    dict
        As :meth:`PipelineProbe.summary` gives it.

    Raises
    ------
    ProbeError
        A program ended, or no tracks came.

    """
    processes = {name: subprocess.Popen([*command(name), *arguments])
                 for name, arguments in programs.items()}
    rclpy.init()
    executor = SingleThreadedExecutor()
    nodes: list[Node] = []

    def spin_until(done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
            for name, process in processes.items():
                if process.poll() is not None:
                    raise ProbeError(f'{name} ended with code {process.returncode}')

    try:
        probe = PipelineProbe()
        nodes.append(probe)
        nodes += [observer() for observer in observers]
        for node in nodes:
            executor.add_node(node)
        spin_until(lambda: probe.started, start_timeout_s)
        if not probe.started:
            raise ProbeError(f'expected frames and tracks within {start_timeout_s:g} s, got none; '
                             'what the nodes say is above')
        spin_until(lambda: False, WARM_UP_S + duration_s)
        end_ns = time.time_ns()
        spin_until(lambda: False, GRACE_S)
        return probe.summary(source, end_ns)
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        _stop(processes.values())


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
