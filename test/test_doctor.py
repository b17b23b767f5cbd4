"""What `instseg doctor` finds on a machine: each cause in words, with its cure."""

import fcntl
import json
import os
from pathlib import Path
import subprocess
import sys
from types import SimpleNamespace

from fakes.machine import CONFIG, FakePi, MODEL
from instseg_ros.commands.doctor import main as doctor
from instseg_ros.doctor import (ai_camera, devices, python_packages, resources, ros_installation,
                                shared_memory)
from instseg_ros.doctor.checks import examine_machine, MACHINE_CHECKS
from instseg_ros.doctor.finding import Finding, Machine
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
DRIVER = '/sys/bus/i2c/drivers/imx500'
JAZZY = {'ROS_DISTRO': 'jazzy'}


@pytest.fixture
def pi(tmp_path):
    return FakePi(tmp_path / 'pi')


def machine(pi, environment=JAZZY, **options):
    return Machine(pi.root, environment, **options)


def to_mend(check, looked_at):
    return [f for f in check(looked_at) if f.to_mend]


def only(findings):
    found = list(findings)
    assert len(found) == 1, found
    return found[0]


def test_healthy_machine_has_nothing_to_mend(pi):
    found = list(examine_machine(machine(pi)))
    assert not [f for f in found if f.to_mend]
    states = {f.name: f.state for f in found}
    for part in ('driver', 'devices', 'firmware', 'network', 'libcamera', 'NumPy', 'picamera2'):
        assert states[f'AI Camera: {part}'] == 'ok'
    for name in ('cameras', 'shared memory', 'memory', 'power', 'Fast DDS profile', 'ROS 2'):
        assert states[name] == 'ok'


# What is broken, the check that finds it, what it says, and what mends it.
BROKEN = [
    (lambda pi: pi.remove(DRIVER), ai_camera.kernel_driver, 'has no driver of the AI Camera',
     'run Raspberry Pi OS'),
    (lambda pi: (pi.remove(f'{DRIVER}/10-001a'),
                 pi.write('/lib/modules/6.12.25+rpt-rpi-2712/modules.dep',
                          'kernel/drivers/media/i2c/imx500.ko.xz: a.ko\n')),
     ai_camera.kernel_driver, 'no AI Camera is connected', 'reseat its cable'),
    (lambda pi: (pi.remove(f'{DRIVER}/10-001a'), pi.write(CONFIG, 'camera_auto_detect=0\n')),
     ai_camera.kernel_driver, 'neither camera_auto_detect=1 nor', 'camera_auto_detect=1 into'),
    (lambda pi: pi.remove('/dev/dma_heap'), ai_camera.device_rights, 'no /dev/dma_heap',
     '--privileged'),
    (lambda pi: pi.remove('/lib/firmware/imx500_loader.fpk'), ai_camera.firmware_and_network,
     'has no imx500_loader.fpk', 'reinstall imx500-firmware'),
    (lambda pi: pi.path(MODEL).rename(pi.path(MODEL).with_name('mine.rpk')),
     ai_camera.firmware_and_network,
     'deeplabv3plus.rpk is not there; there are /usr/share/imx500-models/mine.rpk',
     'reinstall imx500-models'),
    (lambda pi: pi.write(MODEL, 'half of it'), ai_camera.firmware_and_network, 'a damaged one',
     'reinstall imx500-models'),
    (lambda pi: pi.installed(**{'libcamera0.6': '0.6.0-1'}), ai_camera.libcamera,
     "not Raspberry Pi's, but libcamera0.6 0.6.0-1", 'archive.raspberrypi.com'),
    (lambda pi: pi.installed(**{'libcamera0.6': None}), ai_camera.libcamera, 'not installed',
     'apt install'),
    (lambda pi: pi.write('/usr/local/lib/aarch64-linux-gnu/libcamera.so.0.5'),
     ai_camera.libcamera, 'there are two: /usr/local/lib/aarch64-linux-gnu/libcamera.so.0.5',
     'ninja -C build uninstall'),
    (lambda pi: pi.installed(**{'python3-picamera2': None}), ai_camera.picamera2,
     'not installed', 'apt install python3-picamera2'),
    (lambda pi: pi.installed(**{'python3-picamera2': '0.3.12-1'}), ai_camera.picamera2,
     '0.3.12-1, expected 0.3.30', 'full-upgrade'),
    (lambda pi: pi.installed(**{'libcamera0.6': None, 'libcamera0.5': '0.5.0+rpt1-1'}),
     ai_camera.picamera2, 'does not go with libcamera 0.5.0', 'full-upgrade'),
    (lambda pi: pi.installed(**{'python3-numpy': '1:9.24.2-1'}), ai_camera.picamera2,
     f'built for 9.24.2, and {sys.executable} has {np.__version__}',
     'pip install "numpy==9.24.2"'),
    (lambda pi: pi.python('3.99'), ai_camera.picamera2, 'for Python 3.99 of the system',
     'capture_python'),
    (lambda pi: pi.shared_memory('65536k'), shared_memory.shared_memory,
     '/dev/shm has 64 MiB', '--shm-size=1g'),
    (lambda pi: pi.remove('/dev/shm'), shared_memory.shared_memory, 'no /dev/shm', 'mount'),
    (lambda pi: pi.write('/proc/meminfo', 'MemAvailable: 100000 kB\n'), resources.free_memory,
     '102 MB available', 'composed:=true'),
    (lambda pi: pi.write('/sys/devices/platform/soc/soc:firmware/get_throttled', '50005\n'),
     resources.power, 'the voltage is too low', 'power supply'),
    (lambda pi: pi.write('/sys/devices/platform/soc/soc:firmware/get_throttled', '50000\n'),
     resources.power, 'the voltage was too low', 'power supply'),
    (lambda pi: pi.write('/sys/class/thermal/thermal_zone0/temp', '86000\n'),
     resources.power, '86 °C', 'cooler'),
]


