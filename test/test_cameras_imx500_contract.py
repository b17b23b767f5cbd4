"""
What is expected of picamera2's IMX500: of the fake, and of the real class.

The real one needs no camera, but what it reads networks with. `scripts/environment` puts it into a
folder of its own; what of its requirements nobody calls here is a stub, libcamera first of all.
"""
import builtins
import importlib
import importlib.util
import os
from pathlib import Path
import subprocess
import sys
import types

from fakes.instance_tensors import distances, suppressed
from fakes.rpk import make_rpk
from instseg_ros.cameras.imx500_metadata import read_tensors, run_time_us
import numpy as np
import pytest

SUBDEVICE = '/sys/class/video4linux/v4l-subdev3/device'
LINKS = {SUBDEVICE: '../../../10-001a', f'{SUBDEVICE}/driver/module': '../../../module/imx500',
         f'{SUBDEVICE}/of_node': '/base/soc/i2c0mux/i2c@1/imx500@1a'}
STUBS = ('libcamera', 'pykms', 'prctl', 'av', 'av.logging', 'pidng', 'pidng.camdefs', 'pidng.core',
         'OpenEXR', 'Imath', 'simplejpeg', 'piexif', 'PIL', 'PIL.Image')
# Of picamera2's own schema.
pytestmark = pytest.mark.filterwarnings('ignore:The metaschema:DeprecationWarning')
MASK = np.random.default_rng(1).integers(0, 21, (320, 320), np.uint8)


