"""Networks on the CPU, and videos with them."""
from pathlib import Path

import cv2
from fakes.onnx_network import make_onnx
from fakes.pictures import make_folder, make_video, PERSON, picture
from instseg_ros.cameras import CameraError, CameraSettings, open_camera, VOC_CLASSES
from instseg_ros.cameras.networks import load_labels, open_network
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / 'shared'
MODEL = SHARED / 'models' / 'deeplabv3_mnv2_dm05_pascal_quant.tflite'
STREET = SHARED / 'data' / 'street'


def network(path, **changes):
    return open_network(CameraSettings(network=str(path), **changes))


def test_onnx_gives_classes(tmp_path):
    found = network(make_onnx(tmp_path / 'red.onnx'), network_size=(64, 48))
    frame, mask = picture(3)
    np.testing.assert_array_equal(found.segment(frame), mask)
    # Frames of every size are brought to the network's.
    large = cv2.resize(frame, (640, 480), interpolation=cv2.INTER_NEAREST)
    assert np.count_nonzero(found.segment(large) != mask) < 0.02 * mask.size


@pytest.mark.parametrize(('name', 'content', 'words'), [
    ('absent.onnx', None, 'got nothing'), ('network.pt', b'x', 'got another file'),
    ('bad.onnx', b'no network', 'expected an ONNX network')])
def test_files_that_are_no_network(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CameraError, match=words):
        network(tmp_path / name)


def test_tflite_on_the_street(tmp_path):
    pytest.importorskip('ai_edge_litert', reason='needs ai-edge-litert')
    if not MODEL.exists() or not STREET.exists():
        pytest.skip(f'needs {MODEL} and {STREET}')
    found = network(MODEL)
    frame = cv2.imread(str(STREET / '0000.jpg'))
    mask = found.segment(frame)
    assert mask.shape == (513, 513)
    # The street's own masks were made by a network of the same kind.
    expected = cv2.imread(str(STREET / '0000.png'), cv2.IMREAD_UNCHANGED)
    seen = cv2.resize(mask, expected.shape[::-1], interpolation=cv2.INTER_NEAREST)
    for class_id in (7, 15):
        both = np.count_nonzero((seen == class_id) & (expected == class_id))
        assert both > 0.5 * np.count_nonzero(expected == class_id)
    (tmp_path / 'bad.tflite').write_bytes(b'no network')
    with pytest.raises(CameraError, match='expected a TFLite network'):
        network(tmp_path / 'bad.tflite')


def test_tflite_without_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__('sys').modules, 'ai_edge_litert.interpreter', None)
    (tmp_path / 'any.tflite').write_bytes(b'')
    with pytest.raises(CameraError, match=r'pip install "instseg_ros\[tflite\]"'):
        network(tmp_path / 'any.tflite')


def test_labels(tmp_path):
    file = tmp_path / 'labels.txt'
    file.write_text('nothing\napple\n\npear\n')
    assert load_labels(str(file)) == {0: 'nothing', 1: 'apple', 3: 'pear'}
    assert load_labels('') == {}
    file.write_text('\n')
    with pytest.raises(CameraError, match='expected 1 to 255 class names'):
        load_labels(str(file))
    with pytest.raises(CameraError, match='expected a class name in each line'):
        load_labels(str(tmp_path / 'absent.txt'))


def test_names_and_frames_without_a_network(tmp_path):
    (tmp_path / 'labels.txt').write_text('nothing\napple\n')
    folder = make_folder(tmp_path / 'pictures')
    camera = open_camera(CameraSettings(source=str(folder)))
    assert camera.class_names == dict(enumerate(VOC_CLASSES))
    capture = camera.read(5.0)
    assert capture.mask is None
    np.testing.assert_array_equal(capture.frame, picture(0)[0])
    camera.close()
    camera = open_camera(CameraSettings(source=str(folder),
                                        labels_file=str(tmp_path / 'labels.txt')))
    assert camera.class_names == {0: 'nothing', 1: 'apple'}
    camera.close()


def test_rates_of_videos(tmp_path):
    film, folder = make_video(tmp_path / 'film.avi', rate=25), make_folder(tmp_path / 'pictures')
    for source, rate, step_ns in ((film, 0.0, 40e6), (folder, 0.0, 100e6), (folder, 50.0, 20e6)):
        camera = open_camera(CameraSettings(source=str(source), frame_rate=rate,
                                            playback_rate=50.0))
        stamps = [camera.read(5.0).stamp_ns for _ in range(4)]
        camera.close()
        assert np.diff(stamps) == pytest.approx(step_ns, abs=2)


def test_flipped_video(tmp_path):
    folder = make_folder(tmp_path / 'pictures')
    camera = open_camera(CameraSettings(
        source=str(folder), flip_horizontal=True, network_size=(64, 48),
        network=str(make_onnx(tmp_path / 'red.onnx'))))
    capture = camera.read(5.0)
    camera.close()
    np.testing.assert_array_equal(capture.frame, picture(0)[0][:, ::-1])
    np.testing.assert_array_equal(capture.mask == PERSON, picture(0)[1][:, ::-1] == PERSON)


@pytest.mark.parametrize('content', [None, b'no video'])
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / 'thing'
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CameraError, match='expected a recording'):
        open_camera(CameraSettings(source=str(path)))