@pytest.mark.parametrize(('change', 'check', 'seen', 'cure'), BROKEN,
                         ids=[f'{b[1].__name__}: {b[2]}' for b in BROKEN])
def test_fault_is_named_with_its_cure(pi, change, check, seen, cure):
    assert not to_mend(check, machine(pi))
    change(pi)
    found = only(to_mend(check, machine(pi, source='imx500')))
    assert seen in found.seen
    assert cure in found.cure


def test_no_check_cries_wolf_where_there_is_no_camera(pi):
    for name in (DRIVER, '/dev/video0', '/dev/media0', '/dev/v4l-subdev0', '/lib/firmware',
                 '/usr/share/imx500-models', '/var/lib/dpkg', '/boot'):
        pi.remove(name)
    pi.write('/proc/device-tree/model', '')
    found = list(examine_machine(machine(pi)))
    assert not [f for f in found if f.to_mend]
    assert only(f for f in found if f.name == 'AI Camera').state == 'skip'


def test_absence_of_a_wanted_camera_is_a_fault(pi):
    found = only(to_mend(devices.video_devices, machine(pi, source='/dev/video7')))
    assert found.name == '/dev/video7'
    assert 'there are: /dev/video0' in found.seen
    pi.remove(f'{DRIVER}/10-001a')
    assert not to_mend(ai_camera.kernel_driver, machine(pi))
    assert to_mend(ai_camera.kernel_driver, machine(pi, source='imx500'))


@pytest.mark.parametrize('check', [devices.video_devices, ai_camera.device_rights])
def test_devices_that_this_user_may_not_open(pi, monkeypatch, check):
    monkeypatch.setattr(devices.os, 'access', lambda path, mode: False)
    found = only(to_mend(check, machine(pi)))
    assert 'this user may not open /dev/' in found.seen
    assert 'usermod -aG video' in found.cure


def test_without_a_driver_the_rest_is_not_asked_for(pi):
    for name in (DRIVER, '/lib/firmware', '/usr/share/imx500-models', '/var/lib/dpkg'):
        pi.remove(name)
    found = [f for f in examine_machine(machine(pi, source='imx500')) if f.to_mend]
    assert only(found).name == 'AI Camera: driver'


def test_container_beside_a_capture_process_needs_no_camera(pi):
    for name in ('/dev/media0', '/lib/firmware', '/usr/share/imx500-models', '/var/lib/dpkg'):
        pi.remove(name)
    assert any(f.to_mend for f in examine_machine(machine(pi)))
    pi.write('/.dockerenv')
    assert not any(f.to_mend for f in examine_machine(machine(pi)))


