"""camera_node, with the camera in a process of its own, as users run it."""
import os
import signal
import threading
import time

from fakes.pictures import make_folder
from instseg_ros.cameras import CameraSettings
from instseg_ros.cameras.capture_server import CaptureServer
from instseg_ros.ros.camera_node import CameraNode
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool
from vision_msgs.msg import LabelInfo

IMAGE, MASK = 'camera/image_raw', 'camera/semantic_mask'
KILLS = 10
RECOVERY_S = 2.0
SMALL = {'source': 'synthetic', 'width': 64, 'height': 48, 'frame_rate': 50.0}


@pytest.fixture
def node(rig):
    """Return what adds a camera node with some parameters."""
    def add(**parameters):
        return rig.add(CameraNode(parameter_overrides=[
            Parameter(k, value=v) for k, v in parameters.items()]))
    return add


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def process_of(camera_node):
    """Return the id of the capture process."""
    said = camera_node._camera_details.get('capture process', '')
    return int(said.split()[1]) if said.startswith('process ') else 0


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_killed_ten_times(rig, node):
    camera_node = node(**SMALL)
    arrivals = []
    rig.listen(Image, IMAGE, lambda m: arrivals.append((time.monotonic(), stamp_ns(m))))
    rig.until(lambda: len(arrivals) > 5)
    recoveries = []
    for _ in range(KILLS):
        count = len(arrivals)
        rig.until(lambda before=count: len(arrivals) > before + 3 and process_of(camera_node))
        pid = process_of(camera_node)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        rig.until(lambda before=pid: process_of(camera_node) not in (0, before))
        count = len(arrivals)
        rig.until(lambda before=count: len(arrivals) > before)
        recoveries.append(arrivals[count][0] - killed)
    assert max(recoveries) < RECOVERY_S, recoveries
    stamps = [s for _, s in arrivals]
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False))
    assert camera_node._camera_details['captures lost on the way'] == '0'
    rig.until(lambda: any('died (SIGKILL)' in m for m in rig.logs))
    rig.until(lambda: any('died (SIGKILL)' in s.message
                          for s in rig.diagnostics.get('camera_node', [])))


def test_frozen(rig, node, monkeypatch):
    monkeypatch.setattr('instseg_ros.cameras.capture_client.SILENCE_S', 0.8)
    camera_node = node(**SMALL)
    images = rig.collect(Image, IMAGE)
    rig.until(lambda: images)
    pid = process_of(camera_node)
    os.kill(pid, signal.SIGSTOP)
    # The node itself is not frozen: it answers, and it starts another one.
    answer = rig.call(SetParameters, '/camera_node/set_parameters', SetParameters.Request(
        parameters=[Parameter('loop', value=False).to_parameter_msg()]))
    assert answer.results[0].successful
    rig.until(lambda: process_of(camera_node) not in (0, pid))
    count = len(images)
    rig.until(lambda: len(images) > count)
    assert gone(pid)


def test_streaming_is_stopped_and_resumed(rig, node):
    camera_node = node(**SMALL)
    images = rig.collect(Image, IMAGE)
    rig.until(lambda: images)
    pid = process_of(camera_node)
    assert rig.call(SetBool, '/camera_node/set_streaming', SetBool.Request(data=False)).success
    rig.until(lambda: gone(pid))
    rig.until(lambda: any(v.value == 'closed by set_streaming' for s in
                          rig.diagnostics.get('camera_node', []) for v in s.values))
    count = len(images)
    assert rig.call(SetBool, '/camera_node/set_streaming', SetBool.Request(data=True)).success
    rig.until(lambda: len(images) > count)


def test_nothing_is_left(rig, node):
    camera_node = node(**SMALL)
    rig.until(lambda: process_of(camera_node))
    pid = process_of(camera_node)
    started = time.monotonic()
    rig.close()
    assert time.monotonic() - started < 2
    assert gone(pid)
    rig._nodes.clear()


