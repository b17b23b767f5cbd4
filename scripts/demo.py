"""Run the nodes for a while, watch them from outside, and write down what was seen."""

import argparse
from contextlib import closing
from importlib import import_module
import json
from pathlib import Path
import shutil
import sys
import time

import cv2
from instseg_ros.messages.topics import is_optional, OVERLAY, RECORDED
from instseg_ros.messages.topics import LATCHED as LATCHED_TOPICS
from instseg_ros.recordings.writer import BagWriter, offered_qos
from instseg_ros.ros.conversions import image_to_array
from instseg_ros.ros.probe import (own_domain, ProbeError, START_TIMEOUT_S,
                                   watch_pipeline)
from instseg_ros.ros.stage_node import LATCHED, OFFERED
from rclpy.node import Node
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image

NODES = ('camera_node', 'instance_segmentation_node', 'tracker_node', 'overlay_node')
TOPICS = {**RECORDED, f'{OVERLAY}/compressed': 'sensor_msgs/msg/CompressedImage'}
PICTURES = 8


class Recorder(Node):
    """Writes every topic to a rosbag2 recording: rosbag2 itself has no wheel."""

    def __init__(self, writer):
        super().__init__('recorder')
        self._writer = writer
        for topic, kind in TOPICS.items():
            self._record(topic, kind)

    def _record(self, topic, kind):
        package, _, name = kind.split('/')
        recorded, latched = '/' + topic.lstrip('/'), topic in LATCHED_TOPICS
        self._writer.add_topic(recorded, kind, (offered_qos(latched),))
        self.create_subscription(
            getattr(import_module(f'{package}.msg'), name), topic,
            lambda data: self._writer.write(recorded, time.time_ns(), data),
            LATCHED if latched else OFFERED, raw=True)


class Photographer(Node):
    """Keeps an overlay now and then."""

    def __init__(self, folder, period_s):
        super().__init__('photographer')
        self._folder = folder
        self._period_s = period_s
        self._due_s = 0.0
        self.count = 0
        self.create_subscription(Image, OVERLAY, self._on_image, OFFERED)

    def _on_image(self, message):
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._period_s
            self.count += 1
            cv2.imwrite(str(self._folder / f'overlay_{self.count:02d}.png'),
                        image_to_array(message, 'bgr8'))


def main():
    options = parse_arguments()
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    for old in (*output.glob('overlay_*.png'), output / 'summary.json'):
        old.unlink(missing_ok=True)
    shutil.rmtree(output / 'recording', ignore_errors=True)
    with own_domain():
        try:
            summary, pictures = watch(options, output)
            check(summary, pictures, output)
        except ProbeError as error:
            print(f'demo: {error}', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print_table(summary, output)
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(prog='scripts/demo', description=__doc__)
    parser.add_argument('--source', default='sample',
                        help='sample, synthetic or the path of a recording (default: sample)')
    parser.add_argument('--duration', type=float, default=20.0, metavar='S',
                        help='seconds that are measured (default: 20)')
    parser.add_argument('--output', default='demo_output', metavar='DIR',
                        help='folder for pictures, recording and summary (default: demo_output)')
    parser.add_argument('--start-timeout', type=float, default=START_TIMEOUT_S, metavar='S',
                        help='seconds to wait for the first tracks (default: %(default)g)')
    options = parser.parse_args()
    if not options.duration > 0:
        parser.error(f'--duration: expected more than 0 seconds, got {options.duration:g}')
    return options


def watch(options, output):
    """Return the summary and the number of pictures of a run of the real nodes."""
    print(f'running {", ".join(NODES)} on {options.source} for {options.duration:g} s', flush=True)
    programs = dict.fromkeys(NODES, ())
    programs['camera_node'] = ('--ros-args', '-p', f'source:={json.dumps(options.source)}')
    photographers = []

    def photographer():
        photographers.append(Photographer(output, options.duration / PICTURES))
        return photographers[0]

    with closing(BagWriter(output / 'recording')) as writer:
        summary = watch_pipeline(programs, options.duration, options.source,
                                 (lambda: Recorder(writer), photographer), options.start_timeout)
    return summary, photographers[0].count


def check(summary, pictures, output):
    """Write the summary; raise ProbeError when anything is missing."""
    (output / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    with Reader(output / 'recording') as reader:
        empty = {'/' + topic.lstrip('/') for topic in TOPICS if not is_optional(topic)} - {
            c.topic for c in reader.connections if c.msgcount}
    if not summary['frames_sent'] or not summary['detections'] or not summary['tracks']:
        raise ProbeError(f'expected frames, detections and tracks, got {summary}')
    if pictures < 6:
        raise ProbeError(f'expected at least 6 overlay pictures, got {pictures}')
    if empty:
        raise ProbeError(f'expected messages of every topic in the recording, none of '
                         f'{", ".join(sorted(empty))}')


def print_table(summary, output):
    latency = summary['latency_ms']
    rows = [('ROS 2', summary['ros_distro']), ('source', summary['source']),
            ('frames', summary['frames_sent']), ('detections', summary['detections']),
            ('tracks', summary['tracks']), ('rate', f'{summary["rate_hz"]:.1f} Hz'),
            ('latency p50', f'{latency["p50"]:.1f} ms'),
            ('latency p95', f'{latency["p95"]:.1f} ms'),
            ('latency p99', f'{latency["p99"]:.1f} ms'), ('lost frames', summary['frames_lost'])]
    print('\n'.join(f'{name:<12} {value:>12}' for name, value in rows))
    print(f'pictures, recording and summary.json are in {output}/')


if __name__ == '__main__':
    sys.exit(main())
