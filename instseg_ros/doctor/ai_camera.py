"""The Raspberry Pi AI Camera: kernel, devices, firmware, network, libcamera, picamera2."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import re
import subprocess
import sys

from .devices import JOIN_VIDEO, may_use
from .finding import FAIL, Finding, Machine, OK, SKIP, version_of, WARN
from .python_packages import pip_install

_DRIVER = '/sys/bus/i2c/drivers/imx500'
_CONFIG = '/boot/firmware/config.txt'
_FIRMWARE = ('imx500_loader.fpk', 'imx500_firmware.fpk')
_NETWORK_PART = b'network_info.txt'  # a file in the archive at the end of every network
_OLDEST = (0, 3, 30)  # picamera2, as cameras/imx500 needs it
_NOT_ONLY_ROOT = (0, 3, 35)  # before, it reads what only root may
_COUNTS_FRAMES = (0, 3, 32)  # goes with a libcamera from 0.6 on
_UPGRADE = 'sudo apt update && sudo apt full-upgrade, and reboot'
_TIMEOUT_S = 60.0


def kernel_driver(machine: Machine) -> Iterator[Finding]:
    """Look whether the kernel has the driver, and whether it found a camera."""
    release = machine.read('/proc/sys/kernel/osrelease')
    model = machine.read('/proc/device-tree/model') or 'no Raspberry Pi'
    if not _is_expected(machine):
        yield Finding('AI Camera', SKIP, f'none here ({model}); to have its absence explained: '
                      'instseg doctor --source imx500')
        return
    if not _has_driver(machine):
        yield Finding('AI Camera: driver', FAIL, f'this kernel ({release}, {model}) has no driver '
                      "of the AI Camera; only Raspberry Pi's have",
                      'run Raspberry Pi OS on a Raspberry Pi, with ROS in a container if need be: '
                      'docs/raspberry_pi.md')
        return
    if not _cameras(machine):
        automatic, overlay = _configured(machine)
        if machine.path(_CONFIG).is_file() and not (automatic or overlay):
            yield Finding('AI Camera: driver', FAIL, f'no AI Camera was looked for at boot: '
                          f'{_CONFIG} has neither camera_auto_detect=1 nor dtoverlay=imx500',
                          f'write camera_auto_detect=1 into {_CONFIG}, and reboot')
        else:
            yield Finding('AI Camera: driver', FAIL, 'no AI Camera is connected, or it was not '
                          'found at boot', 'reseat its cable, contacts as the manual shows, and '
                          'reboot; rpicam-hello --list-cameras must name imx500')
        return
    yield Finding('AI Camera: driver', OK, f'{_cameras(machine)[0]}, kernel {release}')


def device_rights(machine: Machine) -> Iterator[Finding]:
    """Look whether this user may open all that the camera takes."""
    if not _is_usable(machine):
        return
    heaps = machine.find('/dev/dma_heap/*')
    if not heaps:
        yield Finding('AI Camera: devices', FAIL, 'there is no /dev/dma_heap, from which its '
                      'buffers come', f'in a container: --privileged -v /run/udev:/run/udev:ro; '
                      f'elsewhere: {_UPGRADE}')
    devices = [*machine.find('/dev/media*'), *machine.find('/dev/v4l-subdev*'), *heaps]
    refused = [path for path in devices if not may_use(path)]
    if refused:
        yield Finding('AI Camera: devices', FAIL, 'this user may not open '
                      + ', '.join(map(machine.name, refused)), JOIN_VIDEO)
    elif heaps:
        yield Finding('AI Camera: devices', OK, f'{len(devices)}, all of which may be opened')


def firmware_and_network(machine: Machine) -> Iterator[Finding]:
    """Look for the files that are uploaded to the camera."""
    if not _is_usable(machine) and not machine.model:
        return
    # A container may be without: the kernel reads the host's.
    if _is_usable(machine) and machine.path('/lib/firmware').is_dir():
        missing = [name for name in _FIRMWARE if not any(
            machine.find(f'{folder}/firmware/{name}*') for folder in ('/lib', '/usr/lib'))]
        if missing:
            yield Finding('AI Camera: firmware', FAIL, f'/lib/firmware has no '
                          f'{" and no ".join(missing)}',
                          'sudo apt install --reinstall imx500-firmware')
        else:
            yield Finding('AI Camera: firmware', OK, ', '.join(_FIRMWARE))
    from ..cameras import CameraSettings
    usual = CameraSettings().model
    name = machine.model or usual
    file = Path(name).expanduser() if machine.is_this_one else machine.path(name)
    repair = ('sudo apt install --reinstall imx500-models' if name == usual else
              f'give the parameter model a file that is there, or leave it away ({usual})')
    others = [machine.name(path) for path in machine.find('/usr/share/imx500-models/*.rpk')]
    if not file.is_file():
        yield Finding('AI Camera: network', FAIL, f'{name} is not there; '
                      + (f'there are {", ".join(others)}' if others else 'nor is any other'),
                      repair)
    elif _NETWORK_PART not in file.read_bytes():
        yield Finding('AI Camera: network', FAIL, f'{name} is no network of the AI Camera, or a '
                      f'damaged one: {file.stat().st_size} bytes without {_NETWORK_PART.decode()}',
                      repair)
    else:
        yield Finding('AI Camera: network', OK, f'{name}, {file.stat().st_size / 1e6:.1f} MB')


def libcamera(machine: Machine) -> Iterator[Finding]:
    """Look for a libcamera that is not Raspberry Pi's."""
    if not _is_usable(machine):
        return
    versions = {name: version for name, version in machine.debian_packages.items()
                if re.fullmatch(r'libcamera[\d.]+', name)}
    if not versions:
        yield Finding('AI Camera: libcamera', FAIL, 'it is not installed',
                      'sudo apt install imx500-all python3-picamera2')
        return
    foreign = {name: version for name, version in versions.items() if 'rpt' not in version}
    if len(foreign) == len(versions):
        yield Finding('AI Camera: libcamera', FAIL, "not Raspberry Pi's, but "
                      + _listed(foreign), "add Raspberry Pi's package archive "
                      '(archive.raspberrypi.com/debian), and sudo apt full-upgrade')
        return
    first = _first_libcamera(machine)
    if first:
        path, why, cure = first
        yield Finding('AI Camera: libcamera', FAIL, f'there are two: {path} {why}, before '
                      f"Raspberry Pi's ({_listed(versions)})", cure)
        return
    yield Finding('AI Camera: libcamera', OK, _listed(versions))


