"""What every camera is: a stream of captures, whatever they come from."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
import logging
from pathlib import Path
import stat
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.class_names import VOC_NAMES
from ..core.instances import Instances
from ..core.settings import setting, Settings
from ..errors import CameraError, SettingsError
from ..messages import topics

# source: (module, class); a driver is imported only when its source is chosen.
_SOURCES = {
    'synthetic': ('.synthetic_camera', 'SyntheticCamera'),
    'sample': ('.recording', 'RecordingCamera'),
    'imx500': ('.imx500', 'Imx500Camera'),
}
_RECORDING = ('.recording', 'RecordingCamera')
_VIDEO = ('.video', 'VideoCamera')


@dataclass(frozen=True)
class Capture:
    """
    What a camera gives at one time: a frame, a mask, or both.

    Attributes
    ----------
    stamp_ns : int
        When the frame was taken, in nanoseconds since 1970. A mask has the stamp of the frame
        that the network saw.
    frame : ndarray of shape (H, W, 3), uint8, or None
        BGR.
    mask : ndarray of shape (H, W), uint8, or None
        Class id of each pixel, registered to the frame; 255 no data.
    instances : Instances or None
        Those that the network knows by itself, registered to the frame: the mask is made from
        them. The highest score first, which is in front where they overlap; the oriented boxes
        are the network's own, not turned. None from a network that gives classes only.

    """

    stamp_ns: int
    frame: npt.NDArray[np.uint8] | None
    mask: npt.NDArray[np.uint8] | None
    instances: Instances | None = None


@dataclass(frozen=True)
class CameraSettings(Settings):
    """Where frames and masks come from."""

    source: str = setting(
        'sample', "'imx500' (Raspberry Pi AI Camera), 'synthetic', 'sample' (the recording that "
        'comes with the package), or the path of a recording, a video, a folder of images or a '
        'device such as /dev/video0', live=False)
    frame_id: str = setting(
        'camera_optical_frame', 'Frame of the images: optical, z forward, as REP 103 says',
        live=False)
    calibration_file: str = setting(
        '', 'Calibration as camera_calibration writes it (YAML); empty: not calibrated',
        live=False)
    width: int = setting(640, 'Width of the frames of imx500, synthetic or a device; a camera '
                         'may choose another', unit='px', low=16, high=8192, live=False)
    height: int = setting(480, 'Height of the frames, likewise', unit='px', low=16, high=8192,
                          live=False)
    seed: int = setting(0, 'Which synthetic scene', low=0, high=2**31 - 1, live=False)
    frame_rate: float = setting(
        0.0, "Frames per second; 0: the source's own (imx500: what the network keeps up with, "
        'synthetic 30, a folder of images 10)', unit='Hz', low=0, high=240)
    playback_rate: float = setting(
        1.0, 'Speed at which a recording or a video is played: 2 is twice as fast', low=0.01,
        high=100)
    loop: bool = setting(True, 'Start a recording, a video or a folder of images again at its '
                         'end; the stamps go on rising')
    jpeg_quality: int = setting(
        90, 'Quality of the compressed frames, in percent', low=1, high=100)
    recorded_image: str = setting(
        topics.IMAGE, 'Image topic in a recording; /compressed is tried too', live=False)
    recorded_mask: str = setting(
        topics.MASK, 'Mask topic in a recording; /compressed is tried too', live=False)
    stamp_tolerance: float = setting(
        0.05, 'How far apart the stamps of a recorded mask and of its frame may be', unit='s',
        low=0, high=10, live=False)
    reorder_window: float = setting(
        0.5, 'By how much recorded messages may overtake each other: they are put in order',
        unit='s', low=0, high=60, live=False)
    max_gap: float = setting(
        10.0, 'Longest wait for the next frame of a recording: what is longer is skipped',
        unit='s', low=0.1, high=1e6)

    network_kind: str = setting(
        'auto', 'What the network of imx500 or a video gives: class ids of pixels (mask), or '
        'instances by itself, as YOLO-seg does (instances); auto: seen from its tensors',
        choices=('auto', 'mask', 'instances'), live=False)
    min_score: float = setting(
        0.25, 'Instances of such a network with a lower score are left out', low=0, high=1)
    network: str = setting(
        '', 'Network that makes the masks of a video on the CPU: a TFLite or ONNX file; empty: '
        'frames only', live=False)
    network_size: tuple[int, ...] = setting(
        (), 'Width and height of the input of an ONNX network that leaves them open; empty: 512, '
        '512, of YOLO-seg 640, 640', unit='px', low=16, high=4096, live=False)
    network_output: str = setting(
        '', 'Output of the network that has the classes; empty: the only one', live=False)
    network_threads: int = setting(2, 'CPU threads of the network', low=1, high=64, live=False)
    labels_file: str = setting(
        '', 'Class names, a line for each id from 0 on (of a network of instances: for each of '
        'its classes, as labels.txt of its export has); empty: PASCAL VOC, or what a recording or '
        'the network says', live=False)

    model: str = setting(
        '/usr/share/imx500-models/imx500_network_deeplabv3plus.rpk',
        'Network of the imx500 (.rpk): class ids of pixels, or YOLO-seg', live=False)
    buffer_count: int = setting(
        6, 'Frame buffers of the imx500, some 5 MB each', low=2, high=32, live=False)
    exposure_time: int = setting(
        0, 'Exposure of the imx500; 0: automatic', unit='us', low=0, high=100_000_000)
    analogue_gain: float = setting(
        0.0, 'Gain of the imx500; 0: automatic', low=0, high=64)
    white_balance: str = setting(
        'auto', 'White balance of the imx500',
        choices=('auto', 'incandescent', 'tungsten', 'fluorescent', 'indoor', 'daylight',
                 'cloudy'))
    flip_horizontal: bool = setting(
        False, 'Mirror frames and masks of imx500 or a video, left to right')
    flip_vertical: bool = setting(False, 'Mirror them top to bottom')
    inference_roi: tuple[int, ...] = setting(
        (), 'What the network of the imx500 sees: x, y, width, height on its 4056 x 3040 pixels; '
        'empty: all', unit='px', low=0, high=4056)
    mask_lag: int = setting(
        -1, 'How many frames the tensor of the imx500 is behind the frame that it comes with; '
        '-1: from the run time that the network reports', low=-1, high=30)
    rotate_mask: bool = setting(
        False, 'Turn the mask of the imx500 by 180 degrees against the frame, for a camera that '
        'is declared upside down where the mask then is so')
    frame_timeout: float = setting(
        3.0, 'A device that gives no frame for so long has stalled and is opened again',
        unit='s', low=0.1, high=600)
    mask_timeout: float = setting(
        20.0, 'An imx500 whose first mask takes longer has lost its network and is opened again',
        unit='s', low=0.1, high=600, live=False)

    own_process: bool = setting(
        True, 'Open the camera in a process of its own, which is restarted when it dies or stalls',
        live=False)
    wait_for: str = setting(
        '', 'Nodes that a recording, a video or a folder of images waits for at its start, and '
        'topics (names with a slash) that need a subscriber, with spaces between; empty: whoever '
        'subscribes', live=False)
    wait_timeout: float = setting(
        15.0, 'Longest time of this wait', unit='s', low=0, high=600, live=False)
    capture_python: str = setting(
        '', "Python that runs the camera's process, one that has the driver and this package; "
        'empty: the one of the node', live=False)
    capture_address: str = setting(
        '', 'Where an `instseg capture` runs already (ipc://PATH, tcp://HOST:PORT); empty: the '
        'node starts one', live=False)
    opening_timeout: float = setting(
        600.0, 'Longest time that a camera may take to open: the upload of a network takes '
        'minutes', unit='s', low=1, high=3600, live=False)

    def check_whole(self) -> None:
        """Check the settings that are lists."""
        if len(self.inference_roi) not in (0, 4) or 0 in self.inference_roi[2:]:
            raise SettingsError('inference_roi: expected x, y, width and height, the last two '
                                f'above 0, or nothing, got {list(self.inference_roi)}')
        if len(self.network_size) not in (0, 2):
            raise SettingsError('network_size: expected width and height or nothing, got '
                                f'{list(self.network_size)}')


class Camera(abc.ABC):
    """
    A stream of captures at the camera's own pace.

    Parameters
    ----------
    settings : CameraSettings
        How to open it.

    Attributes
    ----------
    class_names : mapping of int to str
        Name of each class id.
    rest_s : float
        How long the device must be left alone after `close`, before it is opened again, in
        seconds.
    report : callable
        Called with a sentence for everything that the camera mends by itself; whoever opened it
        may replace it.
    left_out : int
        Items of the stream that could not be used.

    Raises
    ------
    CameraError
        The camera cannot be opened.

    """

    class_names: Mapping[int, str] = VOC_NAMES
    rest_s: float = 0.0

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self.report: Callable[[str], None] = logging.getLogger('instseg').warning
        self.left_out = 0

    def leave_out(self, sentence: str) -> None:
        """Count an item of the stream that cannot be used; the sentence says which, and why."""
        self.left_out += 1
        self.report(sentence)

    @property
    def settings(self) -> CameraSettings:
        """
        Return the settings in force.

        Assign to change what is live while the camera runs; SettingsError, and nothing
        changed, when the new ones differ in what is fixed or the camera cannot do them.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: CameraSettings) -> None:
        if settings is self._settings:
            return
        for declared in settings.declared():
            value, now = getattr(settings, declared.name), getattr(self._settings, declared.name)
            if not declared.live and value != now:
                raise SettingsError(f'{declared.name}: fixed while the camera runs, expected '
                                    f'{now!r}, got {value!r}; close the camera and open it again')
        self._apply(settings)
        self._settings = settings

    def _apply(self, settings: CameraSettings) -> None:  # noqa: B027  most have nothing to do
        """Tell the device what has changed; SettingsError, and nothing changed, if it cannot."""

    @abc.abstractmethod
    def read(self, timeout_s: float) -> Capture | None:
        """
        Wait for the next capture; None when there is none yet. May be called from a thread.

        Parameters
        ----------
        timeout_s : float
            Longest wait in seconds.

        Raises
        ------
        CameraError
            The camera went away.
        EndOfStream
            Nothing more will come.

        """

    def details(self) -> dict[str, str]:
        """Return what is worth knowing of the camera's state, for /diagnostics."""
        shown = {'source': self.settings.source}
        if self.left_out:
            shown['items left out'] = str(self.left_out)
        return shown

    @abc.abstractmethod
    def close(self) -> None:
        """Give the camera back. May be called twice; `read` fails after it."""

    def release(self) -> None:
        """Close the camera; where another process holds it, have that one close it too."""
        self.close()


