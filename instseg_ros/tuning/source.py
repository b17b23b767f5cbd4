"""What is tuned on: frames of a recording, of a folder of masks, or of a film with a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ..cameras import CameraSettings, Capture, open_camera
from ..cameras.camera import is_stream
from ..cameras.networks import load_labels
from ..cameras.recording import find_sample, RecordingCamera
from ..cameras.registration import register_mask
from ..core.class_names import VOC_NAMES
from ..errors import CameraError, EndOfStream
from ..messages.encodings import encode

MOST_BYTES = 1 << 30  # of frames and masks as they are kept
_QUALITY = 90  # of the frames that are kept, in percent
_PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
_LOSSLESS = ('.png', '.bmp', '.tif', '.tiff')  # a mask in another file is none
_FOLDER_RATE = 10.0


@dataclass(frozen=True)
class Frame:
    """
    A frame and its mask, small enough to keep all of a recording.

    Attributes
    ----------
    stamp_ns : int
        In nanoseconds since 1970.
    size : tuple of int
        Width and height in pixels.

    """

    stamp_ns: int
    size: tuple[int, int]
    _mask: bytes
    _frame: bytes

    @classmethod
    def of(cls, capture: Capture) -> Frame:
        """Return what a camera gave; it has a mask."""
        assert capture.mask is not None
        return cls(capture.stamp_ns, (capture.mask.shape[1], capture.mask.shape[0]),
                   encode(capture.mask).tobytes(),
                   b'' if capture.frame is None else encode(capture.frame, _QUALITY).tobytes())

    @property
    def bytes_kept(self) -> int:
        """Return how much memory it takes."""
        return len(self._mask) + len(self._frame)

    @property
    def mask(self) -> npt.NDArray[np.uint8]:
        """Return class ids, (H, W) uint8; 255 no data."""
        return _decoded(self._mask, cv2.IMREAD_GRAYSCALE)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the frame, (H, W, 3) uint8, BGR; grey where none was recorded."""
        if self._frame:
            return _decoded(self._frame, cv2.IMREAD_COLOR)
        return np.full((self.size[1], self.size[0], 3), 60, np.uint8)


@dataclass
class Source:
    """
    Where frames come from.

    Parameters
    ----------
    camera : CameraSettings
        ``source`` names it; topics, network, names of classes and so on are as for a camera node.
    start_s, duration_s : float
        What part of it counts, in seconds from its first frame.

    Attributes
    ----------
    names : mapping of int to str
        Names of the classes, when the first frame is there.
    notes : list of str
        What was left out, and what is odd; a sentence each.

    """

    camera: CameraSettings
    start_s: float = 0.0
    duration_s: float = float('inf')
    names: Mapping[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Return the path of the recording or folder; for the sample, its name where we are."""
        if self.camera.source == 'sample':
            return Path('sample').absolute()
        return Path(self.camera.source).expanduser().absolute()

    def check(self) -> None:
        """Raise CameraError where this is nothing that can be tuned on, or not there."""
        source = self.camera.source
        if source in ('synthetic', 'imx500') or is_stream(source):
            raise CameraError(
                f'{source}: expected a recording, the sample, or a folder of masks or frames, got '
                f'a camera, which goes on for ever; `instseg record OUT --source {source}` '
                'records it')
        if source == 'sample':
            find_sample()
        elif not self.path.exists():
            raise CameraError(f'{source}: there is nothing of that name')

    def frames(self) -> Iterator[Frame]:
        """
        Yield the frames that have masks, as fast as they can be read.

        Raises
        ------
        CameraError
            The source cannot be read, or none of its frames has a mask; the sentence says what
            to do.

        """
        first_ns, kept, without, count = 0, 0, 0, 0
        for capture in self._captures():
            first_ns = first_ns or capture.stamp_ns
            since_s = (capture.stamp_ns - first_ns) / 1e9
            if since_s < self.start_s:
                continue
            if since_s > self.start_s + self.duration_s:
                break
            if capture.mask is None:
                without += 1
                if without > 100 and not count:
                    break
                continue
            frame = Frame.of(capture)
            kept += frame.bytes_kept
            if kept > MOST_BYTES:
                self.notes.append(f'the memory is for {count} frames, up to {since_s:.0f} s; '
                                  '--start and --duration choose others')
                break
            count += 1
            yield frame
        if count and without:
            self.notes.append(f'{without} frames have no mask and are not shown')
        if not count:
            raise self._no_masks(without)

    def _no_masks(self, without: int) -> CameraError:
        if self.start_s and not without:
            return CameraError(f'{self.camera.source}: no frame after {self.start_s:g} s; give '
                               '--start less')
        if without and not self.camera.network:
            return CameraError(
                f'{self.camera.source}: expected masks, got frames alone; --set '
                'network=FILE names a network that makes them (TFLite or ONNX)')
        return CameraError(f'{self.camera.source}: expected frames with masks, got none that can '
                           'be used; `instseg info` says what is in a recording')

    def _captures(self) -> Iterator[Capture]:
        self.check()
        if self.camera.source != 'sample' and (masks := _mask_files(self.path)):
            self.names = load_labels(self.camera.labels_file) or VOC_NAMES
            yield from self._folder(masks)
            return
        camera = open_camera(replace(self.camera, loop=False, playback_rate=100.0))
        camera.report = self.notes.append
        self.names = camera.class_names
        try:
            if isinstance(camera, RecordingCamera):
                yield from camera.captures()
                return
            while True:
                if (capture := camera.read(1.0)) is not None:
                    yield capture
        except EndOfStream:
            return
        finally:
            camera.close()

    def _folder(self, masks: Mapping[str, Path]) -> Iterator[Capture]:
        """Yield the masks of a folder, each with the picture of the same name."""
        folder = self.path
        beside = {file.stem: file for file in sorted(folder.iterdir())
                  if file.suffix.lower() in _PICTURES and file != masks.get(file.stem)}
        step_ns = round(1e9 / (self.camera.frame_rate or _FOLDER_RATE))
        for k, (stem, file) in enumerate(masks.items()):
            mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
                got = 'no image' if mask is None else f'{mask.dtype} of shape {mask.shape}'
                self.notes.append(f'{file}: expected class ids, one channel of 8 bits, got {got}; '
                                  'it is left out')
                continue
            ids, picture = mask.astype(np.uint8, copy=False), None
            if stem in beside and (frame := cv2.imread(str(beside[stem]))) is not None:
                picture = frame.astype(np.uint8, copy=False)
                if picture.shape[:2] != ids.shape:
                    ids = register_mask(ids, (picture.shape[1], picture.shape[0]))
            yield Capture((k + 1) * step_ns, picture, ids)


def _mask_files(path: Path) -> dict[str, Path]:
    """Return the class masks of a folder by their stems; none where it is no folder of masks."""
    if not path.is_dir():
        return {}
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in _LOSSLESS
             and not file.name.startswith('.')]
    if not files:
        return {}
    # A picture in colours is a frame. Only the first one is looked at: folders are of one kind.
    first = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    if first is None or first.ndim != 2:
        return {}
    return {file.stem: file for file in files}


def _decoded(data: bytes, way: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), way), np.uint8)
