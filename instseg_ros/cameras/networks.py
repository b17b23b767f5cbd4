"""Networks on the CPU that give each pixel of a frame a class."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .camera import CameraSettings
from ..errors import CameraError

# What photographs have on the average, RGB: the scale on which ONNX networks were trained.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


class Network(abc.ABC):
    """Gives class masks for frames."""

    @abc.abstractmethod
    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """
        Return the class of each cell of the network's grid, which covers the whole frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            BGR, of any size.

        Returns
        -------
        ndarray of shape (h, w), uint8

        Raises
        ------
        CameraError
            What the network gives are no classes of pixels.

        """


class TfliteNetwork(Network):
    """
    A TFLite network, run by ai-edge-litert.

    Its input is an RGB image, uint8 or float in [-1, 1]; its output class ids or a score for
    each class, in rows and columns.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise CameraError(f'{path}: a TFLite network takes the package ai-edge-litert '
                              f'({error}): pip install "instseg_ros[tflite]"') from error
        try:
            self._network = Interpreter(model_path=str(path), num_threads=threads)
            self._network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise CameraError(f'{path}: expected a TFLite network, got {error}') from error
        self._input, self._output = (self._network.get_input_details()[0],
                                     self._network.get_output_details()[0])
        shape = tuple(self._input['shape'])
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise CameraError(f'{path}: expected a network of one RGB image, input 1 x height x '
                              f'width x 3, got {shape}')
        self._size = int(shape[2]), int(shape[1])

    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the class of each cell."""
        pixels: npt.NDArray[Any] = cv2.cvtColor(
            cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        if self._input['dtype'] != np.uint8:
            pixels = (pixels / np.float32(127.5) - 1).astype(self._input['dtype'])
        self._network.set_tensor(self._input['index'], pixels[np.newaxis])
        self._network.invoke()
        return _classes(self._network.get_tensor(self._output['index'])[0], axis=-1)


class OnnxNetwork(Network):
    """
    An ONNX network, run by OpenCV.

    Its input is one RGB image in planes, on the scale of ImageNet as torchvision has it; its
    first output a score for each class, in planes, or class ids.
    """

    def __init__(self, path: Path, size: tuple[int, int], threads: int) -> None:
        self._path, self._size = path, size
        cv2.setNumThreads(threads)
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise CameraError(f'{path}: expected an ONNX network that OpenCV can run, got '
                              f'{error}') from error

    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the class of each cell."""
        pixels = cv2.cvtColor(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA),
                              cv2.COLOR_BGR2RGB)
        scaled = (pixels / np.float32(255) - _MEAN) / _DEVIATION
        self._network.setInput(np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis]))
        try:
            scores = self._network.forward()
        except cv2.error as error:
            raise CameraError(f'{self._path}: the network does not take {self._size[0]}x'
                              f'{self._size[1]} pixels ({error}): set network_size') from error
        return _classes(scores[0], axis=0)


def _classes(output: npt.NDArray[Any], axis: int) -> npt.NDArray[np.uint8]:
    """Return class ids from ids or scores; the classes of scores are along ``axis``."""
    if output.ndim == 3 and output.shape[axis] == 1:
        output = output.squeeze(axis)
    if output.ndim == 3 and output.shape[axis] < 255:
        output = output.argmax(axis)
    if output.ndim != 2:
        raise CameraError('expected a network that gives classes of pixels, height x width or '
                          f'with fewer than 255 scores each, got an output of shape '
                          f'{output.shape}')
    return output.astype(np.uint8)


def open_network(settings: CameraSettings) -> Network | None:
    """
    Open the network of ``settings.network``; None when there is none.

    Raises
    ------
    CameraError
        The file is missing or no network that can be run here.

    """
    if not settings.network:
        return None
    path = Path(settings.network).expanduser()
    kind = path.suffix.lower()
    if not path.is_file() or kind not in ('.tflite', '.onnx'):
        raise CameraError(f'{path}: expected a network, a file that ends in .tflite or .onnx, '
                          f'got {"another file" if path.is_file() else "nothing"}')
    if kind == '.tflite':
        return TfliteNetwork(path, settings.network_threads)
    width, height = settings.network_size or (512, 512)
    return OnnxNetwork(path, (width, height), settings.network_threads)


def load_labels(file: str) -> dict[int, str]:
    """
    Return class names by id; empty without a file.

    Raises
    ------
    CameraError
        The file is missing or has no line of text.

    """
    if not file:
        return {}
    try:
        lines = Path(file).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(f'{file}: expected a class name in each line, got {error}') from error
    names = {k: line.strip() for k, line in enumerate(lines) if line.strip()}
    if not names or max(names) > 254:
        raise CameraError(f'{file}: expected 1 to 255 class names, a line for each id from 0 on, '
                          f'got {len(lines)} lines')
    return names
