"""The contract that every camera keeps."""
import contextlib
import os
import signal
import threading
import time

from fakes.instance_tensors import SIZE as INSTANCES_SIZE, suppressed
from fakes.onnx_network import make_onnx, make_yolo
from fakes.pictures import (FakeDevice, make_folder, make_recording, make_video, NetworkCamera,
                            PERSON)
from fakes.rpk import make_rpk
from instseg_ros.cameras import CameraError, CameraSettings, EndOfStream, open_camera
from instseg_ros.cameras.capture_client import ProcessCamera, RemoteCamera
from instseg_ros.cameras.capture_server import CaptureServer
from instseg_ros.core import Instances, SettingsError
from instseg_ros.recordings.recorder import Recorder
import numpy as np
import pytest

TIMEOUT_S = 30.0  # only a test that fails waits this long
RECORDINGS = [f'{plugin}-{form}' for plugin in ('MCAP', 'SQLITE3')
              for form in ('raw', 'compressed')]
VIDEOS = ['video', 'folder', 'device', 'url']
ELSEWHERE = ['remote', 'process']
# The same with a network that gives instances by itself.
OF_INSTANCES = ['imx500 instances', 'video instances', 'device instances', 'recording instances',
                'process instances']
ALL = ['synthetic', 'sample', 'imx500', *RECORDINGS, *VIDEOS, *ELSEWHERE, *OF_INSTANCES]


class Rig:
    """One kind of camera: settings to open it with, and a way to do so."""

    def __init__(self, name, settings, opener=open_camera):
        self.name, self.settings, self._opener = name, settings, opener
        self.device = None
        self.person = PERSON
        self._opened = []

    def open(self, **changes):  # noqa: A003
        camera = self._opener(self.settings.changed(**changes))
        self._opened.append(camera)
        return camera

    def close(self):
        for camera in self._opened:
            camera.close()


@pytest.fixture
def server(tmp_path):
    """Run a capture process's server in a thread, at an address of its own."""
    with contextlib.ExitStack() as running:
        def start(settings, **options):
            folder = tmp_path / 'run'
            folder.mkdir(mode=0o700, exist_ok=True)
            serving = CaptureServer(settings, f'ipc://{folder}/capture.sock', **options)
            stopping = threading.Event()
            thread = threading.Thread(target=serving.run, args=[stopping])
            thread.start()
            running.callback(serving.close)
            running.callback(thread.join)
            running.callback(stopping.set)
            return serving, f'ipc://{folder}/capture.sock'

        yield start


@pytest.fixture
def rig(request, tmp_path, monkeypatch):
    name, *of_instances = request.param.split()
    network = {'network': str(make_onnx(tmp_path / 'red.onnx')), 'network_size': (64, 48)}
    if of_instances:
        network = {'network': str(make_yolo(tmp_path / 'yolo.onnx'))}
    plain = CameraSettings(source='synthetic', width=64, height=48, frame_rate=100.0)
    made = Rig(name, plain)
    if name == 'sample':
        made.settings = CameraSettings(playback_rate=20.0)
    elif name == 'imx500':
        request.getfixturevalue('ai_camera')
        made.settings = request.getfixturevalue('ai_settings').changed(frame_timeout=0.1)
        if of_instances:
            request.getfixturevalue('ai_camera').network = suppressed
            made.settings = made.settings.changed(
                model=str(make_rpk(tmp_path / 'yolo.rpk', size=INSTANCES_SIZE)))
            made.person = 1
    elif name == 'recording':
        played = open_camera(CameraSettings(source=str(make_folder(tmp_path / 'pictures')),
                                            loop=False, playback_rate=100.0, **network))
        Recorder(tmp_path / 'bag', played, played.settings).run()
        played.close()
        made.settings = CameraSettings(source=str(tmp_path / 'bag'), playback_rate=20.0)
    elif name in RECORDINGS:
        plugin, form = name.split('-')
        path = make_recording(tmp_path / 'bag', plugin, form == 'compressed')
        made.settings = CameraSettings(source=str(path), playback_rate=20.0)
    elif name == 'video':
        made.settings = CameraSettings(source=str(make_video(tmp_path / 'film.avi')),
                                       playback_rate=20.0, **network)
    elif name == 'folder':
        made.settings = CameraSettings(source=str(make_folder(tmp_path / 'pictures')),
                                       playback_rate=20.0, **network)
    elif name == 'device':
        monkeypatch.setattr('cv2.VideoCapture', FakeDevice)
        monkeypatch.setattr(FakeDevice, 'plugged', True)
        made.settings = CameraSettings(source='/dev/video0', frame_timeout=0.2, **network)
    elif name == 'url':
        made.device = NetworkCamera()
        request.addfinalizer(made.device.close)
        made.settings = CameraSettings(source=made.device.url, frame_timeout=0.2, **network)
    elif name == 'remote':
        _, address = request.getfixturevalue('server')(plain)
        made = Rig(name, plain, lambda s: RemoteCamera(s, pytest.fail, address))
    elif name == 'process':
        if of_instances:
            plain = CameraSettings(source=str(make_folder(tmp_path / 'pictures')),
                                   playback_rate=20.0, **network)
        made = Rig(name, plain, lambda s: ProcessCamera(s, pytest.fail))
    yield made
    made.close()


