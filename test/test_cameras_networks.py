"""Networks on the CPU, and videos with them."""
import contextlib
from pathlib import Path
import subprocess
import sys

import cv2
from fakes.onnx_network import (BOXES, CLASSES, IDS, INT64, make_onnx, make_yolo, SIZE,
                                YOLO_CLASSES)
from fakes.pictures import make_film, make_folder, make_video, PERSON, picture
from instseg_ros.cameras import (CameraError, CameraSettings, EndOfStream, open_camera,
                                 VOC_CLASSES)
from instseg_ros.cameras.networks import class_mask, load_labels, open_network, Values
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


RED = {'tail': [('Transpose', {'perm': [0, 2, 3, 1]})], 'shape': (1, *SIZE, 1)}


@pytest.mark.parametrize(('form', 'person'), [
    ({}, PERSON),
    ({'channels_last': True}, PERSON),
    ({'tail': [('Transpose', {'perm': [0, 2, 3, 1]})], 'shape': (1, *SIZE, CLASSES)}, PERSON),
    ({'tail': [('ArgMax', {'axis': 1, 'keepdims': 0})], 'shape': IDS, 'kind': INT64}, PERSON),
    ({'tail': [('ArgMax', {'axis': 1, 'keepdims': 1}), ('Neg', {}), ('Neg', {})],
      'shape': (1, 1, *SIZE), 'kind': INT64}, 0),
    ({'aux': True}, PERSON),
    ({'shape': (1, 1, *SIZE)}, 1),
    (RED, 1),
    ({'tail': [('Sigmoid', {})], 'shape': (1, 1, *SIZE)}, 1),
    ({**RED, 'tail': [('Sigmoid', {}), *RED['tail']]}, 1),
], ids=['first', 'input last', 'last', 'ids', 'ids of one class', 'two outputs', 'logits',
        'logits last', 'probabilities', 'probabilities last'])
def test_layout_is_recognised(tmp_path, form, person):
    frame, mask = picture(3)
    found = network(make_onnx(tmp_path / 'red.onnx', **form)).segment(frame)
    np.testing.assert_array_equal(found, np.where(mask == PERSON, person, 0))


@pytest.mark.parametrize(('form', 'settings', 'words'), [
    ({}, {'network_size': (32, 32)}, r'expected network_size \[64, 48\]'),
    ({}, {'network_output': 'masks'}, r'expected an output masks, got y \(1x21x48x64\)'),
    ({'tail': [('Transpose', {'perm': [0, 3, 2, 1]})], 'shape': (1, 64, 48, CLASSES)}, {},
     'in proportion to the input of 48 x 64, got 1x64x48x21'),
])
def test_network_that_is_not_understood(tmp_path, form, settings, words):
    with pytest.raises(CameraError, match=words):
        network(make_onnx(tmp_path / 'red.onnx', **form), **settings).segment(picture(0)[0])


@pytest.mark.parametrize('form', [{}, {'open_size': True}], ids=['fixed', 'open size'])
def test_onnx_gives_instances(tmp_path, form):
    found = network(make_yolo(tmp_path / 'yolo.onnx', **form),
                    network_size=(64, 64) if form else ())
    assert found.of_instances
    for index in range(6):
        frame, expected = picture(index)
        mask, instances = found.look(frame, 0.25)
        assert instances.class_ids.tolist() == [PERSON]
        assert 0.7 < instances.scores[0] < 0.863  # 220 of 255
        # Red cells of 4x4 pixels lose their corners.
        assert np.count_nonzero((instances.labels == 1) != (expected == PERSON)) <= 24
        np.testing.assert_array_equal(mask, PERSON * instances.labels)
        # The bars above and below the frame are not part of it.
        assert instances.oriented_boxes[0, 1] == 20
    assert len(found.look(frame, 0.95)[1]) == 0
    # Frames of every size and proportion.
    for width, height in ((640, 480), (100, 300), (300, 100)):
        large = cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
        wide = cv2.resize(expected, (width, height), interpolation=cv2.INTER_NEAREST)
        mask, instances = found.look(large, 0.25)
        assert mask.shape == instances.labels.shape == (height, width)
        assert np.count_nonzero((mask == PERSON) != (wide == PERSON)) < 0.03 * mask.size


