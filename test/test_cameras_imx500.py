"""The AI Camera, on a fake picamera2 that does everything that the real one does wrong."""
import functools
import struct
import sys

from fakes.instance_tensors import CHAIR, distances, DOUBTFUL, SCORE, SIZE, suppressed
from fakes.rpk import make_rpk
from instseg_ros.cameras import CameraError, imx500, open_camera
from instseg_ros.cameras.imx500_metadata import (frames_behind, read_stamp, read_tensors,
                                                 seen_region)
from instseg_ros.core import SettingsError
import numpy as np
import pytest

PERSON = 15
PERSON_ID = 1  # of a network of instances


def read(camera, count):
    captures = []
    while len(captures) < count:
        capture = camera.read(1.0)
        assert capture is not None
        captures.append(capture)
    return captures


def test_frames_have_their_own_masks(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    captures = read(camera, 30)
    camera.close()
    masked = [c for c in captures if c.mask is not None]
    assert len(masked) >= 25
    for capture in masked:
        # The person in the frame is where the mask has it, but for a cell of the grid.
        person = capture.frame[..., 2] == 255
        assert person.any()
        different = np.count_nonzero(person != (capture.mask == PERSON))
        assert different < 0.004 * person.size
    assert all(s.stamp_ns < t.stamp_ns for s, t in zip(captures, captures[1:], strict=False))
    assert ai_camera.unreleased == 0
    assert set(ai_camera.metadata_calls) == {1}  # the expensive call is made once a frame


@pytest.mark.parametrize('size', [(640, 480), (1280, 720), (320, 320)])
@pytest.mark.parametrize('crop', [
    (0, 0, 4056, 3040), (0, 379, 4056, 2282), (1000, 500, 2000, 1500)])
@pytest.mark.parametrize('roi', [(), (508, 0, 3040, 3040), (300, 700, 1600, 1000)])
def test_masks_lie_right_in_every_region(ai_camera, ai_settings, size, crop, roi):
    ai_camera.scaler_crop = crop
    camera = open_camera(ai_settings.changed(width=size[0], height=size[1], inference_roi=roi))
    capture = [c for c in read(camera, 8) if c.mask is not None][-1]
    camera.close()
    frame_person = capture.frame[..., 2] == 255
    # Where a frame's pixel is on the sensor tells whether the network saw it.
    x = crop[0] + (np.arange(size[0]) + 0.5) / size[0] * crop[2]
    y = crop[1] + (np.arange(size[1]) + 0.5) / size[1] * crop[3]
    rx, ry, rw, rh = seen_region(roi, False)
    seen = ((y >= ry) & (y < ry + rh))[:, None] & ((x >= rx) & (x < rx + rw))
    np.testing.assert_array_equal(capture.mask == 255, ~seen)
    wrong = (frame_person != (capture.mask == PERSON)) & seen
    # At most a cell of the network's grid along the border of the person.
    cell = max(rw / 320 / crop[2] * size[0], rh / 320 / crop[3] * size[1], 1)
    assert np.count_nonzero(wrong) <= 2 * (size[0] + size[1]) * cell


def test_a_faster_camera_than_network_gives_frames_without_masks(ai_camera, ai_settings):
    camera = open_camera(ai_settings.changed(frame_rate=30.0))
    captures = read(camera, 40)
    camera.close()
    masked = [c.mask is not None for c in captures[4:]]
    assert 0.4 < np.mean(masked) < 0.6  # about every second one
    assert all(c.frame is not None for c in captures)


@pytest.mark.parametrize(('asked', 'rate'), [(0.0, 19), (25.0, 25)])
def test_rate_of_a_network_that_does_not_say(ai_camera, ai_settings, tmp_path, asked, rate):
    model = make_rpk(tmp_path / 'mute.rpk', {})
    camera = open_camera(ai_settings.changed(model=str(model), frame_rate=asked))
    period_us = int(1e6 / (asked or 30))
    assert ai_camera.controls['FrameDurationLimits'] == (period_us, period_us)
    captures = read(camera, 40)
    assert ai_camera.controls['FrameDurationLimits'] == (int(1e6 / rate),) * 2
    if not asked:
        assert all(c.mask is not None for c in captures[-20:])
        camera.settings = ai_settings.changed(model=str(model), frame_rate=10.0)
        camera.settings = ai_settings.changed(model=str(model))
        assert ai_camera.controls['FrameDurationLimits'] == (int(1e6 / rate),) * 2
    camera.close()


@pytest.mark.parametrize('lag', [1, 2, 3])
def test_lag_can_be_said(ai_camera, ai_settings, lag):
    ai_camera.lag = lag
    camera = open_camera(ai_settings.changed(mask_lag=lag))
    captures = [c for c in read(camera, 12) if c.mask is not None]
    camera.close()
    for capture in captures:
        person = capture.frame[..., 2] == 255
        assert np.count_nonzero(person != (capture.mask == PERSON)) < 0.004 * person.size


@pytest.mark.parametrize(('run_us', 'period_us', 'behind'), [
    (40_000, 52_631, 1), (52_000, 52_631, 1), (53_000, 52_631, 1), (60_000, 52_631, 2),
    (40_000, 33_333, 2), (90_000, 33_333, 3)])
def test_lag_from_run_time(run_us, period_us, behind):
    assert frames_behind(run_us, period_us) == behind


@pytest.mark.parametrize('info_size', [708, 712])
def test_both_descriptions_of_tensors(ai_camera, ai_settings, info_size):
    ai_camera.info_size = info_size
    camera = open_camera(ai_settings)
    assert any(c.mask is not None for c in read(camera, 8))
    camera.close()


def test_unknown_description_of_tensors():
    with pytest.raises(CameraError, match='expected 708 or 712 bytes about the tensors, got 388'):
        read_tensors({'CnnOutputTensor': (0.0,), 'CnnOutputTensorInfo': (0,) * 388})


def test_a_network_that_gives_no_classes(ai_camera, ai_settings, tmp_path):
    model = make_rpk(tmp_path / 'boxes.rpk', {'task': 'object detection', 'inference_rate': 30})
    with pytest.raises(CameraError, match='expected a network for segmentation.*object detection'):
        open_camera(ai_settings.changed(model=str(model)))
    from picamera2.world import tensor_metadata
    metadata = tensor_metadata([np.zeros((4, 4), np.uint8)])
    metadata['CnnOutputTensor'] = (0.0,) * 15
    with pytest.raises(CameraError, match='expected tensors of the sizes .*got 15 values'):
        read_tensors(metadata)
    with pytest.raises(CameraError, match='one tensor of height x width class ids, got 1 tensors '
                                          'of 16'):
        read_tensors(tensor_metadata([np.zeros(16)])).classes()


@pytest.mark.parametrize('network', [lambda box: [box, box[0]], lambda box: [box[0]]])
def test_tensors_that_are_neither(ai_camera, ai_settings, network):
    ai_camera.network = network
    camera = open_camera(ai_settings)
    with pytest.raises(CameraError, match='class ids, or of instances, with boxes Nx4.*tensors of'
                                          r' 2'):
        read(camera, 8)
    camera.close()


FORMS = {'suppressed': suppressed, 'distances': distances,
         'normalised': functools.partial(suppressed, unit=1)}


@pytest.fixture
def instances_settings(ai_settings, tmp_path):
    model = make_rpk(tmp_path / 'yolo.rpk', {'inference_rate': 15, 'task': 'segmentation'}, SIZE)
    return ai_settings.changed(model=str(model))


@pytest.mark.parametrize('form', FORMS)
def test_network_of_instances(ai_camera, instances_settings, form, monkeypatch):
    ai_camera.network = FORMS[form]
    camera = open_camera(instances_settings)
    said = []
    monkeypatch.setattr(camera, 'report', said.append)
    captures = read(camera, 20)
    masked = [c for c in captures if c.mask is not None]
    assert len(masked) >= 15
    for capture in masked:
        found = capture.instances
        assert found.class_ids.tolist() == [PERSON_ID]
        assert found.scores.tolist() == [SCORE]
        person = capture.frame[..., 2] == 255
        assert np.count_nonzero(person != (found.labels == 1)) < 0.002 * person.size
        np.testing.assert_array_equal(capture.mask == PERSON_ID, found.labels == 1)
        assert found.areas[0] == np.count_nonzero(found.labels)
    assert all(c.instances is None for c in captures if c.mask is None)
    assert camera.class_names == {0: 'background'}
    assert len(said) == 1
    assert 'labels.txt' in said[0]
    assert camera.details()['the network gives'] == 'instances'
    # Live: what is doubtful comes too, behind.
    camera.settings = instances_settings.changed(min_score=0.1)
    found = [c for c in read(camera, 8) if c.mask is not None][-1].instances
    assert found.class_ids.tolist() == [PERSON_ID, CHAIR + 1]
    assert found.scores.tolist() == [SCORE, DOUBTFUL]
    camera.settings = instances_settings.changed(min_score=0.9)
    capture = [c for c in read(camera, 8) if c.mask is not None][-1]
    assert len(capture.instances) == 0
    assert not (capture.mask % 255).any()
    camera.close()


@pytest.mark.parametrize('flips', [
    {}, {'flip_horizontal': True}, {'flip_vertical': True},
    {'flip_horizontal': True, 'flip_vertical': True}])
@pytest.mark.parametrize('crop', [(0, 379, 4056, 2282), (1000, 500, 2000, 1500)])
@pytest.mark.parametrize('roi', [(), (508, 0, 3040, 3040), (300, 700, 1600, 1000)])
def test_instances_lie_right_in_every_region(ai_camera, instances_settings, flips, crop, roi):
    ai_camera.network, ai_camera.scaler_crop = suppressed, crop
    camera = open_camera(instances_settings.changed(
        width=800, height=450, inference_roi=roi, **flips))
    capture = [c for c in read(camera, 8) if c.mask is not None][-1]
    camera.close()
    x = crop[0] + (np.arange(800) + 0.5) / 800 * crop[2]
    y = crop[1] + (np.arange(450) + 0.5) / 450 * crop[3]
    rx, ry, rw, rh = seen_region(roi, False)
    seen = ((y >= ry) & (y < ry + rh))[:, None] & ((x >= rx) & (x < rx + rw))
    seen = seen[::-1 if 'flip_vertical' in flips else 1, ::-1 if 'flip_horizontal' in flips else 1]
    np.testing.assert_array_equal(capture.mask == 255, ~seen)
    person = (capture.frame[..., 2] == 255) & seen
    assert np.count_nonzero(person != (capture.mask == PERSON_ID)) < 0.003 * person.size
    np.testing.assert_array_equal(capture.instances.labels > 0, capture.mask == PERSON_ID)


def test_network_that_is_turned(ai_camera, instances_settings):
    middle = instances_settings.changed(inference_roi=(12, 0, 4032, 3040))
    upright, turned = [], []
    for rotated, found in ((False, upright), (True, turned)):
        ai_camera.index, ai_camera.last_inference = 0, -1000
        ai_camera.network = (lambda box: suppressed(1 - box[::-1])) if rotated else suppressed
        camera = open_camera(middle.changed(rotate_mask=rotated))
        found += [c.instances for c in read(camera, 8) if c.mask is not None]
        camera.close()
    assert np.count_nonzero(turned[0].labels != upright[0].labels) < 20
    np.testing.assert_allclose(turned[0].oriented_boxes, upright[0].oriented_boxes, atol=0.01)


@pytest.mark.parametrize(('said', 'lines', 'names'), [
    (['man', '-', 'dog'], None, {0: 'background', 1: 'man', 3: 'dog'}),
    (['man'], 'woman', {0: 'background', 1: 'man'}),
    (None, 'woman\ncat', {0: 'background', 1: 'woman', 2: 'cat'}),
    (None, 'Background\nwoman', {0: 'Background', 1: 'woman'})])
def test_names_of_instances(ai_camera, ai_settings, tmp_path, said, lines, names):
    ai_camera.network = suppressed
    model = make_rpk(tmp_path / 'yolo.rpk', {'classes': {'labels': said}} if said else {}, SIZE)
    file = tmp_path / 'labels.txt'
    file.write_text(lines or '')
    camera = open_camera(ai_settings.changed(model=str(model),
                                             labels_file=str(file) if lines else ''))
    assert camera.class_names == {}
    read(camera, 8)
    assert camera.class_names == names
    camera.close()


def test_kind_of_network_can_be_said(ai_camera, ai_settings, tmp_path):
    model = make_rpk(tmp_path / 'boxes.rpk', {'task': 'object detection'}, SIZE)
    settings = ai_settings.changed(model=str(model), network_kind='instances')
    ai_camera.network = suppressed
    camera = open_camera(settings)
    assert any(c.instances is not None for c in read(camera, 8))
    camera.close()
    for kind, network, words in (
            ('mask', suppressed, 'expected a network with one tensor of height x width'),
            ('instances', None, 'expected a network of instances, with boxes Nx4.*320x320')):
        ai_camera.network = network
        camera = open_camera(settings.changed(network_kind=kind))
        with pytest.raises(CameraError, match=words):
            read(camera, 8)
        camera.close()


def test_the_same_tensor_twice_is_one(ai_camera, ai_settings, monkeypatch):
    made = ai_camera.next_frame
    first = {}

    def again(*arguments):
        buffer, metadata = made(*arguments)
        if 'CnnOutputTensor' in metadata:
            first.update({k: v for k, v in metadata.items() if k.startswith('Cnn')})
        metadata.update(first if first else {})
        return buffer, {**metadata, **first}

    monkeypatch.setattr(ai_camera, 'network_rate', 5.0)
    monkeypatch.setattr(ai_camera, 'next_frame', again)
    camera = open_camera(ai_settings.changed(frame_rate=20.0, mask_lag=1))
    captures = read(camera, 40)
    camera.close()
    assert 0 < sum(c.mask is not None for c in captures) <= ai_camera.inferences


def test_stamps_are_the_sensors(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    by_wall = read(camera, 1)[0].stamp_ns
    camera.close()
    ai_camera.wall_clock = False
    ai_camera.index = 0
    camera = open_camera(ai_settings)
    by_clock = read(camera, 1)[0].stamp_ns
    camera.close()
    # Both cameras took their first frame the same time before they started.
    assert 0 < by_clock - by_wall < 30e9
    with pytest.raises(CameraError, match='expected SensorTimestamp'):
        read_stamp({})


def test_rows_are_padded_and_sizes_adjusted(ai_camera, ai_settings):
    ai_camera.offered = (801, 602)
    camera = open_camera(ai_settings)
    capture = read(camera, 3)[-1]
    camera.close()
    assert capture.frame.shape == (602, 800, 3)
    assert not (capture.frame == 77).any()  # of the padding
    assert not (capture.frame == 99).any()  # of a buffer that was given back


@pytest.mark.parametrize(('horizontal', 'vertical'), [(True, False), (False, True), (True, True)])
def test_flips_turn_both(ai_camera, ai_settings, horizontal, vertical):
    camera = open_camera(ai_settings.changed(flip_horizontal=horizontal, flip_vertical=vertical))
    plain = slice(None), slice(None)
    turned = slice(None, None, -1 if vertical else 1), slice(None, None, -1 if horizontal else 1)
    capture = [c for c in read(camera, 8) if c.mask is not None][0]
    camera.close()
    person = capture.frame[..., 2] == 255
    assert np.count_nonzero(person != (capture.mask == PERSON)) < 0.004 * person.size
    index = int(capture.frame[0, 0, 0])
    expected = ai_camera.draw(index, (640, 480), ai_camera.scaler_crop, 255)
    np.testing.assert_array_equal(capture.frame[..., 2][plain], expected[turned])


def test_upside_down_region():
    assert seen_region((100, 200, 300, 400), True) == (4056 - 400, 3040 - 600, 300, 400)
    assert seen_region((), False) == (0, 0, 4032, 3040)  # the driver's limit


def test_live_settings_reach_the_camera(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    read(camera, 2)
    camera.settings = ai_settings.changed(
        exposure_time=5000, analogue_gain=2.0, white_balance='daylight', frame_rate=10.0,
        inference_roi=(508, 0, 3040, 3040))
    assert ai_camera.controls == {
        'ExposureTime': 5000, 'AnalogueGain': 2.0, 'AwbMode': 5,
        'FrameDurationLimits': (100000, 100000)}
    assert ai_camera.roi == (508, 0, 3040, 3040)
    # Masks on their way are of the old region: they are nobody's.
    captures = read(camera, 8)
    assert all(c.mask is None for c in captures[2:3])
    assert captures[-1].mask is not None
    camera.close()


def test_settings_that_the_camera_cannot_do(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    ai_camera.unknown_controls = ('AwbMode',)
    with pytest.raises(SettingsError, match='AwbMode is not advertised'):
        camera.settings = ai_settings.changed(white_balance='indoor')
    ai_camera.roi_refused = True
    with pytest.raises(SettingsError, match='the driver does not take'):
        camera.settings = ai_settings.changed(exposure_time=100, inference_roi=(0, 0, 100, 100))
    assert ai_camera.controls['ExposureTime'] == 0  # nothing of it was done
    assert camera.settings == ai_settings
    with pytest.raises(SettingsError, match='expected a part of the 4056 x 3040 pixels'):
        camera.settings = ai_settings.changed(inference_roi=(4000, 0, 100, 100))
    camera.close()


def test_a_stall_is_noticed_and_a_new_start_mends_it(ai_camera, ai_settings):
    camera = open_camera(ai_settings.changed(frame_timeout=0.1))
    read(camera, 3)
    ai_camera.stalled = True
    with pytest.raises(CameraError, match='the AI Camera has stalled'):
        while True:
            camera.read(0.05)
    camera.close()
    camera.close()
    ai_camera.stalled = False
    ai_camera.skew_s += camera.rest_s
    camera = open_camera(ai_settings)
    assert any(c.mask is not None for c in read(camera, 8))
    camera.close()


def test_waiting_in_vain_loses_no_request(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    ai_camera.stalled = True
    for _ in range(20):
        assert camera.read(0.001) is None
    ai_camera.stalled = False
    before = ai_camera.index
    read(camera, 10)
    # Each frame that was taken came out: one on its way, one behind.
    assert ai_camera.index - before <= 12
    assert ai_camera.unreleased == 0
    camera.close()


def test_a_forgotten_network_is_noticed(ai_camera, ai_settings):
    camera = open_camera(ai_settings.changed(mask_timeout=0.1))
    ai_camera.runs = False
    with pytest.raises(CameraError, match='frames come, but no mask'):
        while True:
            camera.read(0.1)
    camera.close()


def test_the_fake_forgets_its_network(ai_camera, ai_settings):
    """What `rest_s` is for: a start just after the driver's suspension has no network."""
    import picamera2
    from picamera2.devices import IMX500
    open_camera(ai_settings).close()
    IMX500(ai_settings.model)
    ai_camera.skew_s += 6
    camera = picamera2.Picamera2(0)
    camera.configure(camera.create_video_configuration(
        main={'size': (640, 480), 'format': 'RGB888'}))
    camera.start()
    assert not ai_camera.runs
    camera.close()


def test_the_fake_is_as_mean_as_the_real_one(ai_camera, ai_settings):
    import picamera2
    from picamera2.devices import IMX500
    IMX500(ai_settings.model)
    camera = picamera2.Picamera2(0)
    camera.configure(camera.create_video_configuration(
        main={'size': (640, 480), 'format': 'RGB888'}, buffer_count=4))
    camera.start()
    # A job that timed out takes a request that nobody releases.
    ai_camera.stalled = True
    with pytest.raises(TimeoutError if sys.version_info >= (3, 11) else Exception):
        camera.capture_request(wait=0.01)
    ai_camera.stalled = False
    with pytest.raises(TimeoutError if sys.version_info >= (3, 11) else Exception):
        camera.capture_request(wait=0.01)
    camera.cancel_all_and_flush()
    held = [camera.capture_request() for _ in range(3)]
    # The pool is empty now.
    with pytest.raises(TimeoutError if sys.version_info >= (3, 11) else Exception):
        camera.capture_request(wait=0.01)
    camera.cancel_all_and_flush()
    held[0].release()
    with pytest.raises(AssertionError):
        held[0].get_metadata()
    with pytest.raises(RuntimeError, match='negative ref_count'):
        held[0].release()
    with pytest.raises(RuntimeError, match='__init__ sequence did not complete'):
        picamera2.Picamera2(0)
    camera.close()


def oserror(number, text, filename=None):
    return OSError(number, text, filename)


@pytest.mark.parametrize(('step', 'error', 'cause', 'cure'), [
    ('device', PermissionError(13, 'Permission denied', '/dev/v4l-subdev2'), '/dev/v4l-subdev2',
     'usermod -aG video'),
    ('device', StopIteration(), 'libcamera does not list it', 'apt install --reinstall'),
    ('progress', PermissionError(13, 'Permission denied',
                                 '/sys/kernel/debug/imx500-fw:10-001a/fw_progress'),
     'before 0.3.35', 'full-upgrade'),
    ('network', RuntimeError('IMX500: Unable to set network firmware f: [Errno 16] Device busy'),
     'another process', 'fuser'),
    ('network', RuntimeError('IMX500: Unable to set network firmware f: [Errno 5] I/O error'),
     'does not take the network', 'dmesg'),
    ('network', RuntimeError('No matching footer found in firmware file f'), 'damaged',
     'reinstall imx500-models'),
    ('network', struct.error('unpack requires a buffer of 8 bytes'), 'damaged',
     'reinstall imx500-models'),
    ('open', RuntimeError('Camera __init__ sequence did not complete.'), 'another process',
     'fuser'),
    ('open', IndexError('list index out of range'), 'libcamera does not list it', 'reinstall'),
    ('open', RuntimeError('Could not open any dmaHeap device'), '/dev/dma_heap', 'container'),
    ('configure', oserror(12, 'Cannot allocate memory'), 'not enough contiguous memory',
     'buffer_count'),
    ('start', RuntimeError('Failed to start camera: Input/output error'), 'does not start',
     'dmesg'),
    ('start', RuntimeError('something new'), 'RuntimeError', 'something new'),
])
def test_each_failure_says_cause_and_cure(ai_camera, ai_settings, step, error, cause, cure):
    ai_camera.failures[step] = error
    with pytest.raises(CameraError) as raised:
        open_camera(ai_settings)
    assert cause in str(raised.value)
    assert cure in str(raised.value)
    assert ai_camera.users == 0  # nothing stays open
    open_camera(ai_settings).close()


def test_no_camera_and_no_driver(ai_camera, ai_settings, monkeypatch, tmp_path):
    ai_camera.subdevice = False
    monkeypatch.setattr(imx500, '_DRIVER', tmp_path / 'absent')
    with pytest.raises(CameraError, match="no driver of the AI Camera, only Raspberry Pi's have"):
        open_camera(ai_settings)
    monkeypatch.setattr(imx500, '_DRIVER', tmp_path)
    with pytest.raises(CameraError, match='no AI Camera is connected.*cable'):
        open_camera(ai_settings)


def test_no_model_no_network_old_software(ai_camera, ai_settings, monkeypatch, tmp_path):
    with pytest.raises(CameraError, match='not there: sudo apt install imx500-all'):
        open_camera(ai_settings.changed(model='/absent.rpk'))
    for data in (b'', b'9464', b'no network at all'):
        (tmp_path / 'bad.rpk').write_bytes(data)
        with pytest.raises(CameraError, match='reinstall imx500-models'):
            open_camera(ai_settings.changed(model=str(tmp_path / 'bad.rpk')))
    monkeypatch.setattr(imx500.packages, 'version', lambda name: '0.3.28')
    with pytest.raises(CameraError, match='expected picamera2 0.3.30 or newer, got 0.3.28'):
        open_camera(ai_settings)


def test_no_picamera2(ai_settings, monkeypatch):
    monkeypatch.setitem(sys.modules, 'picamera2', None)
    with pytest.raises(CameraError, match='apt install python3-picamera2 imx500-all.*capture_py'):
        open_camera(ai_settings)


@pytest.mark.parametrize(('error', 'words'), [
    (ValueError('numpy.dtype size changed, may indicate binary incompatibility'),
     'built for another NumPy.*the NumPy of the system'),
    (AttributeError("module 'libcamera' has no attribute 'Transform'"),
     'do not fit together.*full-upgrade')])
def test_driver_that_does_not_fit(ai_settings, monkeypatch, error, words):
    def import_module(name):
        raise error

    monkeypatch.setattr(imx500, 'import_module', import_module)
    with pytest.raises(CameraError, match=words):
        open_camera(ai_settings)


def test_details(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    read(camera, 20)
    shown = camera.details()
    camera.close()
    assert shown['sensor temperature (°C)'] == '41'
    assert shown['lux'] == '320'
    assert shown['exposure (ms)'] == '8'
    assert float(shown['DNN time (ms)']) == pytest.approx(47.6, abs=0.1)
    assert shown['DSP time (ms)'] == '4.0'
    assert float(shown['tensor rate (Hz)']) > 0
    assert 'age of the mask (s)' in shown


def test_reading_after_close(ai_camera, ai_settings):
    camera = open_camera(ai_settings)
    camera.close()
    with pytest.raises(CameraError, match='closed'):
        camera.read(0.1)