def test_another_process(rig, node, tmp_path):
    (tmp_path / 'run').mkdir(mode=0o700)
    address = f'ipc://{tmp_path}/run/capture.sock'
    server = CaptureServer(CameraSettings(**{**SMALL, 'seed': 5}), address)
    stopping = threading.Event()
    thread = threading.Thread(target=server.run, args=[stopping])
    camera_node = node(source='synthetic', capture_address=address)
    images = rig.collect(Image, IMAGE)
    labels = rig.collect(LabelInfo, 'camera/label_info')
    thread.start()
    try:
        rig.until(lambda: images and labels)
        assert images[0].width == 64  # the process's own choice
        assert labels[0].class_map[15].class_name == 'person'
        camera_node.set_parameters([Parameter('exposure_time', value=77)])
        rig.until(lambda: server._settings.exposure_time == 77)
        rig.call(SetBool, '/camera_node/set_streaming', SetBool.Request(data=False))
        rig.until(lambda: server._released and server._camera is None)
        rig.call(SetBool, '/camera_node/set_streaming', SetBool.Request(data=True))
        count = len(images)
        rig.until(lambda: len(images) > count)
    finally:
        stopping.set()
        thread.join()
        server.close()


@pytest.mark.parametrize('own_process', [True, False])
def test_what_cannot_be_opened_is_said_and_tried_again(rig, node, tmp_path, own_process):
    folder = tmp_path / 'pictures'
    images = rig.collect(Image, IMAGE)
    node(source=str(folder), own_process=own_process)
    rig.until(lambda: any('there is nothing of that name' in m for m in rig.logs))
    make_folder(folder)
    rig.until(lambda: images)


def test_fixed_and_live_parameters(rig, node):
    camera_node = node(**SMALL)
    rig.until(lambda: process_of(camera_node))
    fixed, live, wrong = camera_node.set_parameters([
        Parameter('width', value=128), Parameter('frame_rate', value=20.0),
        Parameter('inference_roi', value=[1, 2, 3])])
    assert not fixed.successful
    as_it_is = rig.call(SetParameters, '/camera_node/set_parameters', SetParameters.Request(
        parameters=[Parameter('width', value=64).to_parameter_msg()]))
    assert as_it_is.results[0].successful
    assert live.successful
    assert not wrong.successful
    assert 'expected x, y, width and height' in wrong.reason
    assert camera_node.settings.frame_rate == 20.0


def write_calibration(path, width=64, height=48):
    def matrix(count):
        return {'rows': 3, 'cols': count // 3, 'data': [float(k) for k in range(count)]}

    import yaml
    path.write_text(yaml.safe_dump({
        'image_width': width, 'image_height': height, 'camera_name': 'camera',
        'distortion_model': 'plumb_bob', 'camera_matrix': matrix(9),
        'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, 0.2, 0.3, 0.4, 0.5]},
        'rectification_matrix': matrix(9), 'projection_matrix': matrix(12)}))
    return str(path)


def test_calibration(rig, node, tmp_path):
    infos = rig.collect(CameraInfo, 'camera/camera_info')
    node(**SMALL, calibration_file=write_calibration(tmp_path / 'camera.yaml'))
    rig.until(lambda: infos)
    assert (infos[0].width, infos[0].height) == (64, 48)
    assert infos[0].header.frame_id == 'camera_optical_frame'
    assert list(infos[0].k) == list(range(9))
    assert list(infos[0].p) == list(range(12))
    assert list(infos[0].d) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert infos[0].distortion_model == 'plumb_bob'


@pytest.mark.parametrize('missing', [True, False])
def test_calibration_that_is_not_for_this_camera_is_said_once(rig, node, tmp_path, missing):
    path = str(tmp_path / 'absent.yaml') if missing else write_calibration(
        tmp_path / 'camera.yaml', width=128)
    infos = rig.collect(CameraInfo, 'camera/camera_info')
    node(**SMALL, calibration_file=path)
    rig.until(lambda: len(infos) > 10)
    assert not any(infos[-1].k)
    assert (infos[-1].width, infos[-1].height) == (64, 48)
    rig.until(lambda: any('calibration_file' in m for m in rig.logs))
    assert sum('calibration_file' in m for m in rig.logs) == 1


def test_compressed_only_for_those_who_listen(rig, node, monkeypatch):
    import instseg_ros.ros.stage_node as stage_node
    made = []
    real = stage_node.array_to_compressed
    monkeypatch.setattr(stage_node, 'array_to_compressed', lambda pixels, encoding, *rest: (
        made.append(encoding) or real(pixels, encoding, *rest)))
    node(**SMALL)
    images = rig.collect(Image, IMAGE)
    rig.until(lambda: len(images) > 5)
    assert made == []
    masks = rig.collect(CompressedImage, MASK + '/compressed')
    rig.until(lambda: len(masks) > 5)
    assert set(made) == {'mono8'}
    assert masks[0].format == 'mono8; png compressed mono8'
