"""A camera in another process, over ZeroMQ: running already, or started here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import zmq

from .camera import Camera, CameraSettings, Capture
from .capture_options import as_arguments
from .capture_protocol import (BUFFER_BYTES, HEARTBEAT_S, NEWEST, pack, progress_address,
                               QUEUED, SILENCE_S, unpack, unpack_capture)
from ..errors import CameraError, EndOfStream, SourceError

START_TIMEOUT_S = 20.0  # from the start of Python to the first word of the process
END_TIMEOUT_S = 0.7  # to end by itself
# What leads a foreign Python to the libraries of ours (or of ROS, which has a libcamera too).
_OURS = ('PYTHONPATH', 'PYTHONHOME', 'LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')

_PACKAGES = Path(__file__).resolve().parents[2]

Report = Callable[[str], None]


class RemoteCamera(Camera):
    """
    The camera of a capture process. Opening does not wait: captures come when they come.

    Parameters
    ----------
    settings : CameraSettings
        Its live settings are sent where they differ from the defaults or change: the rest is
        the choice of whoever started the process.
    report : callable
        Called with a sentence for every problem that the process mends by itself.
    address : str
        Where the process listens.

    """

    _longest_retry_ms = 500

    def __init__(self, settings: CameraSettings, report: Report, address: str) -> None:
        super().__init__(settings)
        self.address = address
        self.class_names = {}  # the process will say
        self._report = report
        self._live = {s.name: getattr(settings, s.name) for s in settings.declared()
                      if s.live and getattr(settings, s.name) != s.default}
        self._greeted_s = 0.0
        self._heard_s = time.monotonic()
        self._patience_s = START_TIMEOUT_S
        self._state = 'waiting for the capture process'
        self._remote_details: dict[str, str] = {}
        self._sequence = 0
        self._lost = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.RCVHWM, QUEUED)
        self._socket.setsockopt(zmq.RCVBUF, BUFFER_BYTES)
        # Soon, for the process may just be starting; seldom, should it stay away.
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, self._longest_retry_ms)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._progress = self._context.socket(zmq.SUB)
        self._progress.setsockopt(zmq.SUBSCRIBE, b'')
        self._progress.setsockopt(zmq.RECONNECT_IVL, 500)
        try:
            self._socket.connect(address)
            if address.startswith('ipc://'):
                self._progress.connect(progress_address(address))
                self._poller.register(self._progress, zmq.POLLIN)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise CameraError(f'expected ipc://PATH or tcp://HOST:PORT, got {address!r} ({error})'
                              ) from error

    def _apply(self, settings: CameraSettings) -> None:
        for declared in settings.declared():
            value = getattr(settings, declared.name)
            if declared.live and (declared.name in self._live
                                  or value != getattr(self._settings, declared.name)):
                self._live[declared.name] = value
        self._greeted_s = 0.0

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next capture; CameraError when the process is dead or silent."""
        if self._socket.closed:
            raise CameraError('the camera is closed')
        until = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            if now - self._greeted_s >= HEARTBEAT_S:
                self._greeted_s = now
                self._say('hello', live=self._live, newest=NEWEST)
            wait_s = min(max(0.0, until - now), HEARTBEAT_S)
            ready = dict(self._poller.poll(round(1000 * wait_s)))
            if self._socket in ready:
                capture = self._hear(self._socket.recv_multipart(copy=False))
                if capture:
                    return capture
            elif self._progress in ready:
                self._hear(self._progress.recv_multipart(copy=False))
            elif ready:
                raise CameraError(self._cause_of_death())
            now = time.monotonic()
            if now - self._heard_s > self._patience_s:
                raise CameraError(f'{self.address}: expected a word of the capture process every '
                                  f'{HEARTBEAT_S} s, got none for {self._patience_s:.0f} s: '
                                  'it hangs or is not there')
            if now >= until:
                return None

    def _hear(self, parts: list[Any]) -> Capture | None:
        fields = unpack(parts[0].buffer)
        self._heard_s = time.monotonic()
        kind = fields['kind']
        if kind == 'capture':
            if self._sequence:
                self._lost += max(0, fields['sequence'] - self._sequence - 1)
            self._sequence = fields['sequence']
            return unpack_capture(fields, parts[1:])
        if kind == 'opened':
            self.class_names = {int(k): str(v) for k, v in fields['class_names']}
        elif kind == 'state':
            self._state, self._remote_details = fields['state'], fields['details']
            self._patience_s = self._settings.opening_timeout if fields['opening'] else SILENCE_S
        elif kind == 'problem':
            self._report(fields['text'])
        elif kind == 'end':
            raise (SourceError if fields['failed'] else EndOfStream)(fields['text'])
        return None

    def _say(self, kind: str, **fields: Any) -> None:
        with suppress(zmq.Again):  # nobody there yet; the next one will do
            self._socket.send(pack(kind, **fields), zmq.NOBLOCK)

    def _cause_of_death(self) -> str:
        return 'the capture process ended'

    def details(self) -> dict[str, str]:
        """Return the process's own details, and what the way here did to them."""
        return {'camera': self._state, 'capture process': self.address,
                'captures lost on the way': str(self._lost), **self._remote_details}

    def close(self) -> None:
        """Take leave; the process keeps the camera open."""
        self._leave(release=False)

    def release(self) -> None:
        """Take leave; the process closes the camera if nobody else looks."""
        self._leave(release=True)

    def _leave(self, release: bool) -> None:
        if not self._socket.closed:
            self._say('bye', release=release)
            self._context.destroy(linger=100)


