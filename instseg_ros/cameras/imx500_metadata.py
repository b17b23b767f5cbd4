"""What the IMX500 says with each frame: tensor, clocks, run time. Plain data, no driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
import struct
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CameraError


SENSOR_SIZE = (4056, 3040)
# The driver cuts wider regions to this, and says nothing.
_WIDEST_ROI = 4032
_NAME = 64  # bytes; then the number of tensors
_TENSOR = struct.Struct('<II16H')  # values, dimensions, sizes
_TENSORS = 16
_OLD_SIZE = _NAME + 4 + _TENSORS * _TENSOR.size  # 708: libcamera < 0.6
_NEW_SIZE = _OLD_SIZE + 4  # with the count of inferences

CLASSES = 'one tensor of height x width class ids'

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class Tensors:
    """
    The output tensors that came with a frame.

    Attributes
    ----------
    values : sequence of float
        All of them, one after the other.
    sizes : tuple of tuple of int
        Shape of each tensor.
    count : int or None
        Inferences modulo 256; the same one again are the same tensors again. None from a libcamera
        that does not say.

    """

    values: Sequence[float]
    sizes: tuple[tuple[int, ...], ...]
    count: int | None

    def array(self, index: int) -> npt.NDArray[np.float32]:
        """Return a tensor, which takes a millisecond for each 80000 values."""
        start = sum(math.prod(size) for size in self.sizes[:index])
        number = math.prod(self.sizes[index])
        # Column after column, whatever the shape seems to say.
        return np.fromiter(self.values[start:start + number], np.float32, number).reshape(
            self.sizes[index], order='F')

    @property
    def are_classes(self) -> bool:
        """Whether they are one class id for each cell of a grid."""
        return len(self.sizes) == 1 and len(self.sizes[0]) == 2

    def classes(self) -> npt.NDArray[np.uint8]:
        """
        Return the class of each cell of the network's grid, (h, w).

        Raises
        ------
        CameraError
            They are something else.

        """
        if not self.are_classes:
            raise CameraError(f'expected a network with {CLASSES}, got {self}; choose '
                              'imx500_network_deeplabv3plus.rpk, or network_kind auto')
        # Exact ids as floats.
        return np.ascontiguousarray(self.array(0).astype(np.uint8))

    def __str__(self) -> str:
        """Return their number and sizes."""
        sizes = ', '.join('x'.join(map(str, size)) for size in self.sizes)
        return f'{len(self.sizes)} tensors of {sizes or "no values"}'


def read_tensors(metadata: Metadata) -> Tensors | None:
    """
    Return the tensors of a frame's metadata; None when the network was not done.

    Raises
    ------
    CameraError
        libcamera describes its tensors in a way unknown here.

    """
    values, info = metadata.get('CnnOutputTensor'), metadata.get('CnnOutputTensorInfo')
    if not values or not info:
        return None
    if len(info) not in (_OLD_SIZE, _NEW_SIZE):
        raise CameraError(
            f'expected {_OLD_SIZE} or {_NEW_SIZE} bytes about the tensors, got {len(info)}: '
            'picamera2 or libcamera is newer than this package; upgrade instseg_ros')
    raw = bytes(info)
    number, = struct.unpack_from('<I', raw, _NAME)
    told = [_TENSOR.unpack_from(raw, _NAME + 4 + k * _TENSOR.size)
            for k in range(min(number, _TENSORS))]
    sizes = tuple(tuple(numbers[:dimensions]) for _, dimensions, *numbers in told)
    counts = [count for count, *_ in told]
    if counts != [math.prod(size) for size in sizes] or sum(counts) != len(values):
        raise CameraError(f'expected tensors of the sizes that libcamera tells, {list(sizes)}, '
                          f'got {len(values)} values: reinstall libcamera and picamera2')
    return Tensors(values, sizes, raw[_OLD_SIZE] if len(raw) == _NEW_SIZE else None)


def read_stamp(metadata: Metadata) -> int:
    """
    Return when a frame was taken, in nanoseconds since 1970, by the sensor's clock.

    Raises
    ------
    CameraError
        The frame has no time.

    """
    if 'FrameWallClock' in metadata:
        return int(metadata['FrameWallClock'])
    if 'SensorTimestamp' not in metadata:
        raise CameraError('expected SensorTimestamp with each frame, got none: libcamera is not '
                          "Raspberry Pi's; install theirs")
    now_ns, taken_ns = time.time_ns(), int(metadata['SensorTimestamp'])
    # Documented as the one, seen as the other; they differ by the time that the Pi was suspended,
    # and no frame comes from the future.
    ages = [time.clock_gettime_ns(clock) - taken_ns
            for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]
    return now_ns - min((age for age in ages if age >= 0), default=0)


def run_time_us(metadata: Metadata) -> tuple[int, int] | None:
    """Return how long network and signal processor took, in microseconds; None if not said."""
    said = metadata.get('CnnKpiInfo')
    return (int(said[0]), int(said[1])) if said else None


def frames_behind(network_us: float, period_us: float) -> int:
    """
    Return how many frames earlier the network saw what it now gives.

    A tensor leaves with the first frame that is read out after the inference is done, so that it
    is at least one frame late, and one more for each period that the inference takes longer.

    >>> frames_behind(40_000, 52_631), frames_behind(52_700, 52_631), frames_behind(60_000, 33_333)
    (1, 1, 2)
    """
    # A run time that is just about the period must not change its mind with every frame.
    return max(1, math.ceil(network_us / period_us - 0.05))


def seen_region(roi: tuple[int, ...], rotated: bool) -> tuple[int, int, int, int]:
    """
    Return what the network sees, on the sensor as the frame shows it.

    Parameters
    ----------
    roi : tuple of int
        x, y, width, height as asked for; empty for all.
    rotated : bool
        Whether the frame is turned by 180 degrees and the network's input is not.

    """
    x, y, width, height = roi or (0, 0, *SENSOR_SIZE)
    width = min(width, _WIDEST_ROI, SENSOR_SIZE[0] - x)
    height = min(height, SENSOR_SIZE[1] - y)
    if rotated:
        x, y = SENSOR_SIZE[0] - x - width, SENSOR_SIZE[1] - y - height
    return x, y, width, height