class Kind(type):
    """Of classes of which every attribute is there, for what libcamera has and nobody calls."""

    def __getattr__(cls, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return Kind(name, (Anything,), {})


class Anything(metaclass=Kind):
    """Takes all arguments."""

    def __init__(self, *_, **__):
        pass

    def __getattr__(self, name):
        return getattr(type(self), name)


class Size:

    def __init__(self, width=0, height=0):
        self.width, self.height = width, height

    def to_tuple(self):
        return self.width, self.height


class Rectangle:

    def __init__(self, x, y, width, height):
        self.x, self.y, self.width, self.height = x, y, width, height

    @property
    def size(self):
        return Size(self.width, self.height)

    def bounded_to(self, other):
        x, y = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        bottom = min(self.y + self.height, other.y + other.height)
        return Rectangle(x, y, right - x, bottom - y)

    def to_tuple(self):
        return self.x, self.y, self.width, self.height


def stub(name, **attributes):
    """Return a module in which everything is there."""
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    module.__path__ = []
    module.__getattr__ = lambda attribute: getattr(Anything, attribute)
    return module


@pytest.fixture(params=['fake', 'real'])
def hardware(request, monkeypatch):
    """Give the module of IMX500 and a namespace of what the test can break."""
    if request.param == 'fake':
        world = request.getfixturevalue('ai_camera')
        module = importlib.import_module('picamera2.devices.imx500')
        yield module, world
        return
    yield from _real(monkeypatch)


def _real(monkeypatch):
    monkeypatch.syspath_prepend(Path(sys.prefix, 'picamera2'))
    missing = [n for n in ('picamera2', 'libarchive', 'videodev2', 'jsonschema', 'tqdm')
               if importlib.util.find_spec(n) is None]
    if missing:
        pytest.skip(f'needs the real picamera2 and its packages; {", ".join(missing)} not here')
    try:
        importlib.import_module('libarchive')
    except OSError as error:
        pytest.skip(f'the real picamera2 needs the library of libarchive-c: {error}')
    before = set(sys.modules)
    for name in STUBS:
        monkeypatch.setitem(sys.modules, name, stub(name))
    sys.modules['libcamera'].Size, sys.modules['libcamera'].Rectangle = Size, Rectangle
    module = importlib.import_module('picamera2.devices.imx500.imx500')
    world = types.SimpleNamespace(subdevice=True, listed=True, roi_refused=False, ioctls=[])

    def ioctl(file, request, argument):
        world.ioctls.append(getattr(argument, 'id', None))
        if world.roi_refused:
            raise OSError(5, 'I/O error')

    def opened(path, *arguments, **options):
        path = '/dev/null' if str(path).startswith('/dev/v4l-subdev') else path
        return builtins.open(path, *arguments, **options)

    def unreadable(command, **_):
        raise subprocess.CalledProcessError(1, command)

    def there(real):
        return lambda path: (path in LINKS and world.subdevice) or (
            not str(path).startswith('/sys/class/video4linux') and real(path))

    monkeypatch.setattr(module, 'open', opened, raising=False)
    monkeypatch.setattr(module.fcntl, 'ioctl', ioctl)
    monkeypatch.setattr(module.subprocess, 'check_output', unreadable)
    monkeypatch.setattr(os.path, 'exists', there(os.path.exists))
    monkeypatch.setattr(os.path, 'islink', there(os.path.islink))
    readlink = os.readlink
    monkeypatch.setattr(os, 'readlink', lambda p, **o: LINKS.get(p) or readlink(p, **o))
    monkeypatch.setattr(module.Picamera2, 'global_camera_info', staticmethod(
        lambda: [{'Num': 0, 'Model': 'imx500', 'Id': LINKS[f'{SUBDEVICE}/of_node']}]
        if world.listed else []))
    yield module, world
    for name in set(sys.modules) - before:
        if name.split('.')[0] == 'picamera2':
            del sys.modules[name]


@pytest.fixture
def network(tmp_path):
    return str(make_rpk(tmp_path / 'network.rpk'))


def tensor(info_size=712, tensors=(MASK,), **changes):
    from fakes.picamera2.world import tensor_metadata
    return {**tensor_metadata(tensors, 7, info_size), **changes}


def test_what_the_network_says(hardware, network):
    device = hardware[0].IMX500(network)
    assert device.camera_num == 0
    assert device.get_input_size() == (320, 320)
    assert device.network_intrinsics.task == 'segmentation'
    assert device.network_intrinsics.inference_rate == 19
    assert device.network_intrinsics.labels is None
    assert device.network_intrinsics.bbox_normalization is None
    assert device.network_intrinsics.bbox_order is None


def test_outputs_are_columns_of_floats(hardware, network):
    device = hardware[0].IMX500(network)
    output, = device.get_outputs(tensor())
    assert output.dtype == np.float32
    assert not output.flags.c_contiguous
    np.testing.assert_array_equal(output, MASK)
    np.testing.assert_array_equal(read_tensors(tensor()).classes(), output)
    assert device.get_outputs(tensor(), add_batch=True)[0].shape == (1, 320, 320)
    assert [list(s) for s in device.get_output_shapes(tensor())] == [[320, 320]]


@pytest.mark.parametrize('form', [suppressed, distances])
def test_outputs_of_a_network_of_instances(hardware, network, form):
    device = hardware[0].IMX500(network)
    made = form(np.array([(0.2, 0.3), (0.4, 0.6)]))
    outputs, ours = device.get_outputs(tensor(tensors=made)), read_tensors(tensor(tensors=made))
    assert ours.sizes == tuple(t.shape for t in made)
    for k, (expected, output) in enumerate(zip(made, outputs, strict=True)):
        np.testing.assert_array_equal(output, expected)
        np.testing.assert_array_equal(ours.array(k), expected)


def test_intrinsics_of_a_network_of_instances(hardware, tmp_path):
    said = {'task': 'segmentation', 'classes': {'labels': ['person', 'bicycle']},
            'cpu': {'bbox_normalization': True, 'bbox_order': 'xy'}}
    device = hardware[0].IMX500(str(make_rpk(tmp_path / 'yolo.rpk', said, 640)))
    intrinsics = device.network_intrinsics
    assert device.get_input_size() == (640, 640)
    assert intrinsics.labels == ['person', 'bicycle']
    assert intrinsics.bbox_normalization is True
    assert intrinsics.bbox_order == 'xy'


def test_outputs_that_are_not_there(hardware, network):
    device = hardware[0].IMX500(network)
    for metadata in ({}, tensor(CnnOutputTensor=None), tensor(CnnOutputTensor=())):
        assert device.get_outputs(metadata) is None
        assert read_tensors(metadata) is None
    assert device.get_outputs(tensor(CnnOutputTensorInfo=None)) == []
    assert read_tensors(tensor(CnnOutputTensorInfo=None)) is None


def test_a_pair_that_does_not_fit(hardware, network):
    device = hardware[0].IMX500(network)
    with pytest.raises(ValueError, match='tensor info length 708 does not match .* 712'):
        device.get_outputs(tensor(info_size=708))
    # Ours reads both.
    np.testing.assert_array_equal(read_tensors(tensor(info_size=708)).classes(), MASK)
    assert read_tensors(tensor(info_size=708)).count is None
    assert read_tensors(tensor()).count == 7


def test_run_time(hardware, network):
    kind = hardware[0].IMX500
    said = kind.get_kpi_info(tensor())
    assert tuple(said) == tuple(t / 1000 for t in run_time_us(tensor()))
    assert kind.get_kpi_info({}) is None


def test_regions(hardware, network, capsys):
    module, world = hardware
    device = module.IMX500(network)
    assert device.config['roi'].to_tuple() == (0, 0, 4056, 3040)
    device.set_inference_roi_abs((508, 0, 3040, 3040))
    assert device.config['roi'].to_tuple() == (508, 0, 3040, 3040)
    device.set_inference_roi_abs((4000, 3000, 100, 100))
    assert device.config['roi'].to_tuple() == (4000, 3000, 56, 40)
    world.roi_refused = True
    device.set_inference_roi_abs((0, 0, 100, 100))  # no error
    assert device.config['roi'].to_tuple() == (4000, 3000, 56, 40)
    assert 'Unable to set ROI control' in capsys.readouterr().out


def test_no_camera(hardware, network):
    module, world = hardware
    world.listed = False
    with pytest.raises(StopIteration):
        module.IMX500(network)
    world.subdevice = False
    with pytest.raises(RuntimeError, match='Requested camera dev-node not found'):
        module.IMX500(network)


@pytest.mark.parametrize(('data', 'error'), [
    (None, 'RuntimeError'), (b'', 'error'), (b'9464', 'error'),
    (b'no network at all, but long enough', 'ArchiveError')])
def test_files_that_are_no_network(hardware, tmp_path, data, error):
    path = tmp_path / 'bad.rpk'
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Exception) as raised:  # noqa: B017  the kinds are not importable here
        hardware[0].IMX500(str(path))
    assert raised.type.__name__ == error
