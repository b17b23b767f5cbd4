"""Fast DDS: its profile, and the shared memory by which images go from process to process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
import fcntl
import os
from pathlib import Path
import shutil
from xml.etree import ElementTree

from .finding import FAIL, Finding, Machine, OK, SKIP, WARN
from .ros_installation import DEFAULT_MIDDLEWARE, has_ros, middleware_of
from ..fastdds import profile_variable, TRANSPORTS, VARIABLES

_SHM = '/dev/shm'
_FRAME = 640 * 480 * 3
_OWN_SEGMENT = 64 << 20  # of config/fastdds.xml
_OVERHEAD = 1.05  # a segment of 64 MiB is a file of 67 MiB
_PROCESSES = 5  # of the pipeline, with somebody who looks at it
_MIB = 1 << 20
_NAMES = ('fastrtps', 'fastdds')  # until Jazzy, since Kilted
# `fastdds shm clean` does the same, but takes a package that ROS does not bring (psutil).
_REMOVE = f'for f in {_SHM}/fast*_el; do flock -n "$f" rm -f "$f" "${{f%_el}}"; done'


def profile(machine: Machine) -> Iterator[Finding]:
    """Look at the profile that the user chose, if any."""
    if not _applies(machine):
        return
    given = machine.environment
    variable = profile_variable(given)
    other = next(v for v in VARIABLES if v != variable)
    if given.get(TRANSPORTS):
        yield Finding('Fast DDS profile', WARN, f'{TRANSPORTS}={given[TRANSPORTS]}: images larger '
                      'than its messages are lost, and the profile of this package is not used',
                      f'unset {TRANSPORTS}, and start the nodes again')
        return
    if given.get(other):
        if variable == VARIABLES[1]:
            yield Finding('Fast DDS profile', FAIL, f'{other} is set, which '
                          f'{given.get("ROS_DISTRO")} does not read',
                          f'export {variable}={given[other]}; unset {other}')
            return
        yield Finding('Fast DDS profile', WARN, f'{other} is set, which is deprecated',
                      f'export {variable}={given.get(variable) or given[other]}; unset {other}')
    file = given.get(variable) or given.get(other, '')
    if not file:
        yield Finding('Fast DDS profile', OK, f'{variable} is not set: the nodes of this package '
                      'use config/fastdds.xml; programs of yours that publish images should too')
        return
    try:
        size = _segment_size(machine.path(file))
    except (OSError, ElementTree.ParseError) as error:
        yield Finding('Fast DDS profile', FAIL, f'{variable}={file} cannot be read: {error}',
                      f'unset {variable}, or name a file that is one')
        return
    if size < 4 * _FRAME:
        yield Finding('Fast DDS profile', WARN, f'{file} has '
                      + (f'a shared memory segment of {size / 1024:.0f} KiB' if size else
                         'no shared memory transport of its own, so a segment of 512 KiB')
                      + ', and a frame of 640x480 takes 900 KiB: most frames are lost',
                      f'unset {variable}, or give it the segment_size and maxMessageSize of '
                      'config/fastdds.xml, which comes with this package')
    else:
        yield Finding('Fast DDS profile', OK, f'{file}, a segment of {size // _MIB} MiB')


def shared_memory(machine: Machine) -> Iterator[Finding]:
    """Look whether the segments of all processes have room."""
    if not _applies(machine):
        yield Finding('shared memory', SKIP, 'Fast DDS is not used here')
        return
    size, free = _room(machine)
    if not size:
        yield Finding('shared memory', FAIL, f'there is no {_SHM}',
                      f'sudo mkdir -p {_SHM} && sudo mount -t tmpfs tmpfs {_SHM}; for a '
                      'container: docker run --ipc=host')
        return
    segment = (_chosen_segment(machine.environment, machine) or _OWN_SEGMENT) * _OVERHEAD
    dead, live = leftovers(machine)
    # What runs already has its segments; the rest has to fit into what is free.
    running = sum(1 for file in live if file.stat().st_size > 0.9 * segment)
    more = max(0, _PROCESSES - running)
    fits = int(free // segment)
    seen = (f'{_SHM} has {size / _MIB:.0f} MiB, of which {free / _MIB:.0f} are free; every '
            f'process of the pipeline takes {segment / _MIB:.0f} MiB of it')
    if fits >= more:
        yield Finding('shared memory', OK, seen)
        return
    if size // segment >= _PROCESSES and dead:
        cure = _REMOVE
    elif machine.in_container:
        cure = ('start the container with --ipc=host, or with --shm-size=1g; until then '
                'composed:=true takes less')
    else:
        cure = f'sudo mount -o remount,size=1g {_SHM}; in a container --ipc=host or --shm-size=1g'
    yield Finding('shared memory', FAIL if running + fits < 2 else WARN,
                  f'{seen}: there is room for {running + fits} of {_PROCESSES}, and the others '
                  'fall back to UDP, which loses images', cure)


def leftover_segments(machine: Machine) -> Iterator[Finding]:
    """Look for what processes that were killed left behind, and for files of other users."""
    if not _applies(machine):
        return
    dead, live = leftovers(machine)
    taken = sum(_taken(file) for file in dead)
    size, _ = _room(machine)
    foreign = [file for file in live if not os.access(file, os.R_OK | os.W_OK)]
    if foreign:
        yield Finding(f'files in {_SHM}', WARN, f'{machine.name(foreign[0])} is of a process of '
                      f'{_owner(foreign[0])}, which this user may not open: its nodes are seen, '
                      'but nothing comes from them',
                      'run all nodes as one user; for a container: docker run --user $(id -u)')
    elif size and taken > 0.1 * size:
        yield Finding(f'files in {_SHM}', WARN, f'{len(dead)} files, {taken / _MIB:.0f} MiB, of '
                      'processes that were killed', _REMOVE)
    else:
        yield Finding(f'files in {_SHM}', OK, f'{len(live)} segments in use, {len(dead)} left '
                      f'over by killed processes ({taken / _MIB:.0f} MiB)')


def leftovers(machine: Machine) -> tuple[list[Path], list[Path]]:
    """
    Return the segments of processes that are gone, and those of processes that live.

    A process holds a lock on ``NAME_el`` for as long as it lives.
    """
    dead: list[Path] = []
    live: list[Path] = []
    for name in _NAMES:
        for file in machine.find(f'{_SHM}/{name}_*'):
            if file.name.endswith('_el'):
                continue
            lock = file.with_name(f'{file.name}_el')
            (live if _is_held(lock) else dead).append(file)
    return dead, live


def _is_held(lock: Path) -> bool:
    try:
        with open(lock, 'rb') as file:
            # Shared: a process that starts now finds its own lock free, or waits a microsecond.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:  # locked, or of another user: leave it alone
        return True


def _taken(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_blocks * 512
    return 0


def _owner(file: Path) -> str:
    try:
        return file.owner()
    except (KeyError, OSError):
        return 'another user'


def _room(machine: Machine) -> tuple[float, float]:
    """Return the size of /dev/shm and what is free of it, in bytes; 0, 0 where there is none."""
    folder = machine.path(_SHM)
    if not folder.is_dir():
        return 0, 0
    if machine.is_this_one:
        usage = shutil.disk_usage(folder)
        return usage.total, usage.free
    for line in reversed(machine.read('/proc/mounts').splitlines()):
        _, where, _, options, *_ = line.split()
        sizes = [o for o in options.split(',') if o.startswith('size=')]
        if where == _SHM and sizes:
            size = 1024 * int(sizes[0].removeprefix('size=').rstrip('k'))
            return size, size - sum(map(_taken, folder.iterdir()))
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def _segment_size(file: Path) -> int:
    """Return the size of the shared memory segment that a profile asks for; 0: it does not."""
    sizes = []
    for transport in ElementTree.parse(file).getroot().iter():
        if transport.tag.endswith('transport_descriptor'):
            fields = {child.tag.split('}')[-1]: (child.text or '').strip() for child in transport}
            if fields.get('type') == 'SHM':
                sizes.append(int(fields.get('segment_size') or 512 * 1024))
    return max(sizes, default=0)


def _chosen_segment(environment: Mapping[str, str], machine: Machine) -> int:
    for name in VARIABLES:
        with suppress(OSError, ElementTree.ParseError, ValueError):
            if environment.get(name):
                return _segment_size(machine.path(environment[name]))
    return 0


def _applies(machine: Machine) -> bool:
    return has_ros(machine) and middleware_of(machine) == DEFAULT_MIDDLEWARE
