"""The fake of picamera2.devices.imx500."""
import json
import os
import re
import struct

import numpy as np

from .. import Picamera2
from ..world import FULL, world


class ArchiveError(Exception):
    """As libarchive raises it."""


class Rectangle:

    def __init__(self, *values):
        self._values = values

    def to_tuple(self):
        return self._values


class NetworkIntrinsics:

    def __init__(self, said):
        self._said = said

    @property
    def task(self):
        return self._said.get('task')

    @property
    def inference_rate(self):
        return self._said.get('inference_rate')

    @property
    def labels(self):
        return self._said.get('classes', {}).get('labels')

    @property
    def bbox_normalization(self):
        return self._said.get('cpu', {}).get('bbox_normalization')

    @property
    def bbox_order(self):
        return self._said.get('cpu', {}).get('bbox_order')


class IMX500:

    def __init__(self, network_file, camera_id='', tensor_injection=False):
        if not world.subdevice:
            raise RuntimeError('IMX500: Requested camera dev-node not found')
        world.fail('device')
        info = Picamera2.global_camera_info()
        self.camera_num = next(c['Num'] for c in info if c['Model'] == 'imx500')
        world.fail('progress')
        self.config = {'network_file': network_file}
        if network_file:
            path = os.path.abspath(network_file)
            if not os.path.isfile(path):
                raise RuntimeError(f'Firmware file {path} does not exist.')
            if world.users:
                raise RuntimeError(f'IMX500: Unable to set network firmware {path}: '
                                   '[Errno 16] Device or resource busy')
            world.fail('network')
            world.armed_s = world.now()
            self._read(path)
        self.set_inference_roi_abs((0, 0, *FULL))

    def _read(self, path):
        with open(path, 'rb') as file:
            data = file.read()
        struct.unpack('>4sI', data[:8])
        if not data.startswith(b'070701'):
            raise ArchiveError('Unrecognized archive format')
        text = data.decode('latin-1')
        said, _ = json.JSONDecoder().raw_decode(text, text.find('{'))
        self.config['intrinsics'] = NetworkIntrinsics(said)
        self.config['input_tensor_size'] = tuple(
            int(re.search(f'inputTensor{side}=([0-9]+)', text)[1]) for side in ('Width', 'Height'))

    @property
    def network_intrinsics(self):
        return self.config.get('intrinsics')

    def get_input_size(self):
        return self.config['input_tensor_size']

    def set_inference_roi_abs(self, roi):
        if world.roi_refused:
            print('IMX500: Unable to set ROI control in the device driver: [Errno 5] I/O error')
            return
        x, y, width, height = roi
        world.roi = x, y, min(width, FULL[0] - x), min(height, FULL[1] - y)
        self.config['roi'] = Rectangle(*world.roi)

    def get_outputs(self, metadata, add_batch=False):
        values = metadata.get('CnnOutputTensor')
        if not values:
            return None
        outputs, start = [], 0
        for shape in self.get_output_shapes(metadata):
            size = int(np.prod(shape))
            flat = np.fromiter(values[start:start + size], np.float32)
            outputs.append(flat.reshape(shape, order='F'))
            start += size
        return [o[np.newaxis] for o in outputs] if add_batch else outputs

    def get_output_shapes(self, metadata):
        info = metadata.get('CnnOutputTensorInfo')
        if not info:
            return []
        if len(info) != 712:
            raise ValueError(f'tensor info length {len(info)} does not match expected size 712')
        count, = struct.unpack_from('<I', bytes(info), 64)
        told = [struct.unpack_from('<II16H', bytes(info), 68 + 40 * k) for k in range(count)]
        return [sizes[:dimensions] for _, dimensions, *sizes in told]

    @staticmethod
    def get_kpi_info(metadata):
        said = metadata.get('CnnKpiInfo')
        return (said[0] / 1000, said[1] / 1000) if said else None