def picamera2(machine: Machine) -> Iterator[Finding]:
    """Look at picamera2, and what it was built for."""
    if not _is_usable(machine):
        return
    installed = machine.debian_packages
    said = installed.get('python3-picamera2', '')
    version, name = version_of(said), 'AI Camera: picamera2'
    if not said:
        yield Finding(name, FAIL, 'it is not installed',
                      'sudo apt install python3-picamera2 imx500-all')
        return
    if version < _OLDEST:
        yield Finding(name, FAIL, f'{said}, expected {".".join(map(str, _OLDEST))} or newer',
                      _UPGRADE)
        return
    libraries = [version_of(v) for n, v in installed.items()
                 if re.fullmatch(r'libcamera[\d.]+', n)]
    if version >= _COUNTS_FRAMES and libraries and max(libraries) < (0, 6):
        yield Finding(name, FAIL, f'{said} does not go with libcamera '
                      f'{".".join(map(str, max(libraries)))}: expected 0.6 or newer', _UPGRADE)
        return
    if version < _NOT_ONLY_ROOT and os.geteuid() != 0:
        yield Finding(name, FAIL, f'{said} reads /sys/kernel/debug, which only root may',
                      _UPGRADE)
        return
    yield from _numpy(machine)
    yield from _python(machine, said)


def _numpy(machine: Machine) -> Iterator[Finding]:
    """Compare the NumPy of this Python with the one that picamera2's packages are built for."""
    import numpy as np
    theirs = machine.debian_packages.get('python3-numpy', '')
    expected = version_of(theirs)
    if expected and version_of(np.__version__)[0] != expected[0]:
        known = '.'.join(map(str, expected))
        yield Finding('AI Camera: NumPy', FAIL, f"picamera2's packages are built for {known}, and "
                      f'{sys.executable} has {np.__version__}', pip_install(f'numpy=={known}'))
    else:
        yield Finding('AI Camera: NumPy', OK, np.__version__)


