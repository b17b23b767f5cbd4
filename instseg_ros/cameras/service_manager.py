"""systemd, which starts the capture process on a robot and watches over it."""

from __future__ import annotations

from contextlib import suppress
import os
import socket


class ServiceManager:
    """
    Tells systemd that the process lives; does nothing where systemd did not start it.

    A driver that hangs holds Python up with it: only somebody else can notice.
    """

    def __init__(self) -> None:
        path = os.environ.get('NOTIFY_SOCKET', '')
        # Its abstract sockets are written with an @.
        self._path = '\0' + path[1:] if path.startswith('@') else path

    def ready(self) -> None:
        """Say that the process does its work."""
        self._tell('READY=1')

    def alive(self) -> None:
        """Say that the process lives; due again within the patience."""
        self._tell('WATCHDOG=1')

    def be_patient(self, seconds: float) -> None:
        """Ask to be taken for dead only after so long a silence."""
        self._tell(f'WATCHDOG_USEC={round(1e6 * seconds)}', 'WATCHDOG=1')

    def _tell(self, *lines: str) -> None:
        if not self._path:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.sendto('\n'.join(lines).encode(), self._path)