def test_libcamera_of_ros_before_the_system_s(pi):
    folder = '/opt/ros/jazzy/lib'
    pi.write(f'{folder}/libcamera.so.0.4')
    assert not to_mend(ai_camera.libcamera, machine(pi))
    found = only(to_mend(ai_camera.libcamera, machine(pi, {'LD_LIBRARY_PATH': folder})))
    assert f'{folder}/libcamera.so.0.4 is in LD_LIBRARY_PATH' in found.seen
    assert 'LD_LIBRARY_PATH= in front' in found.cure


def test_model_of_a_parameter(pi):
    found = only(to_mend(ai_camera.firmware_and_network, machine(pi, model='/home/pi/own.rpk')))
    assert found.seen.startswith('/home/pi/own.rpk is not there')


def profile(pi, size):
    pi.write('/home/pi/mine.xml', (ROOT / 'config' / 'fastdds.xml').read_text().replace(
        '67108864', str(size)))
    return '/home/pi/mine.xml'


@pytest.mark.parametrize(('distro', 'variables', 'seen', 'cure'), [
    ('jazzy', {'FASTDDS_DEFAULT_PROFILES_FILE': 67108864}, 'which jazzy does not read',
     'export FASTRTPS_DEFAULT_PROFILES_FILE=/home/pi/mine.xml'),
    ('kilted', {'FASTRTPS_DEFAULT_PROFILES_FILE': 67108864}, 'deprecated',
     'export FASTDDS_DEFAULT_PROFILES_FILE=/home/pi/mine.xml'),
    ('kilted', {'FASTDDS_DEFAULT_PROFILES_FILE': 524288}, 'a segment of 512 KiB'
     .replace('a segment', 'a shared memory segment'), 'segment_size'),
    ('kilted', {'FASTDDS_BUILTIN_TRANSPORTS': 0}, 'are lost', 'unset'),
])
def test_profile_of_fast_dds(pi, distro, variables, seen, cure):
    environment = {'ROS_DISTRO': distro, **{
        name: profile(pi, size) if size else 'UDPv4' for name, size in variables.items()}}
    found = only(to_mend(shared_memory.profile, machine(pi, environment)))
    assert seen in found.seen
    assert cure in found.cure


@pytest.mark.parametrize('text', [None, '<dds><oops'])
def test_profile_that_cannot_be_read(pi, text):
    if text:
        pi.write('/home/pi/mine.xml', text)
    found = only(shared_memory.profile(machine(pi, {
        'ROS_DISTRO': 'jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE': '/home/pi/mine.xml'})))
    assert 'cannot be read' in found.seen


