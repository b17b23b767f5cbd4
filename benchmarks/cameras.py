#!/usr/bin/env python3
"""
From the camera to published messages: latency, CPU and losses, with and without a process border.

Run it as `scripts/environment python benchmarks/cameras.py`. It starts camera_node on the
synthetic camera, listens to frames and masks from another process as a user's node would, and
kills the capture process ten times at the end. Latency counts from the stamp, so the drawing of
the frame (1 to 3 ms) is part of it, and of the CPU of whoever draws.
"""

import argparse
from contextlib import ExitStack
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from domain_coordinator import domain_id
from instseg_ros.messages import topics
from instseg_ros.ros.stage_node import OFFERED
from instseg_ros.ros.transport import transport_variables
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.subscription import MessageInfo
from sensor_msgs.msg import Image

SIZES = ((640, 480), (1280, 720))
WARM_UP_S = 3.0
TICKS = os.sysconf('SC_CLK_TCK')


class Listener(Node):
    """Notes when each frame was taken, published and received."""

    def __init__(self):
        super().__init__('listener')
        self.frames, self.masks = [], []
        self.numbers = []
        self.values = {}
        self.create_subscription(Image, topics.IMAGE, self._on_frame, OFFERED)
        self.create_subscription(Image, topics.MASK, self._on_mask, OFFERED)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_health, 10)

    def _on_frame(self, message, info: MessageInfo):
        stamp = message.header.stamp
        self.frames.append((stamp.sec * 10**9 + stamp.nanosec, info['source_timestamp'],
                            time.time_ns()))
        self.numbers.append(info['publication_sequence_number'])

    def _on_mask(self, message):
        self.masks.append(message.header.stamp)

    def _on_health(self, message):
        for status in message.status:
            self.values = {v.key: v.value for v in status.values}


def cpu_s(pid):
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid):
    return [int(p) for p in Path(f'/proc/{pid}/task').glob('*/children')
            for p in p.read_text().split()]


def percentile(values, share):
    return float(np.percentile(values, share)) if len(values) else float('nan')


class Run:
    """One camera_node and one listener."""

    def __init__(self, width, height, rate, own_process):
        arguments = ['source:=synthetic', f'width:={width}', f'height:={height}',
                     f'frame_rate:={float(rate)}', f'own_process:={str(own_process).lower()}']
        self.process = subprocess.Popen(
            ['camera_node', '--ros-args', '--log-level', 'error',
             *(a for p in arguments for a in ('-p', p))], stderr=subprocess.DEVNULL)
        self.listener = Listener()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.listener)
        self.until(lambda: self.listener.frames, 30)

    def until(self, happened, timeout_s):
        end = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def spin(self, seconds):
        self.until(lambda: False, seconds)

    def measure(self, seconds):
        pids = [self.process.pid, *children(self.process.pid)]
        before = [cpu_s(p) for p in pids]
        for collected in (self.listener.frames, self.listener.masks, self.listener.numbers):
            collected.clear()
        started = time.monotonic()
        self.spin(seconds)
        seconds = time.monotonic() - started
        used = [100 * (cpu_s(p) - b) / seconds for p, b in zip(pids, before, strict=True)]
        frames = np.array(self.listener.frames)
        published = (frames[:, 1] - frames[:, 0]) / 1e6
        received = (frames[:, 2] - frames[:, 0]) / 1e6
        numbers = self.listener.numbers
        return {'rate': len(frames) / seconds, 'frames': len(frames),
                'lost': numbers[-1] - numbers[0] + 1 - len(numbers)
                + int(self.listener.values.get('captures lost on the way', 0)),
                'node cpu': used[0], 'capture cpu': sum(used[1:]),
                'published p50': percentile(published, 50),
                'published p99': percentile(published, 99),
                'received p50': percentile(received, 50),
                'received p99': percentile(received, 99)}

    def kill(self, times):
        """
        Kill the capture process again and again.

        Returns how long it took each time until a frame that was taken after it was received, and
        how far the stamps of the frames on both sides are apart, in seconds.
        """
        frames, taken, gaps = self.listener.frames, [], []
        for _ in range(times):
            self.spin(1.0)
            pid, = children(self.process.pid)
            os.kill(pid, signal.SIGKILL)
            killed, killed_ns = time.monotonic(), time.time_ns()
            self.until(lambda t=killed_ns: frames[-1][0] > t, 30)
            taken.append(time.monotonic() - killed)
            last = max(stamp for stamp, *_ in frames if stamp <= killed_ns)
            gaps.append((frames[-1][0] - last) / 1e9)
        return taken, gaps

    def close(self):
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.executor.shutdown()
        self.listener.destroy_node()
        return time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--seconds', type=float, default=20.0, help='of each measurement')
    parser.add_argument('--rate', type=float, default=30.0, help='frames per second')
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--load', type=int, default=0,
                        help='processes that compute for nothing meanwhile, at the same priority')
    options = parser.parse_args()
    print('| size | camera | rate (Hz) | lost | CPU node + capture (% of a core) | '
          'stamp to published p50 / p99 (ms) | to received p50 / p99 (ms) |')
    print('|---|---|---|---|---|---|---|')
    lost, recoveries, gaps, ends = 0, [], [], []
    with ExitStack() as others:
        for _ in range(options.load):
            busy = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
            others.callback(busy.wait)
            others.callback(busy.kill)
        for width, height in SIZES:
            for own_process in (True, False):
                run = Run(width, height, options.rate, own_process)
                run.spin(WARM_UP_S)
                got = run.measure(options.seconds)
                lost += got['lost']
                print(f"| {width}x{height} | {'own process' if own_process else 'in the node'} | "
                      f"{got['rate']:.1f} | {got['lost']} of {got['frames']} | "
                      f"{got['node cpu']:.0f} + {got['capture cpu']:.0f} | "
                      f"{got['published p50']:.1f} / {got['published p99']:.1f} | "
                      f"{got['received p50']:.1f} / {got['received p99']:.1f} |", flush=True)
                if own_process:
                    for collected, some in zip((recoveries, gaps), run.kill(options.kills),
                                               strict=True):
                        collected += some
                ends.append(run.close())
    print(f'\n{len(recoveries)} SIGKILLs of the capture process: a new frame after '
          f'{percentile(recoveries, 50):.2f} s (median), {max(recoveries):.2f} s (longest); '
          f'frames at most {max(gaps):.2f} s apart; Ctrl-C ended all within {max(ends):.2f} s')
    return 0 if lost == 0 and max(recoveries) < 2 and max(ends) < 2 else 1


if __name__ == '__main__':
    os.environ.update(transport_variables(os.environ))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    with domain_id() as domain:
        os.environ['ROS_DOMAIN_ID'] = str(domain)
        rclpy.init()
        try:
            sys.exit(main())
        finally:
            rclpy.try_shutdown()
