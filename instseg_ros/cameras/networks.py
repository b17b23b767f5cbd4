"""Networks on the CPU: classes of the pixels of a frame, or instances in it."""

from __future__ import annotations

import abc
import ast
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .camera import CameraSettings
from .instance_network import read_plain, register, STRIDES
from .onnx_file import FLOAT, FLOAT16, read_signature, UINT8
from .quiet import cause, silence_libraries
from .registration import register_mask
from ..core.instances import Instances
from ..errors import CameraError

BACKGROUND = 'background'
_GREY = 114  # of the bars beside a frame of other proportions
# What photographs have on the average, RGB: the scale on which ONNX networks were trained.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


class Network(abc.ABC):
    """
    Gives masks for frames.

    Attributes
    ----------
    of_instances : bool
        Whether it gives instances by itself.
    labels : sequence of str
        What the file of such a network calls its classes; empty where it does not say.

    """

    of_instances = False
    labels: Sequence[str] = ()

    @abc.abstractmethod
    def look(self, frame: npt.NDArray[np.uint8], min_score: float
             ) -> tuple[npt.NDArray[np.uint8], Instances | None]:
        """
        Return class mask and instances, if it gives them, in the pixels of a frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            BGR, of any size.
        min_score : float
            Instances with a lower score are left out.

        Raises
        ------
        CameraError
            The network cannot be run, or what it gives is something else.

        """


class ClassNetwork(Network):
    """Gives class masks."""

    def look(self, frame: npt.NDArray[np.uint8], min_score: float
             ) -> tuple[npt.NDArray[np.uint8], Instances | None]:
        """Return the class mask in the pixels of a frame."""
        return register_mask(self.segment(frame), (frame.shape[1], frame.shape[0])), None

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


class TfliteNetwork(ClassNetwork):
    """
    A TFLite network, run by ai-edge-litert.

    Its input is an RGB image, of whole numbers or float in [-1, 1], with the channels first or
    last; its output as :func:`class_mask` takes it.
    """

    def __init__(self, path: Path, threads: int, output: str) -> None:
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
        inputs, outputs = self._network.get_input_details(), self._network.get_output_details()
        self._path = path
        self._input = inputs[0]
        self._size, self._first = _image_input(
            path, [f'{i["name"]} ({_times(i["shape"])})' for i in inputs],
            tuple(int(n) for n in self._input['shape']))
        if self._size is None:
            raise CameraError(f'{path}: expected a network whose input has a size, got '
                              f'{_times(self._input["shape"])}')
        if self._input['dtype'] not in (np.uint8, np.int8, np.float32, np.float16):
            raise CameraError(f'{path}: expected an input of uint8, int8 or float, got '
                              f'{np.dtype(self._input["dtype"])}')
        self._output = outputs[_choose(path, output, {
            o['name']: f'{o["name"]} ({_times(o["shape"])})' for o in outputs})]
        self._logits = False

    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the class of each cell."""
        assert self._size
        pixels: npt.NDArray[Any] = cv2.cvtColor(
            cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        if self._input['dtype'] == np.int8:  # the same 256 steps, from -128 on
            pixels = (pixels ^ 128).view(np.int8)
        elif self._input['dtype'] != np.uint8:
            pixels = (pixels / np.float32(127.5) - 1).astype(self._input['dtype'])
        if self._first:
            pixels = pixels.transpose(2, 0, 1)
        self._network.set_tensor(self._input['index'], pixels[np.newaxis])
        self._network.invoke()
        scores = self._network.get_tensor(self._output['index'])
        scale, zero = self._output['quantization']
        if scale and scores.dtype.kind in 'iu' and 1 in scores.shape[1:]:
            scores = np.float32(scale) * (scores.astype(np.float32) - zero)
        # The file does not say what one channel is: what leaves [0, 1] is no probability.
        self._logits |= bool(scores.dtype.kind == 'f' and (scores.min() < 0 or scores.max() > 1))
        return class_mask(scores, self._size, str(self._path),
                          Values.LOGITS if self._logits else Values.PROBABILITIES)


class OnnxFile:
    """
    An ONNX network, run by OpenCV. Its input is one RGB image with the channels first or last.

    Parameters
    ----------
    path : Path
        The file.
    size : tuple of int
        Width and height of the input where the file leaves them open; or empty.
    threads : int
        How many OpenCV may use.

    Attributes
    ----------
    size : tuple of int, or None
        Width and height of the input; None where nobody says.
    raw : bool
        Whether the input is uint8.
    outputs : list of Tensor
        What the file says of its outputs.
    metadata : dict of str to str
        Notes of its maker.

    Raises
    ------
    CameraError
        OpenCV cannot run it, or its input is no image.

    """

    def __init__(self, path: Path, size: tuple[int, ...], threads: int) -> None:
        self.path = path
        cv2.setNumThreads(threads)
        try:
            inputs, self.outputs, self.metadata = read_signature(path)
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except (cv2.error, ValueError) as error:
            raise CameraError(f'{path}: expected an ONNX network that OpenCV can run, got '
                              f'{cause(error)}') from error
        declared, self._first = _image_input(path, [str(i) for i in inputs],
                                             inputs[0].shape if inputs else ())
        if size and declared and size != declared:
            raise CameraError(f'{path}: expected network_size {list(declared)}, the size of its '
                              f'input, or nothing, got {list(size)}')
        self._declared = declared is not None
        self.size = declared or ((size[0], size[1]) if size else None)
        self.raw = inputs[0].kind == UINT8
        if inputs[0].kind not in (0, FLOAT, FLOAT16, UINT8):
            raise CameraError(f'{path}: expected an input of float or uint8, got type '
                              f'{inputs[0].kind} of ONNX')

    def run(self, pixels: npt.NDArray[Any], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Return one output or all for an image (h, w, 3), RGB, of the input's size and kind."""
        # OpenCV puts its own words before the names.
        known = {name.rpartition('!')[2]: name
                 for name in self._network.getUnconnectedOutLayersNames()}
        if self._first:
            pixels = pixels.transpose(2, 0, 1)
        try:
            self._network.setInput(np.ascontiguousarray(pixels[np.newaxis]))
            names = [known.get(name, name) for name in outputs]
            # OpenCV 5 takes a list only of all.
            made = self._network.forward(names) if len(names) > 1 else (
                self._network.forward(names[0]),)
            return [np.asarray(array) for array in made]
        except cv2.error as error:
            height, width = pixels.shape[1:] if self._first else pixels.shape[:2]
            raise CameraError(f'{self.path}: OpenCV cannot run the network on {width}x'
                              f'{height} pixels ({cause(error)}); '
                              + ('export it again with OpenCV in mind' if self._declared else
                                 'set network_size to the size that it was made for')) from error


