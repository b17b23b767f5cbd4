"""
Frames lost and latency between camera and tracks, three processes on one machine.

camera_node (synthetic scene, drawn in the node), instance_segmentation_node and tracker_node run
as processes of their own. A fourth process, this one, subscribes to the frames (bgr8) and to the
tracks. The latency of a frame is the time from its publication, as the
middleware stamps it, to the arrival of its tracks. The first second is left out; lost frames are
counted by the publisher's sequence numbers.

    scripts/environment python benchmarks/latency.py [--duration S] [--rate HZ]
"""

import argparse
import sys

from instseg_ros.ros.probe import own_domain, watch_pipeline

SIZES = ((640, 480), (1280, 720))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--duration', type=float, default=60.0, metavar='S')
    parser.add_argument('--rate', type=float, default=30.0, metavar='HZ')
    options = parser.parse_args()
    print(f'{"size":>9} {"frames":>7} {"lost":>5} {"rate Hz":>8} '
          f'{"p50 ms":>7} {"p95 ms":>7} {"p99 ms":>7}', flush=True)
    for width, height in SIZES:
        camera = ('--ros-args', '-p', 'source:=synthetic', '-p', 'own_process:=false',
                  '-p', f'width:={width}',
                  '-p', f'height:={height}', '-p', f'frame_rate:={options.rate}')
        with own_domain():
            seen = watch_pipeline({'camera_node': camera, 'instance_segmentation_node': (),
                                   'tracker_node': ()}, options.duration, 'synthetic')
        latency = seen['latency_ms']
        print(f'{f"{width}x{height}":>9} {seen["frames_sent"]:>7} {seen["frames_lost"]:>5} '
              f'{seen["rate_hz"]:>8.2f} {latency["p50"]:>7.2f} {latency["p95"]:>7.2f} '
              f'{latency["p99"]:>7.2f}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
