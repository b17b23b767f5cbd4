"""The capture process: what it says, whom it lets in, how it ends."""
import dataclasses
import json
import logging
import os
from pathlib import Path
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from fakes.pictures import make_folder
import instseg_ros
from instseg_ros.cameras import Camera, CameraError, CameraSettings, Capture
from instseg_ros.cameras.capture_client import open_elsewhere, ProcessCamera, RemoteCamera
from instseg_ros.cameras.capture_options import as_arguments
from instseg_ros.cameras.capture_protocol import (default_address, pack, pack_capture,
                                                  prepare_address, unpack, unpack_capture)
from instseg_ros.cameras.capture_server import CaptureServer
from instseg_ros.cameras.upload_watch import describe_progress
from instseg_ros.cli import main
from instseg_ros.core import Instances, SettingsError
import numpy as np
import pytest
import zmq

TIMEOUT_S = 30.0  # only a test that fails waits this long
SETTINGS = CameraSettings(source='synthetic', width=64, height=48, frame_rate=100.0)
FAKES = Path(__file__).parent / 'fakes'


class ScriptedCamera(Camera):
    """Gives what the test puts into it."""

    rest_s = 0.0

    def __init__(self, settings):
        super().__init__(settings)
        self.captures = []
        self.closed = False
        self.error = None

    def _apply(self, settings):
        if settings.frame_rate == 13.0:
            raise SettingsError('frame_rate: 13 brings bad luck')

    def read(self, timeout_s):
        if self.error:
            raise self.error
        return self.captures.pop(0) if self.captures else time.sleep(0.002)

    def close(self):
        self.closed = True


class Serving:
    """A server in a thread, its cameras, and what its clients reported."""

    def __init__(self, folder):
        folder.mkdir(mode=0o700)
        self.address = f'ipc://{folder}/capture.sock'
        self.cameras = []
        self.opened = threading.Semaphore(0)
        self.failures = []
        self.reports = []
        self._clients = []
        self._stopping = threading.Event()
        self.server = CaptureServer(SETTINGS, self.address, open_with=self._open)
        self._thread = threading.Thread(target=self.server.run, args=[self._stopping])
        self._thread.start()

    def _open(self, settings):
        if self.failures:
            raise self.failures.pop(0)
        self.cameras.append(ScriptedCamera(settings))
        self.opened.release()
        return self.cameras[-1]

    def client(self, settings=SETTINGS):
        self._clients.append(RemoteCamera(settings, self.reports.append, self.address))
        return self._clients[-1]

    def running_client(self):
        camera = self.client()
        read_until(camera, running(camera))
        return camera

    def close(self):
        for client in self._clients:
            client.close()
        self._stopping.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def serving(tmp_path):
    made = Serving(tmp_path / 'run')
    yield made
    made.close()


def read_until(camera, condition):
    """Read until a condition holds; returns the captures that came."""
    captures, until = [], time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until
        capture = camera.read(0.02)
        captures += [capture] if capture else []
    return captures


def take(camera, count):
    """Return the next captures."""
    captures = []
    until = time.monotonic() + TIMEOUT_S
    while len(captures) < count:
        assert time.monotonic() < until, f'expected {count} captures, got {len(captures)}'
        capture = camera.read(0.2)
        captures += [capture] if capture else []
    return captures


def running(camera):
    return lambda: camera.details()['camera'] == 'running'


def make_capture(number, frame=True, mask=True, instances=None):
    rng = np.random.default_rng(number)
    return Capture(10**18 + number, rng.integers(0, 256, (6, 8, 3), np.uint8) if frame else None,
                   rng.integers(0, 256, (6, 8), np.uint8) if mask else None, instances)


def make_instances(count):
    rng = np.random.default_rng(count)
    labels = np.zeros((6, 8), np.uint16)
    labels[:count] = np.arange(1, count + 1)[:, None]
    return Instances(labels, rng.integers(1, 99, count, np.uint8), np.full(count, 8),
                     rng.random(count), rng.integers(0, 8, (count, 4), np.int32),
                     rng.random((count, 5)))