@pytest.mark.parametrize(('distro', 'variable'), [('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
                                                  ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE')])
def test_good_profile(pi, distro, variable):
    environment = {'ROS_DISTRO': distro, variable: profile(pi, 67108864)}
    assert only(shared_memory.profile(machine(pi, environment))).state == 'ok'


def segment(pi, name, mebibytes):
    pi.path(f'/dev/shm/{name}').write_bytes(b'x' * (mebibytes << 20))
    pi.write(f'/dev/shm/{name}_el')
    return pi.path(f'/dev/shm/{name}_el')


@pytest.mark.parametrize('name', ['fastrtps_1', 'fastdds_1'])
def test_segments_of_killed_processes(pi, name):
    pi.shared_memory('102400k')
    lock = segment(pi, name, 20)
    found = only(to_mend(shared_memory.leftover_segments, machine(pi)))
    assert '1 files, 20 MiB, of processes that were killed' in found.seen
    with open(lock) as file:  # as a process holds it that lives
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not to_mend(shared_memory.leftover_segments, machine(pi))
        command = ['bash', '-c', found.cure.replace('/dev/shm', str(pi.path('/dev/shm')))]
        subprocess.run(command)
        assert lock.exists()
    subprocess.run(command, check=True)
    assert not list(pi.path('/dev/shm').iterdir())
    assert not to_mend(shared_memory.leftover_segments, machine(pi))


def test_shared_memory_filled_by_killed_processes(pi):
    pi.shared_memory(f'{400 * 1024}k')
    segment(pi, 'fastdds_1', 250)
    found = only(to_mend(shared_memory.shared_memory, machine(pi)))
    assert '150 are free' in found.seen
    assert 'rm -f' in found.cure


def test_segments_of_another_user(pi, monkeypatch):
    lock = segment(pi, 'fastdds_1', 1)
    monkeypatch.setattr(shared_memory.os, 'access', lambda path, mode: False)
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = only(to_mend(shared_memory.leftover_segments, machine(pi)))
    assert '/dev/shm/fastdds_1' in found.seen
    assert 'run all nodes as one user' in found.cure


def test_nothing_of_fast_dds_where_it_is_not_used(pi):
    pi.shared_memory('65536k')
    for environment in ({}, {'ROS_DISTRO': 'jazzy', 'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'}):
        found = [f for check in (shared_memory.profile, shared_memory.shared_memory,
                                 shared_memory.leftover_segments)
                 for f in check(machine(pi, environment))]
        assert {f.state for f in found} == {'skip'}


@pytest.mark.parametrize(('environment', 'installed', 'state', 'seen', 'cure'), [
    ({}, (), 'skip', 'not in this shell', ''),
    ({}, ('humble',), 'skip', 'not in this shell', ''),
    ({}, ('humble', 'jazzy'), 'warn', 'jazzy is in /opt/ros', 'source /opt/ros/jazzy/setup.bash'),
    ({'ROS_DISTRO': 'humble'}, ('humble', 'jazzy'), 'fail', 'humble is too old',
     'source /opt/ros/jazzy/setup.bash'),
    ({'ROS_DISTRO': 'noetic'}, (), 'fail', 'noetic is too old', 'ros:jazzy'),
    ({'ROS_DISTRO': 'kilted', 'AMENT_PREFIX_PATH': '/home/a/ws:/opt/ros/kilted:/opt/ros/jazzy'},
     (), 'fail', 'two distributions in one shell: jazzy, kilted', 'new terminal'),
    ({'ROS_DISTRO': 'lyrical', 'AMENT_PREFIX_PATH': '/home/a/ws:/opt/ros/lyrical'}, (), 'ok',
     'lyrical', ''),
])
def test_ros_installation(pi, environment, installed, state, seen, cure):
    for name in installed:
        pi.write(f'/opt/ros/{name}/setup.bash')
    found = only(ros_installation.ros(machine(pi, environment)))
    assert found.state == state
    assert seen in found.seen
    assert cure in found.cure


@pytest.mark.parametrize(('name', 'value'), [
    ('ROS_DOMAIN_ID', 'mine'), ('ROS_DOMAIN_ID', '233'),
    ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCAL'), ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')])
def test_variables_that_keep_nodes_apart(pi, name, value):
    assert not to_mend(ros_installation.discovery, machine(pi, {**JAZZY, name: ''}))
    found = only(to_mend(ros_installation.discovery, machine(pi, {**JAZZY, name: value})))
    assert name in found.seen
    assert name in found.cure


@pytest.mark.parametrize(('free', 'state'), [(5e7, 'fail'), (5e8, 'warn'), (5e9, 'ok')])
def test_disk(monkeypatch, free, state):
    monkeypatch.setattr(resources.shutil, 'disk_usage', lambda _: SimpleNamespace(free=free))
    assert only(resources.free_disk(Machine())).state == state


@pytest.mark.parametrize(('now', 'state'), [(86400.0, 'fail'), (1.8e9, 'ok')])
def test_clock_without_battery(monkeypatch, now, state):
    monkeypatch.setattr(resources.time, 'time', lambda: now)
    assert only(resources.clock(Machine())).state == state


def break_package(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f'{name}.py').write_text(text)


@pytest.mark.parametrize(('module', 'text', 'name', 'seen', 'cure'), [
    ('zmq', '__version__ = "20.0"', 'pyzmq', '20.0, expected 24 or newer', '"pyzmq>=24"'),
    ('scipy', 'import no_such_module', 'scipy', 'No module named', 'scipy'),
    ('cv2', 'raise ImportError("numpy.core.multiarray failed to import")',
     'opencv-python-headless', 'numpy.core', 'built for another NumPy'),
    ('cv2', 'raise ImportError("libGL.so.1: cannot open shared object file")',
     'opencv-python-headless', 'libGL', 'opencv-python-headless'),
    ('yaml', 'import os; os.abort()', 'pyyaml', 'ended the process', 'pyyaml'),
])
def test_packages_that_do_not_import(monkeypatch, tmp_path, module, text, name, seen, cure):
    assert not to_mend(python_packages.packages, Machine())
    break_package(tmp_path / 'first', module, text)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path / "first"}:{os.environ.get("PYTHONPATH", "")}')
    found = only(to_mend(python_packages.packages, Machine()))
    assert found.name == name
    assert seen in found.seen
    assert cure in found.cure
    assert 'pip' in found.cure or 'apt' in found.cure


def test_every_requirement_is_looked_at():
    found = only(python_packages.packages(Machine()))
    from importlib.metadata import requires
    for line in requires('instseg_ros'):
        if 'extra' not in line:
            assert line.split('>')[0].lower() in found.seen


def test_several_opencvs(monkeypatch):
    def installed(*pairs):
        monkeypatch.setattr(python_packages.metadata, 'distributions',
                            lambda: [SimpleNamespace(name=n, version=v) for n, v in pairs])
        return to_mend(python_packages.several_opencvs, Machine())

    assert not installed(('opencv-python', '4.9.0'), ('numpy', '2.0'))
    found = only(installed(('opencv-python', '4.9.0'), ('opencv-contrib-python', '4.6.0')))
    assert 'opencv-contrib-python 4.6.0' in found.seen
    assert 'uninstall -y opencv-contrib-python opencv-python &&' in found.cure


def test_a_check_that_fails_hides_no_other(monkeypatch, pi):
    def broken(_):
        raise ValueError('what now')
        yield

    def fine(_):
        yield Finding('other', 'ok', 'fine')

    monkeypatch.setattr('instseg_ros.doctor.checks.MACHINE_CHECKS', (broken, fine))
    assert [f.state for f in examine_machine(machine(pi))] == ['fail', 'ok']
    assert len(MACHINE_CHECKS) > 15


def test_command(pi, capsys):
    assert doctor(['--root', str(pi.root)]) == 0
    said = capsys.readouterr().out
    assert 'nothing to mend' in said
    pi.path(MODEL).unlink()
    assert doctor(['--root', str(pi.root)]) == 1
    said = capsys.readouterr().out
    assert 'FAIL AI Camera: network' in said
    assert '-> sudo apt install --reinstall imx500-models' in said
    assert '1 to mend' in said


def test_command_as_json(pi, capsys):
    assert doctor(['--json', '--root', str(pi.root), '--source', '/dev/video7']) == 1
    said = json.loads(capsys.readouterr().out)
    assert said['healthy'] is False
    found = only(f for f in said['findings'] if f['state'] == 'fail')
    assert found.keys() == {'name', 'state', 'seen', 'cure'}
    assert found['name'] == '/dev/video7'


@pytest.mark.parametrize('arguments', [['--duration', '-1'], ['--root', '/no/such/folder']])
def test_arguments_that_make_no_sense(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        doctor(arguments)
    assert ended.value.code == 2
    assert 'expected' in capsys.readouterr().err


@pytest.mark.parametrize('missing', ['numpy', 'cv2', 'rosbags', 'zmq', 'rclpy'])
def test_works_where_a_package_is_missing(tmp_path, missing):
    # As the package were not there: for the doctor, and for the process in which it tries.
    break_package(tmp_path / 'first', missing,
                  f'raise ModuleNotFoundError("No module named {missing!r}")')
    environment = {**os.environ, 'ROS_DISTRO': 'kilted', 'PYTHONPATH': f'{tmp_path / "first"}:'
                   + os.environ.get('PYTHONPATH', '')}
    done = subprocess.run(
        [sys.executable, '-c', 'import sys; from instseg_ros.cli import main; sys.exit(main())',
         'doctor', '--json', '--duration', '0'], env=environment, capture_output=True, text=True)
    assert 'Traceback' not in done.stderr, done.stderr
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert any(missing in f['seen'] and f['state'] == 'fail' for f in said['findings'])
