"""The Raspberry Pi AI Camera: frames from the sensor, masks from the network on it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
import errno
from importlib import import_module, metadata as packages
import logging
from pathlib import Path
import platform
import struct
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from .camera import Camera, CameraSettings, Capture
from .imx500_metadata import (CLASSES, frames_behind, Metadata, read_stamp, read_tensors,
                              run_time_us, seen_region, SENSOR_SIZE, Tensors)
from .instance_network import gives_instances, read_outputs, register, TENSORS
from .networks import load_labels, named, names_of_instances
from .registration import register_mask
from .video import flip
from ..errors import CameraError, SettingsError

_OLDEST = (0, 3, 30)  # picamera2 that drops the frames of the start and knows the inference rate
_FAST_MODE = (2028, 1520)  # 30 frames per second; beyond, the sensor has one of 10
_DEFAULT_RATE = 30.0  # of a network that does not say, until its first run
_DRIVER = Path('/sys/bus/i2c/drivers/imx500')

log = logging.getLogger('instseg.capture')


@dataclass(frozen=True)
class _Shot:
    """A frame that waits for its mask."""

    time_ns: int  # of the sensor's own clock
    stamp_ns: int
    frame: npt.NDArray[np.uint8]
    crop: tuple[int, int, int, int]
    settings: CameraSettings


class Imx500Camera(Camera):
    """
    Frames with the masks of what the network saw in them.

    A tensor comes with a later frame than the one it was made of. Frames wait for that time, some
    50 ms, and leave with their mask, or without one where the network was too slow for them.

    Whether the network gives class ids or instances shows in its tensors, so the classes have
    names from the first one on.
    """

    # The driver forgets the network 5 s after the stream ends, in which a new one may be lost.
    rest_s = 6.0

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        load_labels(settings.labels_file)  # what is wrong with it is said before anything starts
        self.class_names = {}
        self._of_instances: bool | None = None  # until the first tensors
        self._camera: Any = None
        self._job: Any = None
        self._shots: deque[_Shot] = deque()
        self._ready: deque[Capture] = deque()
        self._period_us = 1e6 / _DEFAULT_RATE
        self._network_us: float | None = None
        self._count: int | None = None
        self._skipped = 0  # frames whose tensors may still be of another region
        self._mask_ns = 0
        self._tensor_times: deque[float] = deque(maxlen=50)
        self._unpaired = 0
        self._metadata: Metadata = {}
        try:
            self._open(settings)
        except Exception as error:
            self.close()
            if isinstance(error, CameraError):
                raise
            raise CameraError(_explain(error, settings)) from error

    def _open(self, settings: CameraSettings) -> None:
        if not Path(settings.model).is_file():
            raise CameraError(f'model: expected a network of the AI Camera, got {settings.model}, '
                              'which is not there: sudo apt install imx500-all')
        imx500, picamera2 = import_driver()
        # First of all: the network decides on the size of the camera's buffers.
        self._device = imx500.IMX500(settings.model)
        said = _rate_of(self._device, settings)
        self._rate, self._rate_is_known = said or _DEFAULT_RATE, said is not None
        self._set_roi(settings.inference_roi)
        self._camera = picamera2.Picamera2(self._device.camera_num)
        # OpenCV's order of colours is the one that libcamera calls RGB.
        options: dict[str, Any] = {
            'main': {'size': (settings.width, settings.height), 'format': 'RGB888'},
            'buffer_count': settings.buffer_count, 'controls': self._controls(settings)}
        if settings.width <= _FAST_MODE[0] and settings.height <= _FAST_MODE[1]:
            options['sensor'] = {'output_size': _FAST_MODE, 'bit_depth': 10}
        self._mapped_array = picamera2.MappedArray
        self._camera.configure(self._camera.create_video_configuration(**options))
        self._size = tuple(self._camera.camera_configuration()['main']['size'])
        log.info('starting the AI Camera with %s; a network that it does not know yet is '
                 'uploaded, which takes up to minutes', Path(settings.model).name)
        self._camera.start()
        self._started_s = self._frame_s = time.monotonic()

    def _controls(self, settings: CameraSettings) -> dict[str, Any]:
        """Return libcamera's names for the live settings; zero is automatic there too."""
        modes = [s.choices for s in settings.declared() if s.name == 'white_balance'][0]
        return {'FrameRate': settings.frame_rate or self._rate,
                'ExposureTime': settings.exposure_time, 'AnalogueGain': settings.analogue_gain,
                'AwbMode': modes.index(settings.white_balance)}

    def _set_roi(self, roi: tuple[int, ...]) -> None:
        wanted = roi or (0, 0, *SENSOR_SIZE)
        x, y, width, height = wanted
        if x + width > SENSOR_SIZE[0] or y + height > SENSOR_SIZE[1]:
            raise SettingsError(f'inference_roi: expected a part of the {SENSOR_SIZE[0]} x '
                                f'{SENSOR_SIZE[1]} pixels, got {list(wanted)}')
        self._device.set_inference_roi_abs(wanted)
        # A refusal is only printed.
        got = self._device.config.get('roi')
        if got is None or tuple(got.to_tuple()) != wanted:
            raise SettingsError(f'inference_roi: the driver does not take {list(wanted)}')

    def _apply(self, settings: CameraSettings) -> None:
        now = self._settings
        before, wanted = self._controls(now), self._controls(settings)
        changed = {k: v for k, v in wanted.items() if v != before[k]}
        try:
            if changed:
                self._camera.set_controls(changed)
        except RuntimeError as error:
            raise SettingsError(f'the camera does not know {", ".join(changed)}: {error}'
                                ) from error
        if settings.inference_roi != now.inference_roi:
            try:
                self._set_roi(settings.inference_roi)
            except SettingsError:
                if changed:
                    self._camera.set_controls({k: before[k] for k in changed})
                raise
            self._skipped = self._lag(settings) + 2

    def read(self, timeout_s: float) -> Capture | None:
        """Return the next frame, and its mask if the network was done with it."""
        if self._camera is None:
            raise CameraError('the camera is closed')
        until = time.monotonic() + timeout_s
        while not self._ready:
            request = self._wait(until - time.monotonic())
            if request is None:
                return None
            try:
                self._take(request)
            finally:
                request.release()
        return self._ready.popleft()

    def _wait(self, seconds: float) -> Any:
        """Return the next request; None when there is none yet."""
        # One that was given up would take a frame away later, so it is kept for the next call.
        if self._job is None:
            self._job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._job, timeout=max(0.0, seconds))
        except (FutureTimeoutError, TimeoutError):
            self._check_life()
            return None
        except CancelledError:
            raise CameraError('the camera was closed while a frame was on its way') from None
        self._job = None
        self._frame_s = time.monotonic()
        return request

    def _check_life(self) -> None:
        silent_s = time.monotonic() - self._frame_s
        if silent_s > self.settings.frame_timeout:
            raise CameraError(f'expected a frame, got none for {silent_s:.1f} s: the AI Camera '
                              'has stalled; it is closed and opened again, and if that does not '
                              'help, look at its cable and at dmesg')

    def _take(self, request: Any) -> None:
        """Turn a request into a shot that waits, and hand on those that have waited enough."""
        settings = self.settings
        # Once: every call turns 100000 numbers into objects of Python, for milliseconds.
        metadata: Metadata = request.get_metadata()
        self._metadata = {k: v for k, v in metadata.items() if not k.startswith('CnnOutput')}
        stamp_ns = read_stamp(metadata)
        time_ns = int(metadata.get('SensorTimestamp', stamp_ns))
        self._period_us = metadata.get('FrameDuration') or self._period_us
        with self._mapped_array(request, 'main', write=False) as mapped:
            pixels = mapped.array[:, :self._size[0]]
            # The buffer goes back to the camera: the one copy, or a mirrored one. The sensor can
            # mirror only in a new configuration, and nobody says what its network sees then.
            frame = flip(pixels, settings)
            frame = pixels.copy() if frame is pixels else frame
        crop = tuple(metadata.get('ScalerCrop') or (0, 0, *SENSOR_SIZE))
        self._shots.append(_Shot(time_ns, stamp_ns, frame, crop, settings))
        seen_ns = time_ns - round(1000 * self._lag(settings) * self._period_us)
        self._hand_on(self._new_tensors(metadata), seen_ns)

    def _lag(self, settings: CameraSettings) -> int:
        if settings.mask_lag >= 0:
            return settings.mask_lag
        if self._network_us is None:
            return 1
        return frames_behind(self._network_us, self._period_us)

    def _new_tensors(self, metadata: Metadata) -> Tensors | None:
        """Return the tensors of a frame, unless they are old ones or of another region."""
        tensors = read_tensors(metadata)
        if tensors is None or (tensors.count is not None and tensors.count == self._count):
            self._check_network()
            tensors = None
        else:
            self._count = tensors.count
            self._tensor_times.append(time.monotonic())
            took = run_time_us(metadata)
            if took:
                before = self._network_us
                self._network_us = sum(took) if before is None else (
                    0.9 * before + 0.1 * sum(took))
                self._keep_up(sum(took))
        if self._skipped:
            self._skipped -= 1
            return None
        if tensors is not None and self._of_instances is None:
            self._recognise(tensors)
        return tensors

    def _keep_up(self, run_us: int) -> None:
        """Slow down to what a network that does not say its rate keeps up with, once."""
        if self._rate_is_known:
            return
        self._rate, self._rate_is_known = min(max(1e6 // run_us, 1.0), _DEFAULT_RATE), True
        if not self._settings.frame_rate:
            self._camera.set_controls({'FrameRate': self._rate})

    def _recognise(self, tensors: Tensors) -> None:
        """Find out what the network gives, and what its classes are called."""
        settings = self._settings
        if settings.network_kind == 'auto' and not (
                tensors.are_classes or gives_instances(tensors.sizes)):
            raise CameraError(
                f'expected a network with {CLASSES}, or of instances, with {TENSORS}, got '
                f'{tensors}; choose imx500_network_deeplabv3plus.rpk or an export of YOLO-seg')
        self._of_instances = settings.network_kind == 'instances' or (
            settings.network_kind == 'auto' and not tensors.are_classes)
        said = self._device.network_intrinsics
        labels = (said and said.labels) or ()
        if self._of_instances:
            self.class_names = names_of_instances(labels, settings.labels_file, self.report)
        else:
            self.class_names = (named(labels, False) or load_labels(settings.labels_file)
                                or type(self).class_names)

    def _check_network(self) -> None:
        waited_s = time.monotonic() - self._started_s
        if not self._tensor_times and waited_s > self.settings.mask_timeout:
            raise CameraError(f'frames come, but no mask within {waited_s:.0f} s: the AI Camera '
                              'runs without its network, which is uploaded again; if that does '
                              'not help, look at dmesg')

    def _hand_on(self, tensors: Tensors | None, seen_ns: int) -> None:
        """Give the tensors to the shot of their time; shots up to then have waited enough."""
        half_ns = round(500 * self._period_us)
        while self._shots and self._shots[0].time_ns <= seen_ns + half_ns:
            shot = self._shots.popleft()
            if tensors is not None and shot.time_ns > seen_ns - half_ns:
                self._ready.append(self._register(tensors, shot))
                tensors, self._mask_ns = None, shot.stamp_ns
            else:
                self._ready.append(Capture(shot.stamp_ns, shot.frame, None))
        if tensors is not None:
            self._unpaired += 1

    def _register(self, tensors: Tensors, shot: _Shot) -> Capture:
        """Return a frame with what the network saw in it."""
        settings = shot.settings
        size = shot.frame.shape[1], shot.frame.shape[0]
        roi = seen_region(settings.inference_roi, settings.rotate_mask)
        if not self._of_instances:
            mask = tensors.classes()
            if settings.rotate_mask:
                mask = mask[::-1, ::-1]
            mask = flip(register_mask(mask, size, roi, shot.crop), settings)
            return Capture(shot.stamp_ns, shot.frame, mask)
        said = self._device.network_intrinsics
        found = read_outputs(tensors, self._device.get_input_size(), settings.min_score,
                             said and said.bbox_normalization, said and said.bbox_order == 'yx')
        # Turned and mirrored as masks are, but in the network's grid, which is smaller.
        turns = [flipped != settings.rotate_mask
                 for flipped in (settings.flip_horizontal, settings.flip_vertical)]
        instances, mask = register(found.mirrored(*turns), size,
                                   _mirrored(roi, shot.crop, settings), shot.crop)
        return Capture(shot.stamp_ns, shot.frame, mask, instances)

    def details(self) -> dict[str, str]:
        """Return what the sensor and its network say of themselves."""
        shown, said = super().details(), self._metadata
        times = [t for t in self._tensor_times if time.monotonic() - t < 5]
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
        shown['tensor rate (Hz)'] = f'{rate:.1f}'
        if self._of_instances is not None:
            shown['the network gives'] = 'instances' if self._of_instances else 'class ids'
        if self._mask_ns:
            shown['age of the mask (s)'] = f'{(time.time_ns() - self._mask_ns) / 1e9:.3f}'
        shown['frames between frame and tensor'] = str(self._lag(self.settings))
        shown['tensors without a frame'] = str(self._unpaired)
        for name, key, scale in (
                ('sensor temperature (°C)', 'SensorTemperature', 1), ('lux', 'Lux', 1),
                ('exposure (ms)', 'ExposureTime', 1e-3), ('gain', 'AnalogueGain', 1)):
            if said.get(key) is not None:
                shown[name] = f'{said[key] * scale:.3g}'
        took = run_time_us(said)
        if took:
            shown['DNN time (ms)'], shown['DSP time (ms)'] = (f'{t / 1000:.1f}' for t in took)
        return shown

    def close(self) -> None:
        """Close the camera; may be called twice."""
        camera, self._camera, self._job = self._camera, None, None
        if camera is not None:
            camera.cancel_all_and_flush()
            camera.close()  # not stop(), which waits for ever after a stall
        self._device = None  # closes its file


def import_driver() -> tuple[Any, Any]:
    """
    Import picamera2.

    Returns
    -------
    tuple of modules
        ``picamera2.devices.imx500`` and ``picamera2``.

    Raises
    ------
    CameraError
        It is missing, too old or does not fit what else is installed.

    """
    try:
        picamera2 = import_module('picamera2')
        imx500 = import_module('picamera2.devices.imx500')
    except ImportError as error:
        raise CameraError(
            f'{sys.executable} has no picamera2 with support of the AI Camera ({error}): sudo apt '
            "install python3-picamera2 imx500-all on Raspberry Pi OS, and have the system's "
            'Python, or a venv made with --system-site-packages, run the camera (parameter '
            'capture_python)') from error
    except (AttributeError, ValueError) as error:
        if 'numpy' in str(error):
            raise CameraError(
                f"picamera2's packages are built for another NumPy than {np.__version__} of "
                f'{sys.executable} ({error}): give its venv the NumPy of the system, '
                'docs/raspberry_pi.md says how') from error
        raise CameraError(
            f'picamera2 and libcamera do not fit together ({error}): sudo apt full-upgrade, and '
            'look that no other libcamera is in PYTHONPATH or LD_LIBRARY_PATH') from error
    try:
        version = packages.version('picamera2')
        known = tuple(int(part) for part in version.split('.')[:3])
    except (packages.PackageNotFoundError, ValueError):
        return imx500, picamera2
    if known < _OLDEST:
        raise CameraError(f'expected picamera2 {".".join(map(str, _OLDEST))} or newer, got '
                          f'{version}: sudo apt full-upgrade')
    return imx500, picamera2


def _mirrored(roi: tuple[int, ...], crop: tuple[int, ...], settings: CameraSettings
              ) -> tuple[float, float, float, float]:
    """Return what the network sees, where it is on a sensor that is mirrored as the frame is."""
    x, y, width, height = roi
    if settings.flip_horizontal:
        x = 2 * crop[0] + crop[2] - x - width
    if settings.flip_vertical:
        y = 2 * crop[1] + crop[3] - y - height
    return x, y, width, height


def _rate_of(device: Any, settings: CameraSettings) -> float | None:
    """Return the rate that a network says it keeps up with, in Hz; None where it does not say."""
    said = device.network_intrinsics
    if (settings.network_kind == 'auto' and said is not None
            and said.task not in (None, 'segmentation')):
        raise CameraError(f'model: expected a network for segmentation, got {settings.model}, '
                          f'which is for {said.task}; if it gives masks all the same, set '
                          'network_kind')
    return float(said.inference_rate) if said and said.inference_rate else None


def _explain(error: Exception, settings: CameraSettings) -> str:
    """Return cause and cure of what picamera2 raised while the camera was opened."""
    said = ' '.join(filter(None, (str(error), str(error.__cause__ or ''))))
    where = str(getattr(error, 'filename', None) or '')
    number = getattr(error, 'errno', None)
    kind = type(error).__name__
    if 'dev-node not found' in said:
        if not _DRIVER.exists():
            return (f'this kernel ({platform.release()}) has no driver of the AI Camera, only '
                    "Raspberry Pi's have: run Raspberry Pi OS, with ROS in a container if need be")
        return ('no AI Camera is connected, or it was not found at boot: look at its cable and '
                'at camera_auto_detect in /boot/firmware/config.txt, and reboot')
    if isinstance(error, StopIteration) or 'No camera number' in said or kind == 'IndexError':
        return ('the kernel has the AI Camera, but libcamera does not list it: it is not '
                "Raspberry Pi's libcamera; sudo apt install --reinstall libcamera0.* "
                'python3-libcamera, and look that no other is in LD_LIBRARY_PATH')
    if 'debug' in where or 'fw_progress' in said:
        return ('picamera2 before 0.3.35 reads /sys/kernel/debug, which only root may: sudo apt '
                'full-upgrade')
    if isinstance(error, PermissionError):
        return (f'this user may not open {where or "the camera"}: sudo usermod -aG video $USER, '
                'and log in again')
    if 'Errno 16' in said or 'busy' in said or '__init__ sequence' in said:
        return ('another process has the AI Camera: end it (`fuser /dev/video0 /dev/media0` names '
                'it)')
    if number == errno.ENOMEM:
        return (f'not enough contiguous memory for {settings.buffer_count} buffers: lower '
                'buffer_count or the size, or raise cma= in /boot/firmware/cmdline.txt')
    if 'dmaHeap' in said:
        return ('there is no /dev/dma_heap: in a container pass it on, and update the kernel '
                'elsewhere')
    if 'Failed to start camera' in said:
        return (f'the AI Camera does not start ({said}): dmesg says whether the upload of the '
                'firmware or of the network failed; reboot, and reinstall imx500-all')
    if 'not advertised' in said or isinstance(error, SettingsError):
        return f'the camera refuses a setting: {said}'
    if (isinstance(error, (struct.error, KeyError, ValueError))
            or kind in ('ArchiveError', 'ValidationError')
            or any(w in said for w in ('footer', 'networkNum', 'does not exist'))):
        return (f'{settings.model} is no network of the AI Camera, or a damaged one ({said}): '
                'sudo apt install --reinstall imx500-models')
    if 'network firmware' in said:
        return f'the driver does not take the network {settings.model}: {said}; look at dmesg'
    return f'the AI Camera does not open: {kind}: {said}'
