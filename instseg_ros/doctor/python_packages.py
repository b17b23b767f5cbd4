"""Python and the packages that this one needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import sysconfig

from .finding import FAIL, Finding, Machine, OK, SKIP, version_of, WARN

OLDEST_PYTHON = (3, 10)
_MODULES = {'opencv-python-headless': 'cv2', 'pyyaml': 'yaml', 'pyzmq': 'zmq'}
_ONLY_PIP = {'rosbags', 'ai-edge-litert'}
_TIMEOUT_S = 60.0
# In a process of its own: what is built for something else may end the process that loads it.
_ENDED = 'ended the process'
_IMPORT = f"""
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, '', {_ENDED!r}]), flush=True)
    try:
        module = importlib.import_module(name)
        said = [name, str(getattr(module, '__version__', '')), '']
    except BaseException as error:
        said = [name, '', type(error).__name__ + ': ' + str(error)]
    print(json.dumps(said), flush=True)
"""


def python_version(machine: Machine) -> Iterator[Finding]:
    """Look at the interpreter."""
    version = '.'.join(map(str, sys.version_info[:3]))
    seen = f'{version}, {sys.executable}'
    if sys.prefix != sys.base_prefix:
        seen += ' (a virtual environment)'
    if sys.version_info < OLDEST_PYTHON:
        yield Finding('Python', FAIL, seen, 'install this package with Python 3.10 or newer')
    else:
        yield Finding('Python', OK, seen)


def packages(machine: Machine) -> Iterator[Finding]:
    """Import what the package requires, and compare the versions."""
    try:
        required = metadata.requires('instseg_ros') or []
    except metadata.PackageNotFoundError:
        yield Finding('packages', WARN, 'instseg_ros itself is not installed: Python found it in '
                      f'{Path(__file__).parents[2]}', f'{pip_install(".")} in that folder, or '
                      'colcon build and source install/setup.bash')
        return
    wanted = dict(_parse(line) for line in required if 'extra ==' not in line)
    modules = {_MODULES.get(name, name.replace('-', '_')): name for name in wanted}
    fine = []
    for module, (version, error) in try_imports(list(modules)).items():
        name = modules[module]
        oldest = wanted[name]
        version = version or _installed_version(name)
        if error:
            yield Finding(name, FAIL, f'it does not import: {error}',
                          _cure_of_import(name, oldest, error))
        elif version and version_of(version) < version_of(oldest):
            yield Finding(name, FAIL, f'{version}, expected {oldest} or newer',
                          _install(name, oldest))
        else:
            fine.append(f'{name} {version}'.strip())
    if fine:
        yield Finding('packages', OK, ', '.join(fine))


def several_opencvs(machine: Machine) -> Iterator[Finding]:
    """Look for packages that put their files into the same folder."""
    found = {d.name: d.version for d in metadata.distributions()
             if d.name and re.fullmatch(r'opencv(-contrib)?-python(-headless)?', d.name)}
    if len(set(found.values())) > 1:
        yield Finding('OpenCV', WARN, 'several packages overwrite the files of each other: '
                      + ', '.join(f'{n} {v}' for n, v in sorted(found.items())),
                      f'{sys.executable} -m pip uninstall -y {" ".join(sorted(found))} && '
                      + pip_install('opencv-python-headless'))


def opencv(machine: Machine) -> Iterator[Finding]:
    """Have OpenCV do what the package asks of it."""
    import cv2
    import numpy as np
    labels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    done, png = cv2.imencode('.png', labels)
    jpeg_done, _ = cv2.imencode('.jpg', labels.astype(np.uint8))
    read = cv2.imdecode(png, cv2.IMREAD_UNCHANGED) if done else None
    if read is None or not jpeg_done or not np.array_equal(read, labels):
        yield Finding('OpenCV', FAIL, f'{cv2.__version__} writes no PNG of 16 bit or no JPEG',
                      pip_install('--force-reinstall', 'opencv-python-headless'))
        return
    registry = cv2.videoio_registry
    cameras = [registry.getBackendName(b) for b in registry.getCameraBackends()]
    if 'V4L2' not in cameras:
        device = machine.source.startswith('/dev/')
        yield Finding('OpenCV', FAIL if device else OK,
                      f'{cv2.__version__}, without V4L2: it opens no /dev/video',
                      pip_install('--force-reinstall', 'opencv-python-headless') if device else '')
        return
    yield Finding('OpenCV', OK, f'{cv2.__version__}, writes JPEG and PNG, opens cameras by V4L2')


def cpu_networks(machine: Machine) -> Iterator[Finding]:
    """Look for what runs a TFLite network, which is optional."""
    version, error = try_imports(['ai_edge_litert.interpreter'])['ai_edge_litert.interpreter']
    if error.startswith('ModuleNotFoundError'):
        yield Finding('TFLite networks', SKIP, 'ai-edge-litert is not installed; only the '
                      'parameter `network` with a .tflite file needs it')
    elif error:
        yield Finding('TFLite networks', FAIL, error, _install('ai-edge-litert', ''))
    else:
        yield Finding('TFLite networks', OK,
                      f'ai-edge-litert {version or _installed_version("ai-edge-litert")}')


def try_imports(modules: Sequence[str]) -> dict[str, tuple[str, str]]:
    """
    Import modules in another process of this interpreter.

    Returns
    -------
    dict of str to (str, str)
        Version, where the module says it, and what went wrong, by module; '' for neither.

    """
    found: dict[str, tuple[str, str]] = {}
    again: set[str] = set()  # a process may also be ended by others: short of memory, by a user
    remaining = list(modules)
    while remaining:
        try:
            done = subprocess.run([sys.executable, '-c', _IMPORT, *remaining],
                                  capture_output=True, stdin=subprocess.DEVNULL, text=True,
                                  timeout=_TIMEOUT_S)
            said = done.stdout
            last_words = (done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]
        except subprocess.TimeoutExpired as late:
            said, last_words = (late.stdout or b'').decode(), f'after {_TIMEOUT_S:.0f} s'
        results = {name: (version, error) for name, version, error in map(
            json.loads, (line for line in said.splitlines() if line.startswith('["')))}
        if not results:  # not even the first one was tried
            results = dict.fromkeys(remaining, ('', f'Python does not start: {last_words}'))
        for name, (version, error) in results.items():
            if error == _ENDED and name not in again:
                again.add(name)
            else:
                found[name] = version, f'{error}: {last_words}' if error == _ENDED else error
        remaining = [name for name in remaining if name not in found]
    return found


def pip_install(*what: str) -> str:
    """Return the command that has pip install something for this interpreter."""
    managed = (sys.prefix == sys.base_prefix
               and Path(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED').exists())
    words = [f'"{w}"' if set(w) & set('<>=[') else w for w in what]
    return ' '.join([sys.executable, '-m pip install',
                     *(['--break-system-packages'] if managed else []), *words])


def _install(name: str, oldest: str) -> str:
    command = pip_install(f'{name}>={oldest}' if oldest else name)
    module = _MODULES.get(name, name)
    if sys.prefix == sys.base_prefix and name not in _ONLY_PIP and os.path.exists('/usr/bin/apt'):
        return f'sudo apt install python3-{ {"cv2": "opencv"}.get(module, module)}'
    return command


def _cure_of_import(name: str, oldest: str, error: str) -> str:
    missing = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", error)
    if missing and missing.group(1) == _MODULES.get(name, name.replace('-', '_')):
        return _install(name, oldest)
    if 'libGL' in error or 'libgthread' in error:
        return (f'{sys.executable} -m pip uninstall -y opencv-python opencv-contrib-python && '
                + pip_install('--force-reinstall', 'opencv-python-headless'))
    again = pip_install('--force-reinstall', f'{name}>={oldest}' if oldest else name)
    if 'numpy' in error.lower() or '_ARRAY_API' in error:
        return f'it is built for another NumPy: {again}'
    return again


def _parse(requirement: str) -> tuple[str, str]:
    """Return name and oldest version of a requirement."""
    found = re.match(r'([\w.-]+)[^;]*?(?:>=\s*([\d.]+))?\s*(?:;|$)', requirement)
    assert found, requirement
    return found.group(1).lower(), found.group(2) or ''


def _installed_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ''