@pytest.mark.parametrize(('form', 'words'), [
    ({'tail': [('Transpose', {'perm': [0, 2, 1]})], 'rows': BOXES, 'boxes': 5 + YOLO_CLASSES},
     r'got output0 \(1x84x25\), output1 \(1x1x16x16\)'),
    ({'masks': (1, 1, 16, 8)}, r'got .*output1 \(1x1x16x8\)'),
    ({'rows': 5}, r'got output0 \(1x5x84\)'),
    # What the file says is one thing, what comes another.
    ({'tail': [('Transpose', {'perm': [0, 2, 1]})]}, r'got output0 \(1x84x25\)'),
    ({'tail': [('Transpose', {'perm': [0, 2, 1]})], 'open_size': True}, 'got output0'),
])
def test_instances_of_a_wrong_shape(tmp_path, form, words):
    with pytest.raises(CameraError, match=r'expected a network of instances with two outputs, '
                                          r'1 x \(4 \+ classes \+ masks\) x 84 .*' + words):
        network(make_yolo(tmp_path / 'yolo.onnx', **form),
                network_size=(64, 64) if 'open_size' in form else ()).look(picture(0)[0], 0.25)


def test_kind_of_network_that_is_said(tmp_path):
    yolo, red = make_yolo(tmp_path / 'yolo.onnx'), make_onnx(tmp_path / 'red.onnx')
    with pytest.raises(CameraError, match='expected one output of classes, got output0'):
        network(yolo, network_kind='mask')
    with pytest.raises(CameraError, match=r'with two outputs.*got y \(1x21x48x64\)'):
        network(red, network_kind='instances')
    assert network(yolo, network_kind='instances').of_instances
    assert not network(red).of_instances
    (tmp_path / 'any.tflite').write_bytes(b'')
    with pytest.raises(CameraError, match='expected an ONNX file for a network of instances'):
        network(tmp_path / 'any.tflite', network_kind='instances')


@pytest.mark.parametrize(('said', 'lines', 'names'), [
    ({0: 'man', 2: 'dog'}, 'woman', {0: 'background', 1: 'man', 3: 'dog'}),
    (None, 'woman\ncat', {0: 'background', 1: 'woman', 2: 'cat'}),
    (None, None, {0: 'background'}), ('no names', None, {0: 'background'})])
def test_names_of_instances(tmp_path, said, lines, names, caplog):
    file = tmp_path / 'labels.txt'
    file.write_text(lines or '')
    camera = open_camera(CameraSettings(
        source=str(make_folder(tmp_path / 'pictures')), labels_file=str(file) if lines else '',
        network=str(make_yolo(tmp_path / 'yolo.onnx', names=said))))
    assert camera.class_names == names
    assert camera.read(5.0).instances is not None
    camera.close()
    assert ('says no names' in caplog.text) == (len(names) == 1)


@pytest.mark.parametrize(('output', 'words'), [
    (np.zeros((1, 7)), 'classes of pixels'),
    (np.zeros((1, 300, 48, 64)), 'fewer than 255 classes'),
    (np.full((1, 48, 64), 300), r'expected class ids in \[0, 255\], got 300'),
    (np.full((1, 48, 64), -1), 'got -1'),
    (np.full((48, 64), np.nan), 'got nan'),
])
def test_output_that_is_no_mask(output, words):
    with pytest.raises(CameraError, match=words):
        class_mask(output, (64, 48), 'net', Values.IDS)


def test_grid_of_another_size():
    scores = np.zeros((1, 3, 12, 16), np.float32)
    scores[0, 2, 6:] = 1
    assert class_mask(scores, (64, 48), 'net', Values.LOGITS)[:, 0].tolist() == [0] * 6 + [2] * 6
    # 21 classes in a grid of 21 x 21: the sizes alone cannot say which are the channels.
    with pytest.raises(CameraError, match='21x21x21'):
        class_mask(np.zeros((1, 21, 21, 21)), (84, 84), 'net', Values.LOGITS)


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
    file.write_bytes('\ufeffnothing\r\napple\r\nbirne \u00e4\r\n'.encode())
    assert load_labels(str(file)) == {0: 'nothing', 1: 'apple', 2: 'birne \u00e4'}
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


