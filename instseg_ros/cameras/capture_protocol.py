"""
What a capture process and its clients say to each other, over ZeroMQ.

The process has a ROUTER socket, each client a DEALER. A message is a head, one part of JSON, and
for a capture the bytes of frame and mask, a part each, which are never copied on their way to the
socket. Every head has the version of this protocol and a kind:

========== ============ ============================================================
kind       from         further fields
========== ============ ============================================================
``hello``  client       ``live``: live settings to apply by name; at least every second
``bye``    client       ``release``: whether the camera is to be closed
``opened`` process      ``class_names``: pairs of id and name
``state``  process      ``state``: words; ``opening``: whether silence is to be expected;
                        ``details``: words by name; at least every second but for then
``problem`` process     ``text``: what went wrong; the process goes on by itself
``end``    process      ``text``: nothing more will come; ``failed``: since the source will
                        not do
``capture`` process     ``sequence``, ``stamp_ns``, ``frame``, ``mask``: shape or null
========== ============ ============================================================

While a camera opens, the process may be frozen. Beside an ipc socket there is then another one,
a PUB, at which a second process says ``state``.
"""

from __future__ import annotations

from collections.abc import Sequence
import ipaddress
import json
import os
from pathlib import Path
import stat
import tempfile
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from .camera import Capture
from ..errors import CameraError

VERSION = 1
HEARTBEAT_S = 0.3
# A process whose messages or a client whose hellos stay away for so long is taken for dead.
SILENCE_S = 3.0
QUEUED = 15  # messages on either side: half a second may wait for a client that is busy
BUFFER_BYTES = 4 << 20  # of the sockets: an image goes through in one piece


def pack(kind: str, **fields: Any) -> bytes:
    """Return a head."""
    return json.dumps({'version': VERSION, 'kind': kind, **fields}).encode()


def unpack(head: Any) -> dict[str, Any]:
    """
    Return the fields of a head.

    Raises
    ------
    CameraError
        It is no head of this version.

    """
    try:
        fields = json.loads(bytes(head))
        version = fields['version']
        fields['kind'] + ''
    except (ValueError, TypeError, KeyError) as error:
        raise CameraError('expected a message of instseg capture, got something else; is the '
                          'address right?') from error
    if version != VERSION:
        raise CameraError(f'expected version {VERSION} of the capture protocol, got {version}; '
                          'install the same instseg_ros on both sides')
    return dict(fields)


def pack_capture(capture: Capture, sequence: int) -> list[Any]:
    """Return the parts of a capture's message; frame and mask are not copied."""
    images = (capture.frame, capture.mask)
    shapes = [None if i is None else i.shape for i in images]
    head = pack('capture', sequence=sequence, stamp_ns=capture.stamp_ns, frame=shapes[0],
                mask=shapes[1])
    return [head] + [np.ascontiguousarray(i) for i in images if i is not None]


def unpack_capture(fields: dict[str, Any], parts: Sequence[Any]) -> Capture:
    """
    Return the capture of a message; its arrays are read-only views of the parts.

    Parameters
    ----------
    fields : dict
        The head.
    parts : sequence of buffers
        What follows the head.

    Raises
    ------
    CameraError
        The parts are not what the head says.

    """
    rest = list(parts)
    try:
        images = [None if fields[name] is None
                  else np.frombuffer(rest.pop(0), np.uint8).reshape(fields[name])
                  for name in ('frame', 'mask')]
        for image in images:
            if image is not None:
                image.flags.writeable = False
        return Capture(int(fields['stamp_ns']), *images)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CameraError(f'expected the pixels that the head of a capture announces, got '
                          f'{error!r}') from error


def default_address() -> str:
    """Return this user's address, a socket in a folder that only the user may enter."""
    runtime = os.environ.get('XDG_RUNTIME_DIR')
    folder = (Path(runtime, 'instseg') if runtime
              else Path(tempfile.gettempdir(), f'instseg-{os.getuid()}'))
    return f'ipc://{folder / "capture.sock"}'


def progress_address(address: str) -> str:
    """Return where a process says how far its camera is with opening."""
    return address + '.progress'


def prepare_address(address: str, allow_remote: bool) -> bool:
    """
    Check an address to listen on, and make the folder of a socket.

    Parameters
    ----------
    address : str
        ``ipc://PATH`` or ``tcp://ADDRESS:PORT``.
    allow_remote : bool
        Whether other machines may connect.

    Returns
    -------
    bool
        Whether other machines can connect.

    Raises
    ------
    CameraError
        The address is none, may not be listened on, or its folder is open to others.

    """
    parts = urlsplit(address)
    if parts.scheme == 'ipc' and address[6:].startswith('/'):
        _make_private(Path(address[6:]).parent)
        return False
    try:
        host = parts.hostname if parts.scheme == 'tcp' and parts.port else None
        loopback = ipaddress.ip_address(host or '').is_loopback
    except ValueError:
        raise CameraError('expected ipc:///PATH or tcp://ADDRESS:PORT to listen on, with the '
                          f'address in numbers, got {address!r}') from None
    if not loopback and not allow_remote:
        raise CameraError(f'{address} lets every machine that reaches it see what the camera sees '
                          'and change its settings: if that is meant, say --allow-remote')
    return not loopback


def _make_private(folder: Path) -> None:
    """Make a folder with the user's rights only; one that is there must be the user's own."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise CameraError(f'{folder}: expected a folder for the socket of instseg capture, got '
                          f'{error.strerror}') from error
    if (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()
            or stat.S_IMODE(found.st_mode) & 0o077):
        raise CameraError(f'{folder}: expected a folder that only this user may enter (mode '
                          f'0700), got {stat.filemode(found.st_mode)} of user {found.st_uid}; '
                          'choose another, or mend it with chmod')
