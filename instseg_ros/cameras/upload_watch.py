"""
Says how far the upload to an AI Camera is, while the process that uploads is frozen by it.

It is a process of its own, started by the capture process; see `main`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import ctypes
import logging
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import zmq

from .capture_protocol import pack, progress_address

_SYSFS = Path('/sys/class/video4linux')
_DEBUGFS = Path('/sys/kernel/debug')
_BY_ROOT = '/usr/sbin/debug_stream_imx500.sh'  # of Raspberry Pi OS, allowed to all by sudo
_STAGES = ('the loader', 'the firmware', 'the network')
_PERIOD_S, _LOG_PERIOD_S = 0.5, 10.0
_PR_SET_PDEATHSIG = 1

log = logging.getLogger('instseg.capture')
_log_name = ''


def log_to_stderr(name: str) -> None:
    """Write log lines as ROS's programs do: level, time, and who speaks; by default itself."""
    global _log_name
    _log_name = name or 'instseg.capture'
    logging.addLevelName(logging.WARNING, 'WARN')
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=(
        f'[%(levelname)s] [%(created).9f] [{_log_name}]: %(message)s'))


@contextmanager
def watched_upload(source: str, address: str) -> Iterator[None]:
    """Have the opening of an AI Camera watched, as long as it takes."""
    if source != 'imx500':
        yield
        return
    watch = subprocess.Popen([sys.executable, '-m', __name__, address, str(os.getpid()),
                              _log_name],
                             stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        watch.kill()
        watch.wait()


def die_with(parent: int) -> None:
    """Have the kernel end this process with its parent: also a driver that hangs must go."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def find_devices() -> list[str]:
    """Return the I2C names of the AI Cameras, like ``10-001a``."""
    return [os.path.basename(os.readlink(device / 'device'))
            for device in sorted(_SYSFS.glob('v4l-subdev*'))
            if (device / 'device' / 'driver' / 'module').is_symlink()
            and 'imx500' in os.readlink(device / 'device' / 'driver' / 'module')]


def read_progress(device: str) -> str:
    """Return what the driver says of its upload: stage, bytes done, bytes in all; or ''."""
    try:
        return (_DEBUGFS / f'imx500-fw:{device}' / 'fw_progress').read_text()
    except OSError:
        pass
    try:
        return subprocess.run(['sudo', '-n', _BY_ROOT, device], text=True, timeout=5,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ''


def describe_progress(said: str, seconds: float) -> str:
    """
    Return the progress in words.

    >>> describe_progress('2 1300000 2600000', 30)
    'uploading the network: 50 %, 30 s'
    >>> describe_progress('', 30)
    'opening the camera, with an upload that may take minutes, 30 s'
    """
    try:
        stage, done, size = (int(word) for word in said.split())
        return f'uploading {_STAGES[stage]}: {100 * done / size:.0f} %, {seconds:.0f} s'
    except (ValueError, IndexError, ZeroDivisionError):
        return f'opening the camera, with an upload that may take minutes, {seconds:.0f} s'


def main() -> None:
    """Say every half second how far the upload is: ADDRESS of the process, its id."""
    parser = argparse.ArgumentParser()
    parser.add_argument('address')
    parser.add_argument('parent', type=int)
    parser.add_argument('log_name')
    options = parser.parse_args()
    die_with(options.parent)
    log_to_stderr(options.log_name)
    socket = zmq.Context().socket(zmq.PUB)
    if options.address.startswith('ipc://'):
        os.umask(0o177)
        socket.bind(progress_address(options.address))
    devices = find_devices()
    started, logged_s = time.monotonic(), 0.0
    while True:
        seconds = time.monotonic() - started
        said = describe_progress(read_progress(devices[0]) if devices else '', seconds)
        if seconds - logged_s >= _LOG_PERIOD_S:
            log.info('%s', said)
            logged_s = seconds
        if options.address.startswith('ipc://'):
            socket.send(pack('state', state=said, opening=True, details={}))
        time.sleep(_PERIOD_S)


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