class OnnxNetwork(ClassNetwork):
    """
    An ONNX network of classes.

    Its input is uint8 or on the scale of ImageNet as torchvision has it; its output as
    :func:`class_mask` takes it.
    """

    def __init__(self, file: OnnxFile, output: str) -> None:
        self._file = file
        self._size = file.size or (512, 512)
        self._output = file.outputs[
            _choose(file.path, output, {o.name: str(o) for o in file.outputs})]
        self._values = _MADE_BY.get(self._output.made_by, Values.LOGITS)

    def segment(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the class of each cell."""
        pixels: npt.NDArray[Any] = cv2.cvtColor(
            cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        if not self._file.raw:
            pixels = (pixels / np.float32(255) - _MEAN) / _DEVIATION
        scores, = self._file.run(pixels, [self._output.name])
        return class_mask(scores, self._size, str(self._file.path), self._values)


class OnnxInstanceNetwork(Network):
    """
    A plain ONNX export of YOLOv8-seg or YOLO11-seg, which gives instances by itself.

    Its input is uint8 or float in [0, 1]; a frame of other proportions gets grey bars, as in the
    training by Ultralytics. Its outputs are 1 x (4 + C + M) x A, boxes with scores of C classes
    and M coefficients, and the prototypes 1 x M x h x w.
    """

    of_instances = True

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._size = file.size or (640, 640)
        self.labels = _labels_of(file.metadata)
        by_rank = {len(o.shape): o for o in file.outputs}
        if sorted(len(o.shape) for o in file.outputs) != [3, 4]:
            self._refuse([str(o) for o in file.outputs])
        self._outputs = by_rank[3], by_rank[4]
        if all(min(o.shape) > 0 for o in self._outputs):
            self._check([o.shape for o in self._outputs])

    def _check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Refuse shapes that are not those of such an export."""
        (batch, rows, boxes), (also, masks, height, width) = shapes
        here = sum(self._size[0] // step * (self._size[1] // step) for step in STRIDES)
        if (batch, also, boxes) != (1, 1, here) or rows < 5 + masks or (
                height * self._size[0] != width * self._size[1]):
            self._refuse([f'{o.name} ({_times(shape)})'
                          for o, shape in zip(self._outputs, shapes, strict=True)])

    def _refuse(self, got: Sequence[str]) -> None:
        width, height = self._size
        boxes = sum(width // step * (height // step) for step in STRIDES)
        raise CameraError(
            f'{self._file.path}: expected a network of instances with two outputs, 1 x (4 + '
            f'classes + masks) x {boxes} and 1 x masks x {height // 4} x {width // 4} for an '
            f'input of {width}x{height}, as `yolo export format=onnx` makes of YOLO11n-seg, got '
            f'{", ".join(got)}')

    def look(self, frame: npt.NDArray[np.uint8], min_score: float
             ) -> tuple[npt.NDArray[np.uint8], Instances | None]:
        """Return class mask and instances in the pixels of a frame."""
        height, width = frame.shape[:2]
        scale = min(self._size[0] / width, self._size[1] / height)
        inner = max(round(scale * width), 1), max(round(scale * height), 1)
        left, top = ((whole - part) // 2 for whole, part in zip(self._size, inner, strict=True))
        pixels: npt.NDArray[Any] = np.full((self._size[1], self._size[0], 3), _GREY, np.uint8)
        pixels[top:top + inner[1], left:left + inner[0]] = cv2.cvtColor(
            cv2.resize(frame, inner, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        if not self._file.raw:
            pixels = pixels / np.float32(255)
        made = self._file.run(pixels, [o.name for o in self._outputs])
        self._check([array.shape for array in made])
        found = read_plain(made[0][0], made[1][0], self._size, min_score)
        # What the network sees, in pixels of the frame: more than that, with the bars.
        across, down = width / inner[0], height / inner[1]
        instances, mask = register(
            found, (width, height), (-left * across, -top * down, self._size[0] * across,
                                     self._size[1] * down), (0.0, 0.0, width, height))
        return mask, instances


def _labels_of(metadata: Mapping[str, str]) -> Sequence[str]:
    """Return the names of classes that Ultralytics writes into its exports; () without."""
    try:
        names = dict(ast.literal_eval(metadata.get('names', '')))
        return [str(names.get(k, '')) for k in range(max(names) + 1)]
    except (SyntaxError, ValueError, TypeError):
        return ()


class Values(Enum):
    """What the values of an output with one channel are."""

    IDS = 'class ids'
    PROBABILITIES = 'probabilities of class 1'
    LOGITS = 'logits of class 1'


_MADE_BY = {'ArgMax': Values.IDS, 'Sigmoid': Values.PROBABILITIES,
            'HardSigmoid': Values.PROBABILITIES, 'Softmax': Values.PROBABILITIES,
            'Clip': Values.PROBABILITIES}


def class_mask(output: npt.NDArray[Any], size: tuple[int, int], name: str,
               values: Values) -> npt.NDArray[np.uint8]:
    """
    Return class ids from what a network gives.

    Parameters
    ----------
    output : ndarray
        Of shape (1, C, h, w) or (1, h, w, C): scores of fewer than 255 classes; with one channel
        or none, class ids where they are integers, else what ``values`` says. Channels are known
        by the other two sizes, which are in proportion to the input's.
    size : tuple of int
        Width and height of the input.
    name : str
        The network, for errors.
    values : Values
        What one channel of float holds.

    Returns
    -------
    ndarray of shape (h, w), uint8

    Raises
    ------
    CameraError
        The output is none of these.

    """
    grid = output[0] if output.ndim > 2 and output.shape[0] == 1 else output

    def fits(height: int, width: int) -> bool:
        # A stride may round each size up.
        return abs(height * size[0] - width * size[1]) <= max(size)

    if grid.ndim == 3:
        first, last = fits(*grid.shape[1:]), fits(*grid.shape[:2])
        if first and last:  # the fewer are the channels
            first, last = grid.shape[0] < grid.shape[2], grid.shape[2] < grid.shape[0]
        channels = grid.shape[0] if first else grid.shape[2]
        if first == last or channels >= 255:
            raise CameraError(
                f'{name}: expected an output of 1 x classes x height x width or 1 x height x '
                f'width x classes, with fewer than 255 classes and in proportion to the input of '
                f'{size[1]} x {size[0]}, got {_times(output.shape)}')
        if channels > 1:
            return grid.argmax(0 if first else 2).astype(np.uint8)
        grid = grid.reshape(grid.shape[1:] if first else grid.shape[:2])
    if grid.ndim != 2 or not fits(*grid.shape):
        raise CameraError(
            f'{name}: expected a network that gives classes of pixels, in proportion to its input '
            f'of {size[1]} x {size[0]}, got an output of {_times(output.shape)}')
    if grid.dtype.kind == 'f' and values is not Values.IDS:
        return (grid > (0.5 if values is Values.PROBABILITIES else 0.0)).astype(np.uint8)
    low, high = grid.min(), grid.max()
    if low < 0 or high > 255 or not low == low:
        raise CameraError(f'{name}: expected class ids in [0, 255], got {low:g} to {high:g}')
    return grid.astype(np.uint8)


def _image_input(path: Path, inputs: list[str], shape: tuple[int, ...]
                 ) -> tuple[tuple[int, int] | None, bool]:
    """Return width and height of the image that a network takes; whether channels come first."""
    if len(inputs) != 1 or len(shape) != 4 or shape[0] not in (-1, 0, 1) or not (
            {shape[1], shape[3]} & {3} or max(shape) <= 0):
        raise CameraError(f'{path}: expected a network of one RGB image, 1 x 3 x height x width '
                          f'or 1 x height x width x 3, got {", ".join(inputs) or "no input"}')
    first = shape[1] == 3 or shape[3] != 3
    height, width = shape[2:] if first else shape[1:3]
    return ((width, height) if width > 0 and height > 0 else None), first


def _choose(path: Path, wanted: str, outputs: dict[str, str]) -> int:
    """Return which output has the classes, out of names with what they are."""
    names = list(outputs)
    if wanted in names:
        return names.index(wanted)
    # A second head of the training, as torchvision's.
    main = [name for name in names if 'aux' not in name.lower()]
    if wanted or len(main) != 1:
        raise CameraError(
            f'{path}: expected {f"an output {wanted}" if wanted else "one output of classes"}, '
            f'got {", ".join(outputs.values())}; set network_output to the right one')
    return names.index(main[0])


def _times(shape: Any) -> str:
    return 'x'.join(str(n) for n in shape)


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
    silence_libraries()
    path = Path(settings.network).expanduser()
    kind = path.suffix.lower()
    if not path.is_file() or kind not in ('.tflite', '.onnx'):
        raise CameraError(f'{path}: expected a network, a file that ends in .tflite or .onnx, '
                          f'got {"another file" if path.is_file() else "nothing"}')
    if kind == '.tflite':
        if settings.network_kind == 'instances':
            raise CameraError(f'{path}: expected an ONNX file for a network of instances, got '
                              'TFLite: yolo export format=onnx')
        return TfliteNetwork(path, settings.network_threads, settings.network_output)
    file = OnnxFile(path, settings.network_size, settings.network_threads)
    of_instances = settings.network_kind == 'instances' or settings.network_kind == 'auto' and (
        not settings.network_output and sorted(len(o.shape) for o in file.outputs) == [3, 4])
    return OnnxInstanceNetwork(file) if of_instances else OnnxNetwork(
        file, settings.network_output)


def load_labels(file: str, of_instances: bool = False) -> dict[int, str]:
    """
    Return class names by id; empty without a file.

    Parameters
    ----------
    file : str
        Has a name in each line.
    of_instances : bool
        As for :func:`named`.

    Raises
    ------
    CameraError
        The file is missing or has no line of text.

    """
    if not file:
        return {}
    try:
        # Windows writes a byte-order mark and other ends of lines.
        lines = Path(file).expanduser().read_text('utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(f'{file}: expected a class name in each line, got {error}') from error
    names = named(lines, of_instances)
    if not any(map(str.strip, lines)) or max(names) > 254:
        raise CameraError(f'{file}: expected 1 to 255 class names, a line for each id from 0 on, '
                          f'got {len(lines)} lines')
    return names


def named(labels: Sequence[str], of_instances: bool) -> dict[int, str]:
    """
    Return class names by id.

    Parameters
    ----------
    labels : sequence of str
        Name of each class, from 0 on; empty or '-' for none.
    of_instances : bool
        They are those of a network of instances, which has no background: there the ids of
        masks are one higher. Labels that begin with "background" are those of masks all the same.

    """
    names = [label.strip() for label in labels]
    if not of_instances:
        return {k: name for k, name in enumerate(names) if name not in ('', '-')}
    shift = int(not names or names[0].strip('_').lower() != BACKGROUND)
    return {0: BACKGROUND} | {k: name for k, name in enumerate(names, shift)
                              if name not in ('', '-')}


def names_of_instances(said: Sequence[str], labels_file: str, report: Callable[[str], None]
                       ) -> dict[int, str]:
    """
    Return class names of a network of instances: its own, else those of a file.

    Parameters
    ----------
    said : sequence of str
        What the network calls its classes.
    labels_file : str
        As for :func:`load_labels`.
    report : callable
        Called with a sentence when nobody says how the classes are called.

    """
    names = named(said, True) if said else load_labels(labels_file, True)
    if not names:
        report('the network says no names of its classes, which are numbers therefore: set '
               'labels_file to the labels.txt of its export')
    return names or {0: BACKGROUND}