class ProcessCamera(RemoteCamera):
    """
    A camera in a process that is started here and ends with this one.

    Parameters
    ----------
    settings : CameraSettings
        ``capture_python`` is the Python of the process.
    report : callable
        As for :class:`RemoteCamera`.
    name : str
        What the process calls itself in its log.

    Raises
    ------
    CameraError
        The process cannot be started.

    """

    # Our own process is there a third of a second after its start: growing pauses, of which the
    # last may just have begun, would double that.
    _longest_retry_ms = 0

    def __init__(self, settings: CameraSettings, report: Report, name: str = '') -> None:
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix='instseg-'))  # mode 0700
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        try:
            super().__init__(settings, report, f'ipc://{self._folder / "capture.sock"}')
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        try:
            self._start(settings)
        except BaseException:
            self.close()
            raise

    def _start(self, settings: CameraSettings) -> None:
        python = settings.capture_python
        # Modules of the folder that we happen to run in are none of the process's business.
        variables = {**os.environ, 'PYTHONSAFEPATH': '1'}
        if python:
            variables = {k: v for k, v in variables.items() if k not in _OURS}
        elif not _PACKAGES.name.endswith('-packages'):
            # A source tree, which the same Python need not know of.
            variables['PYTHONPATH'] = os.pathsep.join(
                filter(None, (str(_PACKAGES), variables.get('PYTHONPATH'))))
        command = [python or sys.executable, '-m', 'instseg_ros.commands.capture',
                   *as_arguments(settings), '--listen', self.address,
                   '--parent', str(os.getpid()), '--log-name', self._name]
        try:
            # A session of its own: Ctrl-C is for the parent, which then ends the process.
            self._process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL,
                                             start_new_session=True)
        except OSError as error:
            raise CameraError(f'capture_python: expected a Python interpreter, got {python!r}: '
                              f'{error.strerror}') from error
        self._pidfd = os.pidfd_open(self._process.pid)
        self._poller.register(self._pidfd, zmq.POLLIN)

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next capture; CameraError when the process has died or hangs."""
        try:
            return super().read(timeout_s)
        except CameraError as error:
            # What it still said before its end may say more.
            if (not self._socket.closed and self._process and self._process.poll() is not None
                    and self._socket.poll(50)):
                capture = self._hear(self._socket.recv_multipart(copy=False))
                if capture:
                    return capture
            raise error

    def _cause_of_death(self) -> str:
        code = self._process.wait() if self._process else 0
        words = signal.Signals(-code).name if code < 0 else f'exit code {code}'
        return (f'the capture process died ({words}); it is started again'
                + ('' if code < 0 else ', and its own words are in the log'))

    def details(self) -> dict[str, str]:
        """Return the process's own details, and its id."""
        pid = self._process.pid if self._process else 0
        return {**super().details(), 'capture process': f'process {pid}'}

    def release(self) -> None:
        """End the process, and with it the camera."""
        self.close()

    def close(self) -> None:
        """End the process, by force if it has to be."""
        # No word of farewell, for which ZeroMQ would wait in vain where the process is dead.
        self._context.destroy(linger=0)
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        shutil.rmtree(self._folder, ignore_errors=True)


def open_elsewhere(settings: CameraSettings, report: Report, name: str = '') -> Camera:
    """Open a camera in a process of its own: the one at ``capture_address``, or a new one."""
    if settings.capture_address:
        return RemoteCamera(settings, report, settings.capture_address)
    return ProcessCamera(settings, report, name)