def assert_same(ours, theirs):
    for field in dataclasses.fields(Instances):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def ended(pid, timeout_s=TIMEOUT_S):
    """Wait for the end of any process; whether it came."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def environment(**more):
    root = Path(instseg_ros.__file__).parents[1]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join([str(root), str(FAKES)]), **more}


@pytest.mark.parametrize(('frame', 'mask'), [(True, True), (True, False), (False, True)])
def test_messages_there_and_back(frame, mask):
    capture = make_capture(1, frame, mask)
    head, *parts = pack_capture(capture, 7)
    assert all(p is i for p, i in zip(parts, [i for i in (capture.frame, capture.mask)
                                              if i is not None], strict=True))  # no copy
    fields = unpack(head)
    assert (fields['version'], fields['kind'], fields['sequence']) == (1, 'capture', 7)
    back = unpack_capture(fields, [p.tobytes() for p in parts])
    assert back.stamp_ns == capture.stamp_ns
    for ours, theirs in ((capture.frame, back.frame), (capture.mask, back.mask)):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)
            assert not theirs.flags.writeable


@pytest.mark.parametrize('count', [0, 3])
def test_instances_there_and_back(count):
    found = make_instances(count)
    head, *parts = pack_capture(make_capture(1, instances=found), 7)
    assert parts[-1] is found.labels
    fields = unpack(head)
    assert fields['version'] == 2
    back = unpack_capture(fields, [p.tobytes() for p in parts])
    assert_same(back.instances, found)
    assert not back.instances.labels.flags.writeable
    with pytest.raises(CameraError, match='expected the pixels that the head'):
        unpack_capture(fields, [p.tobytes() for p in parts[:-1]])
    fields['instances']['boxes'] = [3]
    with pytest.raises(CameraError, match='expected the pixels that the head'):
        unpack_capture(fields, [p.tobytes() for p in parts])


def test_clients_of_the_version_before_get_frames_and_masks(serving):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(serving.address)
    socket.send(json.dumps({'version': 1, 'kind': 'hello', 'live': {}}).encode())
    camera = serving.running_client()
    serving.cameras[0].captures.append(make_capture(1, instances=make_instances(2)))
    assert_same(take(camera, 1)[0].instances, make_instances(2))
    kind, parts = '', []
    while kind != 'capture':
        assert socket.poll(1000 * TIMEOUT_S)
        parts = socket.recv_multipart()
        head = json.loads(parts[0])
        assert head['version'] == 1
        kind = head['kind']
    context.destroy(linger=0)
    assert len(parts) == 3
    assert 'instances' not in head


def test_processes_of_the_version_before_understand_the_client(tmp_path):
    (tmp_path / 'run').mkdir(mode=0o700)
    address = f'ipc://{tmp_path}/run/capture.sock'
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(address)
    camera = RemoteCamera(SETTINGS, pytest.fail, address)
    camera.read(0.1)
    identity, hello = socket.recv_multipart()
    assert json.loads(hello)['version'] == 1
    capture = make_capture(1)
    head = {'version': 1, 'kind': 'capture', 'sequence': 1, 'stamp_ns': capture.stamp_ns,
            'frame': capture.frame.shape, 'mask': capture.mask.shape}
    socket.send_multipart([identity, json.dumps(head).encode(), capture.frame, capture.mask])
    got, = take(camera, 1)
    np.testing.assert_array_equal(got.mask, capture.mask)
    assert got.instances is None
    camera.close()
    context.destroy(linger=0)


def test_names_that_the_first_answer_tells(serving):
    camera = serving.running_client()
    before = camera.class_names
    serving.cameras[0].class_names = {0: 'background', 1: 'person'}
    read_until(camera, lambda: camera.class_names != before)
    assert camera.class_names == {0: 'background', 1: 'person'}


@pytest.mark.parametrize('head', [b'', b'[]', b'null', b'{"version": 1}', b'\xff',
                                  b'{"version": 1, "kind": 3}'])
def test_heads_that_are_none(head):
    with pytest.raises(CameraError, match='expected a message of instseg capture'):
        unpack(head)


def test_other_versions_and_cut_pixels():
    with pytest.raises(CameraError, match='expected version 1 to 2 .* got 3; install the same'):
        unpack(b'{"version": 3, "kind": "state"}')
    head, frame, _ = pack_capture(make_capture(1), 1)
    with pytest.raises(CameraError, match='expected the pixels that the head'):
        unpack_capture(unpack(head), [frame.tobytes()[:-1], b''])
    with pytest.raises(CameraError, match='expected the pixels that the head'):
        unpack_capture(unpack(head), [frame.tobytes()])


def test_captures_arrive_whole_and_in_order(serving):
    camera = serving.running_client()
    sent = [make_capture(k) for k in range(1, 9)]  # fewer than may wait
    serving.cameras[0].captures.extend(sent)
    got = take(camera, len(sent))
    for ours, theirs in zip(sent, got, strict=True):
        assert ours.stamp_ns == theirs.stamp_ns
        np.testing.assert_array_equal(ours.frame, theirs.frame)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
    assert camera.details()['captures lost on the way'] == '0'
    assert camera.class_names[15] == 'person'


def test_two_clients_see_the_same(serving):
    cameras = [serving.running_client(), serving.running_client()]
    serving.cameras[0].captures.append(make_capture(1))
    for camera in cameras:
        assert take(camera, 1)[0].stamp_ns == make_capture(1).stamp_ns
    assert len(serving.cameras) == 1


def test_settings_travel(serving):
    camera = serving.running_client()
    camera.settings = SETTINGS.changed(exposure_time=1234)
    read_until(camera, lambda: serving.cameras[0].settings.exposure_time == 1234)
    # What the server's own command line chose stays, where the client has no opinion.
    assert serving.cameras[0].settings.frame_rate == 100.0
    camera.settings = camera.settings.changed(frame_rate=13.0)
    read_until(camera, lambda: serving.reports)
    assert serving.reports == ['setting refused: frame_rate: 13 brings bad luck']
    assert serving.cameras[0].settings.frame_rate == 100.0


def test_a_camera_that_fails_is_opened_again(serving):
    camera = serving.running_client()
    serving.opened.acquire()
    serving.failures += [CameraError('the cable is out')]
    serving.cameras[0].error = CameraError('it stalled')
    read_until(camera, lambda: len(serving.cameras) == 2 and running(camera)())
    assert serving.reports == ['it stalled', 'the cable is out']
    assert serving.cameras[0].closed


def test_release_closes_the_camera_and_hello_opens_it(serving):
    first, second = serving.running_client(), serving.running_client()
    first.release()
    read_until(second, lambda: len(serving.server._clients) == 1)
    assert not serving.cameras[0].closed  # the other still looks
    second.release()
    until = time.monotonic() + TIMEOUT_S
    while not serving.cameras[0].closed:
        assert time.monotonic() < until
    serving.running_client()
    assert len(serving.cameras) == 2


def test_a_client_that_only_leaves_closes_nothing(serving):
    serving.running_client().close()
    serving.running_client()
    assert len(serving.cameras) == 1


def test_a_slow_client_is_known_by_its_losses(serving):
    camera = serving.running_client()
    big = Capture(1, np.zeros((1000, 1000, 3), np.uint8), None)
    serving.cameras[0].captures.extend([big] * 200)
    until = time.monotonic() + TIMEOUT_S
    while serving.cameras[0].captures:
        assert time.monotonic() < until
    read_until(camera, lambda: 'captures that a client was too slow for' in camera.details())
    serving.cameras[0].captures.append(big)
    read_until(camera, lambda: camera.details()['captures lost on the way'] != '0')


def test_garbage_is_answered_and_survived(serving):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(serving.address)
    for message in (b'hello', pack('hello', live=3), pack('hello', live={'width': 3}),
                    pack('hello', live={'nonsense': 1}), json.dumps({'version': 9, 'kind': 'x'})
                    .encode(), b'\0' * 1000):
        socket.send(message)
    problems = []
    while len(problems) < 6:
        assert socket.poll(1000 * TIMEOUT_S)
        fields = unpack(socket.recv_multipart()[0])
        if fields['kind'] == 'problem':
            problems.append(fields['text'])
    context.destroy(linger=0)
    assert any('expected version 1' in p for p in problems)
    assert any('no such setting' in p for p in problems)
    serving.running_client()


def test_sockets_are_the_users_alone(serving, tmp_path):
    socket = Path(serving.address[6:])
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(CameraError, match='another instseg capture listens there'):
        CaptureServer(SETTINGS, serving.address)
    (tmp_path / 'open').mkdir(mode=0o755)
    with pytest.raises(CameraError, match='only this user may enter'):
        CaptureServer(SETTINGS, f'ipc://{tmp_path}/open/capture.sock')
    with pytest.raises(CameraError, match='only this user may enter'):
        link = tmp_path / 'link'
        link.symlink_to(socket.parent)
        CaptureServer(SETTINGS, f'ipc://{link}/other.sock')


def test_default_address(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    assert default_address() == f'ipc://{tmp_path}/instseg/capture.sock'
    monkeypatch.delenv('XDG_RUNTIME_DIR')
    assert str(os.getuid()) in default_address()


@pytest.mark.parametrize(('address', 'words'), [
    ('tcp://0.0.0.0:5555', '--allow-remote'), ('tcp://192.168.1.5:5555', '--allow-remote'),
    ('tcp://*:5555', 'in numbers'), ('tcp://robot:5555', 'in numbers'),
    ('tcp://127.0.0.1', 'in numbers'), ('ipc://relative', 'to listen on'), ('x', 'to listen on'),
    ('ipc:///' + 'very' * 30 + '/capture.sock', 'expected a')])
def test_addresses_that_are_not_listened_on(address, words):
    with pytest.raises(CameraError, match=words):
        CaptureServer(SETTINGS, address)


def test_other_machines_only_when_asked_for(caplog):
    assert prepare_address('tcp://127.0.0.1:5555', False) is False
    with caplog.at_level(logging.WARNING):
        CaptureServer(SETTINGS, 'tcp://0.0.0.0:45871', allow_remote=True).close()
    assert 'open to other machines' in caplog.text


def test_tcp(tmp_path):
    server = CaptureServer(SETTINGS, 'tcp://127.0.0.1:45872')
    stopping = threading.Event()
    thread = threading.Thread(target=server.run, args=[stopping])
    thread.start()
    camera = open_elsewhere(SETTINGS.changed(capture_address='tcp://127.0.0.1:45872'), pytest.fail)
    assert read_until(camera, lambda: camera._sequence > 5)
    camera.close()
    stopping.set()
    thread.join()
    server.close()


def test_options_choose_settings():
    settings = CameraSettings(source='imx500', inference_roi=(1, 2, 3, 4), loop=False,
                              frame_rate=19.0, flip_vertical=True, white_balance='indoor')
    arguments = as_arguments(settings)
    assert arguments == ['--source=imx500', '--frame-rate=19.0', '--no-loop',
                         '--white-balance=indoor', '--flip-vertical', '--inference-roi', '1', '2',
                         '3', '4']
    from argparse import ArgumentParser
    from instseg_ros.cameras.capture_options import add_settings, chosen_settings
    parser = ArgumentParser()
    add_settings(parser, CameraSettings)
    assert chosen_settings(parser.parse_args(arguments), CameraSettings) == settings
    assert as_arguments(CameraSettings(frame_id='front', capture_python='/bin/python3')) == []


def test_command_refuses_in_a_sentence(capsys, tmp_path):
    assert main(['capture', '--listen', 'tcp://0.0.0.0:5555']) == 2
    assert '--allow-remote' in capsys.readouterr().err
    assert main(['capture', '--frame-rate', '1000']) == 2
    assert 'frame_rate: expected a number in [0, 240]' in capsys.readouterr().err


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command(tmp_path, number):
    (tmp_path / 'run').mkdir(mode=0o700)
    (tmp_path / 'run' / 'capture.sock.progress').touch()  # a watch of an upload was killed
    address = f'ipc://{tmp_path}/run/capture.sock'
    process = subprocess.Popen(
        [sys.executable, '-c', 'import sys; from instseg_ros.cli import main; sys.exit(main())',
         'capture', *as_arguments(SETTINGS), '--listen', address],
        env=environment(), stderr=subprocess.PIPE, text=True)
    camera = RemoteCamera(SETTINGS, pytest.fail, address)
    read_until(camera, lambda: camera._sequence > 3)
    started = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=TIMEOUT_S)
    camera.close()
    assert time.monotonic() - started < 2
    assert process.returncode == 0
    assert 'Traceback' not in said
    assert list((tmp_path / 'run').iterdir()) == []


def test_the_process_ends_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, '-c', 'from instseg_ros.cameras import CameraSettings\n'
         'from instseg_ros.cameras.capture_client import ProcessCamera\n'
         'camera = ProcessCamera(CameraSettings(source="synthetic"), print)\n'
         'while camera.read(1) is None: pass\n'
         'print(camera._process.pid, flush=True)\n'
         'while True: camera.read(1)\n'], env=environment(), stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert ended(child, 2.0)


def test_a_process_that_cannot_start():
    with pytest.raises(CameraError, match='capture_python: expected a Python interpreter'):
        open_elsewhere(SETTINGS.changed(capture_python='/absent/python'), pytest.fail)
    camera = open_elsewhere(SETTINGS.changed(capture_python='/bin/false'), pytest.fail)
    with pytest.raises(CameraError, match=r'died \(exit code 1\).*its own words are in the log'):
        read_until(camera, lambda: False)
    camera.close()


def test_killed_is_said_at_once_and_leaves_nothing():
    camera = ProcessCamera(SETTINGS, pytest.fail)
    read_until(camera, running(camera))
    folder = camera._folder
    os.kill(camera._process.pid, signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(CameraError, match=r'died \(SIGKILL\)'):
        read_until(camera, lambda: False)
    assert time.monotonic() - killed < 1
    camera.close()
    assert not folder.exists()


def test_a_frozen_process_is_ended_by_force():
    camera = ProcessCamera(SETTINGS, pytest.fail)
    read_until(camera, running(camera))
    pid = camera._process.pid
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < 2
    assert ended(pid, 0)


def frozen(tmp_path, monkeypatch, seconds):
    """Return a camera whose driver holds Python's lock while it opens."""
    from fakes.rpk import make_rpk
    for name, value in environment(FAKE_AI_CAMERA=str(seconds)).items():
        monkeypatch.setenv(name, value)
    return ProcessCamera(CameraSettings(
        source='imx500', model=str(make_rpk(tmp_path / 'network.rpk'))), pytest.fail)


