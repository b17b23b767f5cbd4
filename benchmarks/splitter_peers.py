"""
Other splitters, each in a virtual environment of its own under ``benchmarks/.venvs``.

Run as a script inside such an environment, this file is the other end of :class:`Peer`.
"""

from __future__ import annotations

from pathlib import Path
import pickle
import struct
import subprocess
import sys
import time

import numpy as np

_FOLDER = Path(__file__).resolve().parent / '.venvs'
# modlib 1.5 needs older numpy and OpenCV than the rest of the project.
PACKAGES = {
    'modlib': ('modlib', 'numpy<=2.3.5', 'opencv-python<=4.12'),
    'skimage': ('scikit-image', 'opencv-python-headless'),
}


class Peer:
    """
    A splitter in another process.

    Parameters
    ----------
    name : str
        Key of ``PACKAGES``.

    Raises
    ------
    RuntimeError
        The packages cannot be installed.

    """

    def __init__(self, name: str) -> None:
        python = _FOLDER / name / 'bin' / 'python'
        if not python.exists():
            print(f'making {python.parent.parent} ...', file=sys.stderr)
            subprocess.run([sys.executable, '-m', 'venv', _FOLDER / name], check=True)
        ready = subprocess.run([python, '-c', f'import {name}'], capture_output=True)
        if ready.returncode:
            done = subprocess.run([python, '-m', 'pip', 'install', '-q', *PACKAGES[name]],
                                  capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f'{name}: cannot be installed:\n{done.stderr[-500:]}')
        self._process = subprocess.Popen([python, __file__, name], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)

    def segment(self, mask: np.ndarray, repeats: int = 1, **settings: float,
                ) -> tuple[list[float], np.ndarray, np.ndarray]:
        """
        Split a class mask, with settings of its own other than the defaults.

        Returns
        -------
        seconds : list of float
            Of each repetition, split and oriented boxes.
        labels : ndarray of shape (H, W), int32
        class_ids : ndarray of shape (N,)

        """
        _send(self._process.stdin, (mask, repeats, settings))
        return _receive(self._process.stdout)

    def masks(self, tensors: list[np.ndarray], repeats: int = 1
              ) -> tuple[list[float], list[np.ndarray]]:
        """
        Make masks of YOLO-seg's tensors with modlib's post-processing.

        Returns
        -------
        seconds : list of float
            Of each repetition.
        masks : list of ndarray
            Cells of each box, uint8.

        """
        _send(self._process.stdin, (tensors, repeats, {}))
        return _receive(self._process.stdout)

    def close(self) -> None:
        """End the other process."""
        self._process.stdin.close()
        self._process.wait()


def _send(stream, value: object) -> None:
    data = pickle.dumps(value)
    stream.write(struct.pack('<q', len(data)) + data)
    stream.flush()


def _receive(stream):
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError('the other splitter ended')
    return pickle.loads(stream.read(struct.unpack('<q', head)[0]))


def _modlib():
    """Return Sony's splitter and a painter of its result."""
    from types import SimpleNamespace

    from modlib.models.post_processors import pp_yolo_segment_ultralytics
    from modlib.models.results import Segments
    defaults = {'erosion_kernel': 3, 'erosion_iteration': 2, 'dilate_kernel': 5,
                'dilate_iteration': 5, 'dist_threshold': 0.05, 'size_threshold': 100,
                'config_mode': False}

    def split(mask, **settings):
        if isinstance(mask, list):
            return pp_yolo_segment_ultralytics(mask)
        # In modlib the background is 255.
        result = Segments(np.where(mask == 0, 255, mask)).to_instance_segments(
            SimpleNamespace(**defaults | settings))
        result.oriented_bbox()
        return result

    def paint(mask, result):
        if isinstance(mask, list):
            return (result.mask_crops,)
        labels = np.zeros(mask.shape, np.int32)
        for k in range(len(result)):
            labels[result[k].mask[0] > 0] = k + 1
        return labels, np.asarray(result.class_id)

    return split, paint


def _skimage():
    """Return the watershed of scikit-image's own example, class by class."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    def split(mask):
        labels, class_ids = np.zeros(mask.shape, np.int32), []
        for class_id in np.unique(mask):
            if class_id in (0, 255):
                continue
            binary = mask == class_id
            distance = ndimage.distance_transform_edt(binary)
            pieces, _ = ndimage.label(binary, np.ones((3, 3)))
            peaks = peak_local_max(distance, footprint=np.ones((3, 3)), labels=pieces,
                                   min_distance=10)
            markers = np.zeros(mask.shape, np.int32)
            markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
            parts = watershed(-distance, markers, mask=binary)
            for k in range(1, len(peaks) + 1):
                pixels = parts == k
                if pixels.sum() >= 30:
                    class_ids.append(class_id)
                    labels[pixels] = len(class_ids)
        return labels, np.array(class_ids)

    return split, lambda mask, result: result


def _serve(name: str) -> None:
    """Answer requests until the input ends."""
    split, paint = {'modlib': _modlib, 'skimage': _skimage}[name]()
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            mask, repeats, settings = _receive(sys.stdin.buffer)
        except EOFError:
            return
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            result = split(mask, **settings)
            seconds.append(time.perf_counter() - start)
        _send(out, (seconds, *paint(mask, result)))


if __name__ == '__main__':
    _serve(sys.argv[1])
