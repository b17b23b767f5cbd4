"""The capture process: one camera, opened again whenever it fails, served to whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import fcntl
import logging
import os
from pathlib import Path
import signal
import threading
import time
from typing import Any

import zmq

from .camera import Camera, CameraSettings, fails_for_good, is_played, open_camera
from .capture_protocol import (BUFFER_BYTES, HEARTBEAT_S, OLDEST, pack, pack_capture,
                               prepare_address, progress_address, QUEUED, SILENCE_S, unpack)
from .service_manager import ServiceManager
from .upload_watch import watched_upload
from ..errors import CameraError, EndOfStream, SettingsError

READ_TIMEOUT_S = 0.1  # how soon a client or a signal is noticed
FROZEN_S = 10.0  # a driver that holds the process up for so long will not come back
PATIENCE_S = 1.0  # with a client that is slow; its own ends after SILENCE_S
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 10.0  # before a camera that failed is opened again

log = logging.getLogger('instseg.capture')


@dataclass
class _Client:
    """Whoever says hello: when it was heard last, and the newest protocol that it knows."""

    heard_s: float = 0.0
    newest: int = OLDEST


class CaptureServer:
    """
    Serves a camera's captures at an address.

    Parameters
    ----------
    settings : CameraSettings
        The camera. Its live settings change when a client says so.
    address : str
        Where to listen, see :func:`~.capture_protocol.prepare_address`.
    allow_remote : bool
        Whether other machines may connect.
    open_with : callable
        Opens the camera.
    own_client : bool
        Whether a client started the process: what it is told is then in its own log.

    Raises
    ------
    CameraError
        The address cannot be listened on.

    """

    def __init__(self, settings: CameraSettings, address: str, allow_remote: bool = False,
                 open_with: Callable[[CameraSettings], Camera] = open_camera,
                 own_client: bool = False) -> None:
        self._own_client = own_client
        self._settings = settings
        self._address = address
        self._open = open_with
        self._camera: Camera | None = None
        self._clients: dict[bytes, _Client] = {}
        self._live: dict[str, Any] = {}
        self._released = False
        self._sequence = 0
        self._dropped = 0
        self._state = ('starting', False)
        self._said_s = 0.0
        self._linger_ms = 100
        self._lock: int | None = None
        self._path = Path(address[6:]) if address.startswith('ipc://') else None
        remote = prepare_address(address, allow_remote)
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        # A client that is too slow is known by an error, and its loss counted.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.SNDHWM, QUEUED)
        self._socket.setsockopt(zmq.SNDBUF, BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 1 << 16)
        try:
            self._bind(address)
        except BaseException:
            self._context.destroy(linger=0)
            if self._lock is not None:
                os.close(self._lock)
            raise
        log.info('listening at %s', address)
        self._manager = ServiceManager()
        self._manager.ready()
        if remote:
            log.warning('%s is open to other machines: all that reach it see what the camera '
                        'sees, unencrypted', address)

    def _bind(self, address: str) -> None:
        if self._path:
            # ZeroMQ takes a socket over from a process that still uses it; the lock does not.
            self._lock = os.open(f'{self._path}.lock', os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CameraError(f'{address}: another instseg capture listens there; end it, or '
                                  'choose another address') from None
        mask = os.umask(0o177)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            raise CameraError(f'{address}: expected an address to listen on, got {error}; '
                              'choose another') from error
        finally:
            os.umask(mask)

    def run(self, stopping: threading.Event, client_s: float = 0.0) -> None:
        """
        Serve until told to stop or until the stream ends.

        Parameters
        ----------
        stopping : threading.Event
            Set to end.
        client_s : float
            How long to wait for the first client before the camera is opened, in seconds: one
            that comes later hears nothing until the camera is open.

        """
        until, pause_s = time.monotonic() + client_s, FIRST_PAUSE_S
        while not (self._clients or stopping.is_set()) and time.monotonic() < until:
            self._wait(READ_TIMEOUT_S)
        while not stopping.is_set():
            if self._released:
                self._wait(READ_TIMEOUT_S)
                continue
            served, rest_s = self._sequence, 0.0
            try:
                self._serve(stopping)
            except CameraError as error:
                over = isinstance(error, EndOfStream)
                if over or fails_for_good(self._settings):
                    self._log(logging.INFO if over else logging.ERROR, str(error))
                    self._tell(pack('end', text=str(error), failed=not over))
                    self._linger_ms = 10_000  # of the queue, whose last word it is
                    return
                self._report(str(error))
                if self._sequence > served:
                    pause_s = FIRST_PAUSE_S
                rest_s, pause_s = pause_s, min(2 * pause_s, LAST_PAUSE_S)
            finally:
                rest_s = max(rest_s, self._close_camera())
            self._rest(rest_s, stopping)

    def _serve(self, stopping: threading.Event) -> None:
        """Open the camera and send its captures, until there is an end to that."""
        self._be('opening the camera', opening=True)
        with _deadly_signals(), watched_upload(self._settings.source, self._address):
            self._camera = camera = self._open(self._settings)
        camera.report = self._report
        log.info('the camera is open: %s', self._settings.source)
        self._be('running')
        self._tell(self._opened())
        names = camera.class_names
        # Frames of a file can wait for a client that is slow.
        patience_s = PATIENCE_S if is_played(self._settings.source) else 0.0
        while not stopping.is_set() and not self._released:
            self._attend()
            capture = camera.read(READ_TIMEOUT_S)
            if camera.class_names is not names:  # the network's first answer says which they are
                names = camera.class_names
                self._tell(self._opened())
            if capture:
                self._sequence += 1
                for identity, client in list(self._clients.items()):
                    self._send(identity, *pack_capture(capture, self._sequence, client.newest),
                               patience_s=patience_s)

    def _report(self, text: str) -> None:
        self._log(logging.WARNING, text)
        self._tell(pack('problem', text=text))

    def _log(self, level: int, text: str) -> None:
        if not (self._own_client and self._clients):
            log.log(level, '%s', text)

    def _rest(self, seconds: float, stopping: threading.Event) -> None:
        """Leave the camera alone for a while, but not the clients."""
        until = time.monotonic() + seconds
        while not stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._be(f'the camera is opened in {left:.0f} s', quiet=True)
            self._wait(min(READ_TIMEOUT_S, left))

    def _wait(self, seconds: float) -> None:
        self._socket.poll(round(1000 * seconds) + 1)
        self._attend()

    def _be(self, state: str, opening: bool = False, quiet: bool = False) -> None:
        """Enter a state and tell the clients, unless the next heartbeat is soon enough."""
        self._state = (state, opening)
        if not quiet:
            self._manager.be_patient(
                self._settings.opening_timeout if opening else FROZEN_S)
            self._said_s = 0.0
            self._attend()

    def _attend(self) -> None:
        """Hear what the clients say, and let them hear that the process lives."""
        while self._socket.poll(0):
            identity, *parts = self._socket.recv_multipart()
            try:
                self._hear(identity, unpack(parts[-1] if parts else b''))
            except (CameraError, TypeError, AttributeError, ValueError, OverflowError) as error:
                self._send(identity, pack('problem', text=str(error)))
        now = time.monotonic()
        if now - self._said_s < HEARTBEAT_S:
            return
        self._said_s = now
        self._manager.alive()
        for identity in [i for i, c in self._clients.items() if now - c.heard_s > SILENCE_S]:
            del self._clients[identity]
        self._tell(self._state_message())

    def _hear(self, identity: bytes, fields: dict[str, Any]) -> None:
        if fields['kind'] == 'bye':
            self._clients.pop(identity, None)
            # Others may still look.
            self._released = bool(fields.get('release')) and not self._clients
            if self._released:
                log.info('the camera is closed until somebody asks for it')
        elif fields['kind'] == 'hello':
            self._released = False
            if identity not in self._clients:
                self._clients[identity] = _Client(newest=int(fields.get('newest', OLDEST)))
                self._send(identity, self._state_message())
                if self._camera:
                    self._send(identity, self._opened())
            self._clients[identity].heard_s = time.monotonic()
            self._apply(dict(fields.get('live', {})))

    def _apply(self, live: dict[str, Any]) -> None:
        """Apply settings that a client has changed; a refusal is told to all."""
        changes = {k: v for k, v in live.items() if k not in self._live or self._live[k] != v}
        if not changes:
            return
        self._live.update(changes)  # also when refused: a heartbeat is no new try
        try:
            settings = self._settings.changed(**changes)
            if self._camera:
                self._camera.settings = settings
            self._settings = settings
        except SettingsError as error:
            self._report(f'setting refused: {error}')

    def _state_message(self) -> bytes:
        details = self._camera.details() if self._camera else {}
        if self._dropped:
            details['captures that a client was too slow for'] = str(self._dropped)
        return pack('state', state=self._state[0], opening=self._state[1], details=details)

    def _opened(self) -> bytes:
        names = self._camera.class_names if self._camera else {}
        return pack('opened', class_names=list(names.items()))

    def _tell(self, message: bytes) -> None:
        for identity in list(self._clients):
            self._send(identity, message)

    def _send(self, identity: bytes, *parts: Any, patience_s: float = 0.0) -> None:
        until = time.monotonic() + patience_s
        while True:
            try:
                self._socket.send_multipart([identity, *parts], zmq.NOBLOCK, copy=len(parts) == 1)
                return
            except zmq.Again:
                if time.monotonic() >= until:
                    self._dropped += 1
                    return
                time.sleep(0.005)
            except zmq.ZMQError:  # it is gone
                self._clients.pop(identity, None)
                return

    def _close_camera(self) -> float:
        """Close the camera, if it is open; returns how long to leave it alone, in seconds."""
        camera, self._camera = self._camera, None
        if camera is None:
            return 0.0
        camera.close()
        return camera.rest_s

    def close(self) -> None:
        """Close the camera and stop listening; may be called twice."""
        self._close_camera()
        self._context.destroy(linger=self._linger_ms)
        if self._path and self._lock is not None:
            for path in (self._path, progress_address(str(self._path)), f'{self._path}.lock'):
                Path(path).unlink(missing_ok=True)
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None


@contextmanager
def _deadly_signals() -> Iterator[None]:
    """
    Let signals end the process without Python's help.

    A driver that holds Python's lock while it opens, for minutes, holds up every handler. Nothing
    needs to be tidied up before a camera is open.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
