"""
Open a camera and serve its frames and masks to camera_node; needs no ROS.

camera_node starts this by itself. Start it by hand where the camera's driver lives elsewhere: on
the host beside ROS in a container, on a Raspberry Pi beside a workstation; then give camera_node
the address as its parameter capture_address.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from ..cameras import CameraSettings
from ..cameras.capture_options import add_settings, chosen_settings
from ..cameras.capture_protocol import default_address
from ..cameras.capture_server import CaptureServer
from ..cameras.upload_watch import die_with, log_to_stderr
from ..errors import CameraError, SettingsError

_BAD_INPUT = 2
_PARENT_S = 5.0  # the parent connects at once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        '--listen', metavar='ADDRESS', default=default_address(),
        help='ipc:///PATH, a socket in a folder of this user alone, or tcp://ADDRESS:PORT '
             '(default: %(default)s)')
    parser.add_argument(
        '--allow-remote', action='store_true',
        help='listen also at an address that other machines reach; nothing is encrypted')
    parser.add_argument('--log-name', default='', help=argparse.SUPPRESS)
    parser.add_argument('--parent', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument('--rate', type=float, dest='playback_rate', default=argparse.SUPPRESS,
                        help='the same as --playback-rate')
    add_settings(parser, CameraSettings)


def run(options: argparse.Namespace) -> int:
    """Serve the camera until Ctrl-C, SIGTERM, the end of the stream or of the parent."""
    log_to_stderr(options.log_name)
    if options.parent:
        die_with(options.parent)
    stopping = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: stopping.set())
    server = CaptureServer(chosen_settings(options, CameraSettings), options.listen,
                           options.allow_remote, own_client=bool(options.parent))
    try:
        server.run(stopping, client_s=_PARENT_S if options.parent else 0.0)
    finally:
        server.close()
    return 0


def main() -> int:
    """Run without the other commands, which take their time to import."""
    parser = argparse.ArgumentParser(prog='instseg capture', description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except (CameraError, SettingsError) as error:
        print(f'instseg capture: {error}', file=sys.stderr)
        return _BAD_INPUT


if __name__ == '__main__':
    sys.exit(main())