def test_progress_is_heard_of_while_the_process_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setattr('instseg_ros.cameras.capture_client.SILENCE_S', 0.5)
    camera = frozen(tmp_path, monkeypatch, 2.0)
    read_until(camera, lambda: 'upload that may take minutes' in camera.details()['camera'])
    captures = read_until(camera, lambda: 'tensor rate (Hz)' in camera.details()
                          and float(camera.details()['tensor rate (Hz)']) > 5)
    assert any(c.mask is not None for c in captures)
    camera.close()


def test_a_frozen_driver_can_be_ended(tmp_path, monkeypatch):
    camera = frozen(tmp_path, monkeypatch, 600.0)
    read_until(camera, lambda: 'upload that may take minutes' in camera.details()['camera'])
    pid = camera._process.pid
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < 2
    assert ended(pid, 0)


def test_progress_in_words():
    assert describe_progress('0 10 100', 3) == 'uploading the loader: 10 %, 3 s'
    assert describe_progress('2 0 0', 3).startswith('opening the camera')
    assert describe_progress('7 1 2', 3).startswith('opening the camera')


def test_the_end_of_a_stream_is_the_end_of_the_process(tmp_path):
    folder = make_folder(tmp_path / 'pictures', 3)
    camera = ProcessCamera(CameraSettings(source=str(folder), loop=False, playback_rate=20.0),
                           pytest.fail)
    take(camera, 3)
    with pytest.raises(CameraError, match='the video is over'):
        take(camera, 1)
    assert ended(camera._process.pid)
    camera.close()


def test_systemd_is_told(tmp_path, monkeypatch):
    path = str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(TIMEOUT_S)
        monkeypatch.setenv('NOTIFY_SOCKET', path)
        serving = Serving(tmp_path / 'run')
        said = [listening.recv(100).decode() for _ in range(5)]
        serving.close()
    assert said[0] == 'READY=1'
    assert said[1] == 'WATCHDOG_USEC=600000000\nWATCHDOG=1'  # while the camera opens
    assert 'WATCHDOG_USEC=10000000\nWATCHDOG=1' in said
    assert 'WATCHDOG=1' in said
