"""
Frames lost, latency between camera and tracks and age of tracks, on one machine.

camera_node (synthetic scene, drawn in the node), instance_segmentation_node and tracker_node run
in one process, or each in its own. Another process, this one, subscribes to the frames (bgr8) and
to the tracks. The latency of a frame is the time from its publication, as the middleware stamps
it, to the arrival of its tracks; the age of tracks is the time from their stamp, when the frame
was taken, to their arrival. The first second is left out; lost frames are counted by the
publisher's sequence numbers: those that were skipped (parameter when_late) count too, and with
``--when-late wait`` none is.

    scripts/environment python benchmarks/latency.py [--duration S] [--rate HZ] [--busy N]

With ``--busy 6`` six other processes compute all the time, so that the machine is too slow.
"""

import argparse
import itertools
import subprocess
import sys
import time

from instseg_ros.messages import topics
from instseg_ros.messages.stamps import stamp_ns
from instseg_ros.ros.probe import own_domain, watch_pipeline
from instseg_ros.ros.stage_node import OFFERED
import numpy as np
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

SIZES = ((640, 480), (1280, 720))
NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node')
BUSY = 'while True: pass'
WARM_UP = 30  # tracks


class AgeOfTracks(Node):
    """Measures how old tracks are when they arrive, and how many tracks go through the scene."""

    def __init__(self):
        super().__init__('age_of_tracks')
        self.ages_ms = []
        self.create_subscription(Detection2DArray, topics.TRACKS, self._on_tracks, OFFERED)

    def _on_tracks(self, message):
        self.ages_ms.append((time.time_ns() - stamp_ns(message)) / 1e6)


def measure(size, one, options):
    """Return what was seen of one run."""
    # Each node takes what is its own.
    parameters = ('--ros-args', '-p', 'source:=synthetic', '-p', 'own_process:=false',
                  '-p', f'width:={size[0]}', '-p', f'height:={size[1]}',
                  '-p', f'frame_rate:={options.rate}', '-p', f'when_late:={options.when_late}')
    programs = ({'pipeline': (*NODES, *parameters)} if one else
                dict.fromkeys(NODES, parameters))
    observers = []

    def observer():
        observers.append(AgeOfTracks())
        return observers[0]

    busy = [subprocess.Popen([sys.executable, '-c', BUSY]) for _ in range(options.busy)]
    try:
        with own_domain():
            seen = watch_pipeline(programs, options.duration, 'synthetic', [observer])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    p50, p95 = np.percentile(observers[0].ages_ms[WARM_UP:], (50, 95))
    return seen | {'age_ms': {'p50': p50, 'p95': p95}}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--duration', type=float, default=60.0, metavar='S')
    parser.add_argument('--rate', type=float, default=30.0, metavar='HZ')
    parser.add_argument('--busy', type=int, default=0, metavar='N',
                        help='other processes that compute all the time')
    parser.add_argument('--when-late', choices=('skip', 'wait'), default='skip',
                        help='what the segmentation does when more than two masks wait')
    options = parser.parse_args()
    print(f'{"":>9} {"":>9} {"":>7} {"":>5} {"":>8} {"latency, ms":>23} {"age, ms":>15}')
    print(f'{"size":>9} {"processes":>9} {"frames":>7} {"lost":>5} {"rate Hz":>8} '
          f'{"p50":>7} {"p95":>7} {"p99":>7} {"p50":>7} {"p95":>7} {"tracks":>7}', flush=True)
    for size, one in itertools.product(SIZES, (True, False)):
        seen = measure(size, one, options)
        latency, age = seen['latency_ms'], seen['age_ms']
        print(f'{f"{size[0]}x{size[1]}":>9} {1 if one else len(NODES):>9} '
              f'{seen["frames_sent"]:>7} {seen["frames_lost"]:>5} {seen["rate_hz"]:>8.2f} '
              f'{latency["p50"]:>7.2f} {latency["p95"]:>7.2f} {latency["p99"]:>7.2f} '
              f'{age["p50"]:>7.2f} {age["p95"]:>7.2f} {seen["tracks"]:>7}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
