"""Results for programs that know no ROS: CSV, COCO and video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
import json
import math
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ..core.instances import Instances
from ..errors import RecordingError

COLUMNS = ('frame', 'stamp_ns', 'label', 'track_id', 'class_id', 'class_name', 'score', 'area',
           'cx', 'cy', 'w', 'h', 'theta', 'x0', 'y0', 'x1', 'y1', 'x', 'y', 'speed')


class Export(Protocol):
    """Something that is written frame by frame."""

    def add(self, number: int, stamp_ns: int, instances: Instances, ids: Sequence[str],
            masks: Sequence[str], floor: npt.NDArray[np.float64] | None = None) -> None:
        """
        Write a frame.

        ``number`` counts from 0, ``masks`` are of :func:`run_lengths`, ``floor`` has x, y and
        speed of each instance on the floor, in metres and metres per second.
        """

    def close(self) -> None:
        """Write what is left."""


class CsvExport:
    """
    One line per instance, with the columns :data:`COLUMNS`.

    x, y and speed are on the floor, in metres, and empty where they are not known.
    """

    def __init__(self, path: Path, names: Mapping[int, str]) -> None:
        self._names = names
        self._file = path.open('w', newline='')
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def add(self, number: int, stamp_ns: int, instances: Instances, ids: Sequence[str],
            masks: Sequence[str], floor: npt.NDArray[np.float64] | None = None) -> None:
        """Write the lines of a frame."""
        for k in range(len(instances)):
            class_id = int(instances.class_ids[k])
            self._rows.writerow((
                number, stamp_ns, k + 1, ids[k], class_id, self._names.get(class_id, ''),
                f'{instances.scores[k]:.6g}', int(instances.areas[k]),
                *(f'{v:.6g}' for v in instances.oriented_boxes[k].tolist()),
                *instances.boxes[k].tolist(),
                *('' if np.isnan(v) else f'{v:.6g}'
                  for v in (floor[k].tolist() if floor is not None else [math.nan] * 3))))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CocoExport:
    """
    COCO results: a list with an entry per instance, its mask as run lengths.

    ``image_id`` is the number of the frame, from 0; ``category_id`` the class id.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open('w')
        self._between = '[\n'

    def add(self, number: int, stamp_ns: int, instances: Instances, ids: Sequence[str],
            masks: Sequence[str], floor: npt.NDArray[np.float64] | None = None) -> None:
        """Write the entries of a frame."""
        height, width = instances.labels.shape
        for k, (x0, y0, x1, y1) in enumerate(instances.boxes.tolist()):
            entry: dict[str, Any] = {
                'image_id': number, 'category_id': int(instances.class_ids[k]),
                'bbox': [x0, y0, x1 - x0, y1 - y0], 'score': float(instances.scores[k]),
                'segmentation': {'size': [height, width], 'counts': masks[k]},
                'area': int(instances.areas[k]), 'track_id': int(ids[k] or 0),
                'stamp_ns': stamp_ns}
            self._file.write(self._between + json.dumps(entry))
            self._between = ',\n'

    def close(self) -> None:
        """End the list and close the file."""
        self._file.write('[]\n' if self._between == '[\n' else '\n]\n')
        self._file.close()


class VideoExport:
    """An MP4 (MPEG-4 part 2) of overlays at one rate."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        """
        Append a picture of shape (H, W, 3), BGR.

        Raises
        ------
        RecordingError
            OpenCV here cannot write MP4.

        """
        if self._writer is None:
            size = (picture.shape[1], picture.shape[0])
            code = int.from_bytes(b'mp4v', 'little')
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise RecordingError(f'{self._path.name}: expected an OpenCV that writes MP4, got '
                                     f'{cv2.__version__} without; leave --mp4 out')
        self._writer.write(picture)

    def close(self) -> None:
        """End the video."""
        if self._writer is not None:
            self._writer.release()


def run_lengths(instances: Instances) -> list[str]:
    """
    Return the mask of each instance as pycocotools writes it (compressed run lengths).

    Runs go down the columns, beginning with background; each but the first three is written as
    its difference to the last but one, five bits a character.
    """
    height, width = instances.labels.shape
    encoded = []
    for k, (x0, _, x1, _) in enumerate(instances.boxes.tolist()):
        inside = (instances.labels[:, x0:x1] == k + 1).T.ravel()
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False)) + x0 * height
        counts = np.diff(edges, prepend=0, append=height * width).tolist()
        if counts[-1] == 0:
            counts.pop()
        differences = counts[:3] + [a - b for a, b in zip(counts[3:], counts[1:], strict=False)]
        characters = bytearray()
        for value in differences:
            more = True
            while more:
                bits = value & 0x1f
                value >>= 5
                more = value != (-1 if bits & 0x10 else 0)
                characters.append((bits | 0x20 if more else bits) + 48)
        encoded.append(characters.decode())
    return encoded
