"""Camera calibration files, as camera_calibration writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from ..errors import CameraError


_MATRICES = {'camera_matrix': 9, 'rectification_matrix': 9, 'projection_matrix': 12}


@dataclass(frozen=True)
class Calibration:
    """The fields of sensor_msgs/CameraInfo that a calibration fills; k, r and p are row-major."""

    width: int
    height: int
    distortion_model: str = ''
    d: tuple[float, ...] = ()
    k: tuple[float, ...] = (0.0,) * 9
    r: tuple[float, ...] = (0.0,) * 9
    p: tuple[float, ...] = (0.0,) * 12


def load_calibration(path: Path) -> Calibration:
    """
    Read a calibration file.

    Raises
    ------
    CameraError
        The file is missing or not what camera_calibration writes.

    """
    try:
        content = yaml.safe_load(path.read_text())
        numbers = {}
        for name, count in _MATRICES.items():
            numbers[name] = tuple(float(v) for v in content[name]['data'])
            if len(numbers[name]) != count:
                raise ValueError(f'{name}: expected {count} numbers, got {len(numbers[name])}')
        return Calibration(
            int(content['image_width']), int(content['image_height']),
            str(content['distortion_model']),
            tuple(float(v) for v in content['distortion_coefficients']['data']),
            numbers['camera_matrix'], numbers['rectification_matrix'],
            numbers['projection_matrix'])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        # YAML's own sentence has lines and the places of its parser's objects.
        place = getattr(error, 'problem_mark', None)
        got = (f'no YAML in line {place.line + 1}' if place else
               f'no {error}' if isinstance(error, KeyError) else str(error))
        raise CameraError(f'{path}: expected a calibration file of camera_calibration, got {got}; '
                          'the camera counts as not calibrated') from error