def _python(machine: Machine, version: str) -> Iterator[Finding]:
    """Look whether this Python can use picamera2, which is built for the system's only."""
    name, ours = 'AI Camera: picamera2', f'{sys.version_info[0]}.{sys.version_info[1]}'
    system = machine.path('/usr/bin/python3')
    theirs = os.readlink(system).removeprefix('python') if system.is_symlink() else ours
    if theirs != ours:
        yield Finding(name, WARN, f'{version} is for Python {theirs} of the system, and this is '
                      f'{ours}', 'have the other one run the camera, as docs/raspberry_pi.md '
                      'says: parameter capture_python:=/opt/instseg/bin/python')
        return
    if machine.is_this_one:
        # In a process of its own: picamera2 looks for devices when it is imported.
        done = subprocess.run(
            [sys.executable, '-c', 'from instseg_ros.cameras.imx500 import import_driver\n'
             'from instseg_ros.cameras import CameraError\n'
             'try:\n    import_driver()\nexcept CameraError as error:\n    print(error)'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, timeout=_TIMEOUT_S)
        if done.returncode or done.stdout.strip():
            yield Finding(name, FAIL, done.stdout.strip() or 'it ends the process that imports it',
                          'make the virtual environment as docs/raspberry_pi.md says, with '
                          '--system-site-packages, and the NumPy of the system in it')
            return
    yield Finding(name, OK, version)


def _is_expected(machine: Machine) -> bool:
    """Say whether an AI Camera should work here: it is there, configured or asked for."""
    if machine.source == 'imx500':
        return True
    # A container sees the host's camera in /sys, also where `instseg capture` runs on the host.
    if machine.in_container and not machine.find('/dev/media*'):
        return False
    return bool(_cameras(machine)) or _configured(machine)[1]


def _cameras(machine: Machine) -> list[str]:
    """Return the I2C names of the AI Cameras, like ``10-001a``."""
    return [path.name for path in machine.find(f'{_DRIVER}/[0-9]*-*')]


def _configured(machine: Machine) -> tuple[bool, bool]:
    """Return whether cameras are looked for at boot, and whether an AI Camera is named."""
    lines = [line.split('#')[0].strip() for line in machine.read(_CONFIG).splitlines()]
    return ('camera_auto_detect=1' in lines,
            any(re.match(r'dtoverlay=imx500\b', line) for line in lines))


def _has_driver(machine: Machine) -> bool:
    release = machine.read('/proc/sys/kernel/osrelease')
    return machine.path(_DRIVER).exists() or any(
        '/imx500.ko' in machine.read(f'/lib/modules/{release}/{name}')
        for name in ('modules.dep', 'modules.builtin'))


def _is_usable(machine: Machine) -> bool:
    """Say whether the rest of what the camera takes matters: without a driver nothing does."""
    return _is_expected(machine) and _has_driver(machine)


def _first_libcamera(machine: Machine) -> tuple[str, str, str] | None:
    """Return the libcamera before the system's, why it is, and the cure; None without one."""
    for name in ('LD_LIBRARY_PATH', 'PYTHONPATH'):
        for folder in filter(None, machine.environment.get(name, '').split(':')):
            found = [*machine.find(f'{folder}/libcamera.so*'),
                     *machine.find(f'{folder}/libcamera/__init__.py')]
            if found and not re.match(r'/usr/lib(/aarch64-linux-gnu)?/?$', folder):
                return (machine.name(found[0]), f'is in {name}',
                        f'start the camera with {name}= in front of its command, in a terminal '
                        'where ROS is not sourced')
    local = [*machine.find('/usr/local/lib/libcamera.so*'),
             *machine.find('/usr/local/lib/*/libcamera.so*'),
             *machine.find('/usr/local/lib/python3*/*-packages/libcamera')]
    if local:
        return (machine.name(local[0]), 'was built here',
                'sudo ninja -C build uninstall where it was built, or remove the libcamera* files '
                'in /usr/local/lib; then sudo ldconfig')
    return None


def _listed(versions: dict[str, str]) -> str:
    return ', '.join(f'{name} {version}' for name, version in sorted(versions.items()))