def read(camera, count):
    """Return the next captures."""
    captures, until = [], time.monotonic() + TIMEOUT_S
    while len(captures) < count:
        capture = camera.read(0.2)
        assert time.monotonic() < until, f'expected {count} captures, got {len(captures)}'
        if capture:
            captures.append(capture)
    return captures


every_camera = pytest.mark.parametrize('rig', ALL, indirect=True)


@every_camera
def test_captures(rig):
    camera = rig.open()
    captures = read(camera, 10)
    assert any(c.frame is not None for c in captures)
    assert any(c.mask is not None for c in captures)
    for capture in captures:
        assert isinstance(capture.stamp_ns, int)
        if capture.frame is not None:
            assert capture.frame.dtype == np.uint8
            assert capture.frame.ndim == 3
            assert capture.frame.shape[2] == 3
            assert capture.frame.flags.c_contiguous
        if capture.mask is not None:
            assert capture.mask.dtype == np.uint8
            assert capture.mask.ndim == 2
            assert capture.mask.flags.c_contiguous
            # A recording without LabelInfo has no names, and none are invented.
            named = {*camera.class_names, rig.person} | {0}
            assert set(np.unique(capture.mask)) <= named | {255}
        if capture.frame is not None and capture.mask is not None:
            assert capture.frame.shape[:2] == capture.mask.shape
    stamps = [c.stamp_ns for c in captures]
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False))
    assert camera.details()


@every_camera
def test_instances_are_those_of_the_mask(rig, request):
    camera = rig.open()
    captures = [c for c in read(camera, 10) if c.mask is not None]
    of_instances = request.node.callspec.params['rig'] in OF_INSTANCES
    assert captures
    for capture in captures:
        found, mask = capture.instances, capture.mask
        assert (found is not None) == of_instances
        if not of_instances:
            continue
        assert isinstance(found, Instances)
        assert found.labels.dtype == np.uint16
        assert found.labels.shape == mask.shape
        assert len(found) == 1
        assert 0.25 <= found.scores[0] <= 1
        ids = np.concatenate([[0], found.class_ids])
        np.testing.assert_array_equal(np.where(mask == 255, 0, mask), ids[found.labels])
        assert found.areas.tolist() == np.bincount(found.labels.ravel())[1:].tolist()
    # Live where the network is; what was recorded stays.
    if of_instances and rig.name != 'recording':
        camera.settings = rig.settings.changed(min_score=1.0)
        read(camera, 8)
        captures = [c for c in read(camera, 8) if c.mask is not None]
        assert all(len(c.instances) == 0 for c in captures[-2:])
        assert not (captures[-1].mask % 255).any()
    if of_instances:
        assert camera.class_names[0] == 'background'


@pytest.mark.parametrize('rig', [*RECORDINGS, *VIDEOS, 'imx500', 'process', *OF_INSTANCES],
                         indirect=True)
