"""What a machine has of disk, memory and power, and whether its clock is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import shutil
import time

from .finding import FAIL, Finding, Machine, OK, WARN

_LITTLE_DISK, _NO_DISK = 1e9, 1e8  # bytes; a recording takes 2 to 3 MB a second
_LITTLE_MEMORY = 300e6  # bytes; the pipeline takes more
_HOT = 80.0  # degrees at which a Raspberry Pi slows down
_EARLIEST = 1735689600  # 2025-01-01; before, this package did not exist
_THROTTLED = '/sys/devices/platform/soc/soc:firmware/get_throttled'


def free_disk(machine: Machine) -> Iterator[Finding]:
    """Look where recordings go: into this folder, if nothing else is said."""
    folder = Path.cwd() if machine.is_this_one else machine.root
    free = shutil.disk_usage(folder).free
    seen = f'{free / 1e9:.1f} GB free in {folder}'
    if free < _LITTLE_DISK:
        yield Finding('disk', FAIL if free < _NO_DISK else WARN,
                      f'{seen}: a recording takes up to 0.2 GB a minute',
                      'move recordings away (`instseg info` says what is in them), or record to '
                      'another disk: bag:=PATH')
    else:
        yield Finding('disk', OK, seen)


def free_memory(machine: Machine) -> Iterator[Finding]:
    """Look at what is left for another process."""
    fields = dict(line.split(':', 1) for line in machine.read('/proc/meminfo').splitlines()
                  if ':' in line)
    if 'MemAvailable' not in fields:
        return
    free = 1024 * int(fields['MemAvailable'].split()[0])
    seen = f'{free / 1e6:.0f} MB available'
    if free < _LITTLE_MEMORY:
        yield Finding('memory', WARN, seen, 'end other programs, and run all nodes in one '
                      'process: ros2 launch instseg_ros pipeline.launch.py composed:=true')
    else:
        yield Finding('memory', OK, seen)


def power(machine: Machine) -> Iterator[Finding]:
    """Look whether a Raspberry Pi slows itself down."""
    said = machine.read(_THROTTLED)
    if not said:
        return
    bits = int(said, 16)
    temperatures = [int(text) / 1000 for path in machine.find('/sys/class/thermal/*/temp')
                    if (text := machine.read(machine.name(path))).lstrip('-').isdecimal()]
    hottest = max(temperatures, default=0.0)
    if bits & 0x10001:
        yield Finding('power', FAIL if bits & 1 else WARN, 'the voltage is too low'
                      if bits & 1 else 'the voltage was too low since the start',
                      "use Raspberry Pi's own power supply and a short cable; power the robot's "
                      'other parts from elsewhere')
    if bits & 0x8 or hottest > _HOT:  # slowed down for other reasons: the voltage
        yield Finding('temperature', FAIL, f'{hottest:.0f} °C: the processor is slowed down',
                      'put a cooler or a fan on it')
    elif not bits & 0x10001:
        yield Finding('power', OK, f'the voltage is right, {hottest:.0f} °C')


def clock(machine: Machine) -> Iterator[Finding]:
    """Look whether the clock can be right at all: a Raspberry Pi has none of its own."""
    now = time.time()
    if now < _EARLIEST:
        yield Finding('clock', FAIL, f'it says {time.strftime("%Y-%m-%d", time.gmtime(now))}',
                      'sudo timedatectl set-ntp true, and start the nodes when '
                      '`timedatectl` says that the clock is synchronized')
    else:
        yield Finding('clock', OK, time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(now)))
