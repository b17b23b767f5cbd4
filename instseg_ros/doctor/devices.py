"""Cameras that Linux knows: /dev/video*."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
import os
from pathlib import Path

from .finding import FAIL, Finding, Machine, OK, SKIP

JOIN_VIDEO = 'sudo usermod -aG video $USER, and log in again; in a container: --group-add video'


def video_devices(machine: Machine) -> Iterator[Finding]:
    """Look at the devices, and whether this user may open them."""
    found = machine.find('/dev/video*')
    wanted = machine.source if machine.source.startswith('/dev/') else ''
    if wanted and not machine.path(wanted).exists():
        others = ', '.join(map(machine.name, found)) or 'none'
        yield Finding(wanted, FAIL, f'there is no such device; there are: {others}',
                      'plug the camera in, or name another; in a container pass it on: '
                      f'--device {wanted}')
    if not found:
        if not wanted:
            yield Finding('cameras', SKIP, 'no /dev/video*; recordings, videos and drawn scenes '
                          'do without')
        return
    refused = [path for path in found if not may_use(path)]
    if refused:
        yield Finding('cameras', FAIL, 'this user may not open '
                      + ', '.join(map(machine.name, refused)), JOIN_VIDEO)
    users = _users(machine) if machine.is_this_one else {}
    shown = []
    for path in found:
        name = machine.read(f'/sys/class/video4linux/{path.name}/name') or 'unnamed'
        user = users.get(machine.name(path))
        shown.append(f'{machine.name(path)} {name}' + (f', opened by {user}' if user else ''))
    if len(refused) < len(found):
        yield Finding('cameras', OK, '; '.join(shown))


def may_use(path: Path) -> bool:
    """Say whether this user may read and write a device."""
    return os.access(path, os.R_OK | os.W_OK)


def _users(machine: Machine) -> dict[str, str]:
    """Return the process that has a device open, by device; of what this user may see."""
    found = {}
    for link in Path('/proc').glob('[0-9]*/fd/*'):
        with suppress(OSError):
            target = os.readlink(link)
            if target.startswith('/dev/video'):
                process = link.parts[2]
                found[target] = f'{machine.read(f"/proc/{process}/comm")} ({process})'
    return found
