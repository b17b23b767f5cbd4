"""The hardware behind the fake: one AI Camera, its driver, and what can go wrong with them."""
from collections.abc import Callable
from dataclasses import dataclass, field
import os
import struct
import time

import numpy as np

FULL = (4056, 3040)
GRID = 320
PERSON = 15
AUTOSUSPEND_S = 5.0
MODEL_RATE = 19.0


@dataclass
class World:
    """What the tests set, and what happened."""

    # What is there.
    subdevice: bool = True  # the kernel has the driver and the sensor
    listed: bool = True  # libcamera lists it
    network_rate: float = MODEL_RATE
    network: Callable = None  # makes the tensors out of what it sees; None: class ids
    lag: int = 1  # frames between what the network saw and its tensor
    info_size: int = 712
    wall_clock: bool = True
    scaler_crop: tuple = (8, 2, 4040, 3036)  # about full, as in reality, and not quite
    padding: int = 32  # bytes at the end of each row
    offered: tuple = None  # the size that the camera makes of any other
    upload_s: float = 0.0  # how long start() holds Python's lock
    failures: dict = field(default_factory=dict)  # name of a step: what it raises, once
    unknown_controls: tuple = ()
    roi_refused: bool = False
    real_time: bool = False
    # What goes on.
    stalled: bool = False
    streaming: bool = False
    skew_s: float = 0.0  # time that a test lets pass at once
    stopped_s: float = None
    armed_s: float = None  # when a network was given to the driver
    runs: bool = False  # the network, on the sensor
    users: int = 0
    index: int = 0  # of the frame
    inferences: int = 0
    last_inference: int = -1000
    roi: tuple = (0, 0, *FULL)
    controls: dict = field(default_factory=dict)
    metadata_calls: list = field(default_factory=list)
    unreleased: int = 0
    starts: int = 0

    def now(self):
        return time.monotonic() + self.skew_s

    def fail(self, step):
        error = self.failures.pop(step, None)
        if error is not None:
            raise error

    def start(self):
        self.fail('start')
        if self.upload_s:
            time.sleep(self.upload_s)
        # Suspended since the network was given, or in between: it is forgotten, without a word.
        suspended_s = self.stopped_s + AUTOSUSPEND_S if self.stopped_s is not None else None
        forgotten = suspended_s is not None and self.armed_s < suspended_s <= self.now()
        self.runs = self.armed_s is not None and not forgotten
        self.streaming = True
        self.starts += 1
        self.base_ns = time.monotonic_ns() - (0 if self.real_time else 10**9)

    def stop(self):
        if self.streaming:
            self.streaming = False
            self.stopped_s = self.now()

    @property
    def period_us(self):
        return self.controls.get('FrameDurationLimits', (33333, 33333))[0]

    def scene(self, index):
        """Return the person's box on the sensor, which moves from frame to frame."""
        x = 500 + 97 * (index % 20)
        return x, 800, x + 900, 2200

    def draw(self, index, size, region, value):
        """Return the scene as an array of some size sees it through a region of the sensor."""
        (x0, y0, x1, y1), (rx, ry, rw, rh) = self.scene(index), region
        x = rx + (np.arange(size[0]) + 0.5) / size[0] * rw
        y = ry + (np.arange(size[1]) + 0.5) / size[1] * rh
        inside = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
        return (inside * value).astype(np.uint8)

    def next_frame(self, size, stride):
        """Return the buffer and the metadata of the next frame."""
        index, self.index = self.index, self.index + 1
        drawn = self.draw(index, size, self.scaler_crop, 255)
        buffer = np.full((size[1], stride), 77, np.uint8)  # the padding is rubbish
        pixels = buffer[:, :size[0] * 3].reshape(size[1], size[0], 3)
        pixels[..., 2] = drawn  # memory order B, G, R: the person is red
        pixels[..., 1] = 0
        pixels[..., 0] = index % 50
        time_ns = self.base_ns + (index + 1) * self.period_us * 1000
        metadata = {
            'SensorTimestamp': time_ns // 1000 * 1000, 'FrameDuration': self.period_us,
            'ScalerCrop': self.scaler_crop, 'ExposureTime': 8000, 'AnalogueGain': 1.5,
            'Lux': 320.0, 'SensorTemperature': 41.0, 'ColourGains': (1.9, 2.1)}
        if self.wall_clock:
            metadata['FrameWallClock'] = (time.time_ns() - time.monotonic_ns()) + time_ns
        metadata.update(self._tensor(index))
        return buffer, metadata

    def _tensor(self, index):
        took_us = round(1e6 / self.network_rate) - 1000
        if not self.runs or index < 2:
            return {}
        if (index - self.last_inference) * self.period_us < took_us:
            return {}  # the DNN is still at it
        self.last_inference = index
        self.inferences += 1
        x, y, w, h = self.roi
        region = x, y, min(w, 4032), h
        if self.network is None:
            tensors = [self.draw(index - self.lag, (GRID, GRID), region, PERSON)]
        else:
            box = np.array(self.scene(index - self.lag), float).reshape(2, 2)
            tensors = self.network((box - region[:2]) / region[2:])
        return tensor_metadata(tensors, self.inferences, self.info_size, took_us)


def tensor_metadata(tensors, count=1, info_size=712, took_us=50_000):
    """Return tensors as libcamera gives them: floats, column after column."""
    info = bytearray(64) + struct.pack('<I', len(tensors))
    for tensor in tensors:
        info += struct.pack('<II16H', tensor.size, tensor.ndim, *tensor.shape,
                            *[0] * (16 - tensor.ndim))
    info += bytes(708 - len(info)) + bytes([count % 256, 0, 0, 0])
    flat = [tensor.astype(np.float32).ravel(order='F') for tensor in tensors]
    return {'CnnOutputTensor': tuple(np.concatenate(flat).tolist()),
            'CnnOutputTensorInfo': tuple(info[:info_size]),
            'CnnKpiInfo': (took_us - 4000, 4000)}


world = World()


def reset(**changes):
    """Begin anew; modules keep the object."""
    world.__dict__.update(World(**changes).__dict__)
    return world


if os.environ.get('FAKE_AI_CAMERA'):  # in a process of its own
    reset(real_time=True, upload_s=float(os.environ['FAKE_AI_CAMERA']))
