"""
What a capture process and its clients say to each other, over ZeroMQ.

The process has a ROUTER socket, each client a DEALER. A message is a head, one part of JSON, and
for a capture the bytes of frame, mask and labels of instances, a part each, which are never copied
on their way to the socket. Every head has a version of this protocol and a kind:

========== ============ ============================================================
kind       from         further fields
========== ============ ============================================================
``hello``  client       ``live``: live settings to apply by name; ``newest``: the newest version
                        that the client knows, 1 where it is absent; at least every second
``bye``    client       ``release``: whether the camera is to be closed
``opened`` process      ``class_names``: pairs of id and name; again when they are others
``state``  process      ``state``: words; ``opening``: whether silence is to be expected;
                        ``details``: words by name; at least every second but for then
``problem`` process     ``text``: what went wrong; the process goes on by itself
``end``    process      ``text``: nothing more will come; ``failed``: since the source will
                        not do
``capture`` process     ``sequence``, ``stamp_ns``, ``frame``, ``mask``: shape or null;
                        from version 2 on ``instances``: null, or ``labels``: shape, and what
                        else :class:`~..core.instances.Instances` has, as lists
========== ============ ============================================================

Version 2 differs by the instances of a capture alone. What is the same in both is sent as version
1, so that processes and clients of version 1 and 2 understand each other: a client of version 1
gets frame and mask.

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
import numpy.typing as npt

from .camera import Capture
from ..core.instances import Instances
from ..errors import CameraError

OLDEST, NEWEST = 1, 2  # versions that are understood
HEARTBEAT_S = 0.3
# A process whose messages or a client whose hellos stay away for so long is taken for dead.
SILENCE_S = 3.0
QUEUED = 15  # messages on either side: half a second may wait for a client that is busy
# What is known of each instance, and the shape of it.
_LISTS: dict[str, tuple[Any, ...]] = {
    'class_ids': (np.uint8,), 'areas': (np.int64,), 'scores': (np.float64,),
    'boxes': (np.int32, 4), 'oriented_boxes': (np.float64, 5)}
BUFFER_BYTES = 4 << 20  # of the sockets: an image goes through in one piece


def pack(kind: str, version: int = OLDEST, **fields: Any) -> bytes:
    """Return a head."""
    return json.dumps({'version': version, 'kind': kind, **fields}).encode()


def unpack(head: Any) -> dict[str, Any]:
    """
    Return the fields of a head.

    Raises
    ------
    CameraError
        It is no head of a version that is known here.

    """
    try:
        fields = json.loads(bytes(head))
        version = fields['version']
        fields['kind'] + ''
    except (ValueError, TypeError, KeyError) as error:
        raise CameraError('expected a message of instseg capture, got something else; is the '
                          'address right?') from error
    if version not in range(OLDEST, NEWEST + 1):
        raise CameraError(f'expected version {OLDEST} to {NEWEST} of the capture protocol, got '
                          f'{version}; install the same instseg_ros on both sides')
    return dict(fields)


def pack_capture(capture: Capture, sequence: int, version: int = NEWEST) -> list[Any]:
    """Return the parts of a capture's message, as of a version; images are not copied."""
    images: list[npt.NDArray[Any] | None] = [capture.frame, capture.mask]
    fields: dict[str, Any] = {name: None if image is None else image.shape
                              for name, image in zip(('frame', 'mask'), images, strict=True)}
    found = capture.instances
    if found is not None and version > OLDEST:
        fields['instances'] = {
            'labels': found.labels.shape,
            **{name: getattr(found, name).tolist() for name in _LISTS}}
        images.append(found.labels)
    head = pack('capture', NEWEST if 'instances' in fields else OLDEST, sequence=sequence,
                stamp_ns=capture.stamp_ns, **fields)
    return [head] + [np.ascontiguousarray(i) for i in images if i is not None]


def unpack_capture(fields: dict[str, Any], parts: Sequence[Any]) -> Capture:
    """
    Return the capture of a message; its images are read-only views of the parts.

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

    def image(shape: Sequence[int] | None, kind: type[np.generic]) -> Any:
        if shape is None:
            return None
        pixels = np.frombuffer(rest.pop(0), kind).reshape(shape)
        pixels.flags.writeable = False
        return pixels

    try:
        frame, mask = (image(fields[name], np.uint8) for name in ('frame', 'mask'))
        found = fields.get('instances')
        instances = None
        if found is not None:
            count = len(found['scores'])
            instances = Instances(image(found['labels'], np.uint16), **{
                name: np.array(found[name], kind).reshape(count, *shape)
                for name, (kind, *shape) in _LISTS.items()})
        return Capture(int(fields['stamp_ns']), frame, mask, instances)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
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