def test_registration(rig, tmp_path):
    source = {}
    if rig.name == 'process' and rig.settings.source == 'synthetic':
        source = {'source': str(make_recording(tmp_path / 'played', 'MCAP', False))}
    captures = read(rig.open(**source), 8)
    assert any(c.mask is not None for c in captures)
    for capture in captures:
        if capture.mask is not None:
            blue, green, red = (capture.frame[..., k].astype(int) for k in range(3))
            person = red - np.maximum(blue, green) > 100
            different = np.count_nonzero(person != (capture.mask == rig.person))
            assert different < 0.01 * person.size  # JPEG and the grid blur the border


@every_camera
def test_close_twice_and_open_again(rig):
    camera = rig.open()
    read(camera, 1)
    camera.close()
    camera.close()
    camera.release()
    with pytest.raises(CameraError):
        camera.read(0.1)
    read(rig.open(), 2)


@every_camera
def test_settings_applied_and_refused(rig):
    camera = rig.open()
    read(camera, 1)
    before = camera.settings
    with pytest.raises(SettingsError, match='width: fixed while the camera runs'):
        camera.settings = before.changed(width=1000, loop=False)
    assert camera.settings == before
    changed = before.changed(loop=False, playback_rate=10.0, frame_rate=50.0)
    camera.settings = changed
    assert camera.settings == changed
    read(camera, 1)


@pytest.mark.parametrize('rig', ['device', 'url', 'imx500', 'process'], indirect=True)
def test_stall(rig, request, monkeypatch):
    camera = rig.open()
    read(camera, 1)
    if rig.name == 'device':
        hanging = threading.Event()
        monkeypatch.setattr(FakeDevice, 'hangs', hanging)
        request.addfinalizer(hanging.set)
    elif rig.name == 'url':
        rig.device.flowing.clear()
    elif rig.name == 'imx500':
        request.getfixturevalue('ai_camera').stalled = True
    else:
        os.kill(camera._process.pid, signal.SIGSTOP)
    with pytest.raises(CameraError, match='got none for'):
        read(camera, 1000)
    if rig.name == 'device':
        hanging.set()
    elif rig.name == 'url':
        rig.device.flowing.set()


@pytest.mark.parametrize('rig', ['device', 'url'], indirect=True)
def test_unplugged(rig, monkeypatch):
    camera = rig.open(frame_timeout=TIMEOUT_S)
    read(camera, 1)
    if rig.name == 'device':
        monkeypatch.setattr(FakeDevice, 'plugged', False)
    else:
        rig.device.close()
    with pytest.raises(CameraError, match='the camera went away; plug it in again'):
        read(camera, 1000)
    camera.close()
    with pytest.raises(CameraError, match='the camera does not open; is it there'):
        rig.open()


@pytest.mark.parametrize('source', [
    '/absent/recording', '/dev/video99', 'file:///absent.mp4', 'imx500'])
def test_missing_device(source):
    with pytest.raises(CameraError) as raised:
        open_camera(CameraSettings(source=source))
    assert len(str(raised.value)) > 40  # a sentence


def test_missing_process(tmp_path, monkeypatch):
    monkeypatch.setattr('instseg_ros.cameras.capture_client.START_TIMEOUT_S', 0.2)
    camera = RemoteCamera(CameraSettings(), pytest.fail, f'ipc://{tmp_path}/absent.sock')
    with pytest.raises(CameraError, match='it hangs or is not there'):
        read(camera, 1)
    camera.close()


@pytest.mark.parametrize('rig', [*RECORDINGS, 'video', 'folder', 'process'], indirect=True)
def test_end_and_loop(rig, tmp_path):
    source = {'source': str(make_folder(tmp_path / 'album'))} if rig.name == 'process' else {}
    camera = rig.open(loop=False, **source)
    captures = []
    with pytest.raises(EndOfStream):
        while True:
            captures += read(camera, 1)
    assert len(captures) == 6
    camera.close()
    captures = read(rig.open(loop=True, **source), 15)
    steps = np.diff([c.stamp_ns for c in captures])
    assert steps.min() > 0
    assert np.ptp(steps) <= 2  # across the end as anywhere else, in ns


def test_original_timing(tmp_path):
    path = make_recording(tmp_path / 'bag', 'MCAP', False, count=5, step_ns=50_000_000)
    camera = open_camera(CameraSettings(source=str(path), loop=False))
    read(camera, 1)
    started = time.monotonic()
    read(camera, 4)
    assert 0.15 < time.monotonic() - started < 2
    camera.close()