def open_camera(settings: CameraSettings) -> Camera:
    """Open the camera that ``settings.source`` names; raises CameraError when it cannot."""
    module, name = _SOURCES.get(settings.source) or _kind_of_path(settings.source)
    kind: Any = getattr(import_module(module, __package__), name)
    camera: Camera = kind(settings)
    return camera


def is_device(source: str) -> bool:
    """Return whether a source is a device: what is missing below /dev, or a link to one, too."""
    try:
        return stat.S_ISCHR(Path(source).expanduser().stat().st_mode)
    except OSError:
        return source.startswith('/dev/')


def is_stream(source: str) -> bool:
    """Return whether a source is a device or an address, which gives frames as they come."""
    return '://' in source or is_device(source)


def is_played(source: str) -> bool:
    """Return whether a source is a file or a folder, which can wait and always says the same."""
    return source not in ('synthetic', 'imx500') and not is_stream(source)


def fails_for_good(settings: CameraSettings) -> bool:
    """Return whether a source that failed would fail again: a file that is there."""
    return is_played(settings.source) and (
        settings.source == 'sample' or Path(settings.source).expanduser().exists())


def _kind_of_path(source: str) -> tuple[str, str]:
    """Return module and class for a path: what is no recording is a video."""
    path = Path(source).expanduser()
    if is_stream(source):
        return _VIDEO
    if not path.exists():
        meant = (" ('video' stands for the path of one)" if source in ('video', 'recording')
                 else '')
        raise CameraError(
            f'{source}: expected {", ".join(map(repr, _SOURCES))} or the path of a recording, a '
            f'video, a folder of images or a device{meant}, and there is nothing of that name; '
            'mend the source, or plug the camera in')
    bags = ('*.mcap', '*.db3', 'metadata.yaml', '*.zstd', '*.bag')
    recorded = (any(next(path.glob(b), None) for b in bags) if path.is_dir()
                else any(path.match(b) for b in bags))
    return _RECORDING if recorded else _VIDEO