def played(source, **settings):
    """Return every capture of a source, and what the camera said."""
    camera = open_camera(CameraSettings(source=str(source), playback_rate=100.0, loop=False,
                                        **settings))
    captures, said = [], []
    camera.report = said.append
    with contextlib.suppress(EndOfStream):
        while True:
            captures += [c for c in [camera.read(1.0)] if c]
    camera.close()
    return captures, said, camera


def test_variable_frame_rate(tmp_path):
    times_ms = [0, 40, 80, 580, 600, 1500, 1533]
    film = make_film(tmp_path / 'film.mkv', times_ms)
    stamps = [c.stamp_ns for c in played(film)[0]]
    assert (np.subtract(stamps, stamps[0]) / 1e6).tolist() == pytest.approx(times_ms, abs=1e-3)
    # A rate that was asked for is the rate.
    stamps = [c.stamp_ns for c in played(film, frame_rate=50.0)[0]]
    assert np.diff(stamps) == pytest.approx(20e6, abs=2)
    # In a loop the first frame follows a step after the last.
    camera = open_camera(CameraSettings(source=str(film), playback_rate=100.0))
    stamps = [c.stamp_ns for c in (camera.read(1.0) for _ in range(9)) if c]
    camera.close()
    assert (np.diff(stamps)[-3:] / 1e6).tolist() == pytest.approx([33, 33, 40], abs=1e-3)


def test_one_damaged_picture_among_good_ones(tmp_path, capfd):
    folder = make_folder(tmp_path / 'pictures')
    (folder / '002.png').write_bytes(b'')
    (folder / '003.png').write_bytes(b'no picture')
    (folder / '._001.png').write_bytes(b'of macOS')
    captures, said, camera = played(folder)
    for capture, index in zip(captures, (0, 1, 4, 5), strict=True):
        np.testing.assert_array_equal(capture.frame, picture(index)[0])
    assert [line.split(': ')[0] for line in said] == [str(folder / '002.png'),
                                                      str(folder / '003.png')]
    assert 'got 0 bytes' in said[0]
    assert camera.left_out == 2
    assert camera.details()['items left out'] == '2'
    assert capfd.readouterr() == ('', ''), "the libraries' own words"
    for file in folder.iterdir():
        file.write_bytes(b'')
    with pytest.raises(CameraError, match='got only files that are none'):
        played(folder)


def test_damaged_frames_of_a_video(tmp_path):
    film = make_film(tmp_path / 'film.mkv', [0, 40, 80, 120], damaged=[1])
    captures, said, _ = played(film)
    stamps = [c.stamp_ns for c in captures]
    assert (np.diff(stamps) / 1e6).tolist() == pytest.approx([80, 40], abs=1e-3)
    assert 'something damaged 1 times before 0.080 s' in said[0]
    whole = make_video(tmp_path / 'film.avi', 22).read_bytes()
    (tmp_path / 'cut.avi').write_bytes(whole[:3 * len(whole) // 4])
    captures, said, _ = played(tmp_path / 'cut.avi')
    assert 0 < len(captures) < 22
    assert f'expected 22 frames, as its index says, got {len(captures)}' in said[0]


def test_libraries_keep_their_words_to_themselves(tmp_path):
    film = make_film(tmp_path / 'film.mkv', [0, 40, 80, 120], damaged=[1])
    # A process of its own: FFmpeg looks only once whether it is to be quiet.
    code = ('import sys; from instseg_ros.cameras import CameraSettings, open_camera; '
            'camera = open_camera(CameraSettings(source=sys.argv[1], playback_rate=100.0)); '
            'camera.report = print; '
            'sum(camera.read(1.0) is not None for _ in range(5))')
    done = subprocess.run([sys.executable, '-c', code, film], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2, done.stdout  # twice played, once damaged in each
    assert 'mjpeg' not in done.stdout


def test_pictures_are_in_the_order_of_their_numbers(tmp_path):
    folder = make_folder(tmp_path / 'pictures', 0)
    for index in range(12):
        cv2.imwrite(str(folder / f'frame{index + 1}.png'), picture(index)[0])
    for capture, index in zip(played(folder)[0], range(12), strict=True):
        np.testing.assert_array_equal(capture.frame, picture(index)[0])


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
