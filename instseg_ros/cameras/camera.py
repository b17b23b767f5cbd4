"""What every camera is: a stream of captures, whatever they come from."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.settings import setting, Settings

# The PASCAL VOC classes of the networks at hand; the place in the list is the class id.
VOC_CLASSES = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
    'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
    'train', 'tvmonitor')

# source: (module, class); a driver is imported only when its source is chosen. Any other source
# is the path of a recording.
_SOURCES = {
    'synthetic': ('.synthetic_camera', 'SyntheticCamera'),
    'sample': ('.recording', 'RecordingCamera'),
}
_RECORDING = ('.recording', 'RecordingCamera')


class CameraError(RuntimeError):
    """A camera cannot be opened or went away; says why and what to do."""


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

    """

    stamp_ns: int
    frame: npt.NDArray[np.uint8] | None
    mask: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class CameraSettings(Settings):
    """Where frames and masks come from."""

    source: str = setting(
        'sample', "'synthetic', 'sample' (the recording that comes with the package) or the path "
        'of a recording', live=False)
    frame_id: str = setting(
        'camera_optical_frame', 'Frame of the images: optical, z forward, as REP 103 says',
        live=False)
    calibration_file: str = setting(
        '', 'Calibration as camera_calibration writes it (YAML); empty: not calibrated',
        live=False)
    width: int = setting(640, 'Width of the synthetic scene', unit='px', low=16, high=8192,
                         live=False)
    height: int = setting(480, 'Height of the synthetic scene', unit='px', low=16, high=8192,
                          live=False)
    seed: int = setting(0, 'Which synthetic scene', low=0, high=2**31 - 1, live=False)
    frame_rate: float = setting(
        30.0, 'Frames per second of the synthetic scene', unit='Hz', low=0.1, high=240)
    playback_rate: float = setting(
        1.0, 'Speed at which a recording is played: 2 is twice as fast', low=0.01, high=100)
    loop: bool = setting(True, 'Start a recording again at its end; the stamps go on rising')
    jpeg_quality: int = setting(
        90, 'Quality of the compressed frames, in percent', low=1, high=100)
    recorded_image: str = setting(
        'camera/image_raw', 'Image topic in a recording; /compressed is tried too', live=False)
    recorded_mask: str = setting(
        'camera/semantic_mask', 'Mask topic in a recording; /compressed is tried too', live=False)


class Camera(abc.ABC):
    """
    A stream of captures at the camera's own pace.

    Parameters
    ----------
    settings : CameraSettings
        May be replaced while the camera runs, by assigning :attr:`settings`; what is not live
        stays as it was at the start.

    Attributes
    ----------
    class_names : mapping of int to str
        Name of each class id.

    Raises
    ------
    CameraError
        The camera cannot be opened.

    """

    class_names: Mapping[int, str] = dict(enumerate(VOC_CLASSES))

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings

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
        return {'source': self.settings.source}

    @abc.abstractmethod
    def close(self) -> None:
        """Give the camera back. May be called twice; `read` fails after it."""


class EndOfStream(CameraError):
    """A recording is over."""


def open_camera(settings: CameraSettings) -> Camera:
    """Open the camera that ``settings.source`` names; raises CameraError when it cannot."""
    module, name = _SOURCES.get(settings.source, _RECORDING)
    kind: Any = getattr(import_module(module, __package__), name)
    camera: Camera = kind(settings)
    return camera
