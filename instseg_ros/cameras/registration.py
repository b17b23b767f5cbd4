"""Registration: from the network's square grid to the pixels of the frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

NO_DATA = 255
Rectangle = tuple[float, float, float, float]  # x, y, width, height in sensor pixels


def register_mask(mask: npt.NDArray[np.uint8], size: tuple[int, int],
                  roi: Rectangle | None = None, crop: Rectangle | None = None
                  ) -> npt.NDArray[np.uint8]:
    """
    Return the mask in the pixels of the frame: nearest neighbour, so that ids stay ids.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        What the network gave for ``roi``, squeezed to its grid.
    size : tuple of int
        Width and height of the frame.
    roi, crop : tuple of float, optional
        x, y, width, height, in pixels of the sensor, of what the network saw and of what the
        frame shows. Both absent: they are the same.

    Returns
    -------
    ndarray of shape (H, W), uint8
        255 where the network saw nothing.

    """
    roi = roi or (0.0, 0.0, 1.0, 1.0)
    crop = crop or roi
    columns = _nearest(mask.shape[1], size[0], roi[0], roi[2], crop[0], crop[2])
    rows = _nearest(mask.shape[0], size[1], roi[1], roi[3], crop[1], crop[3])
    # Row and column -1 read the border of no data.
    padded = np.full((mask.shape[0] + 1, mask.shape[1] + 1), NO_DATA, np.uint8)
    padded[:-1, :-1] = mask
    return padded[rows[:, np.newaxis], columns]


@lru_cache(maxsize=16)
def _nearest(cells: int, pixels: int, roi_start: float, roi_length: float, crop_start: float,
             crop_length: float) -> npt.NDArray[np.intp]:
    """Return the cell in which the centre of each pixel lies, -1 outside the cells."""
    sensor = crop_start + (np.arange(pixels) + 0.5) / pixels * crop_length
    cell = np.floor((sensor - roi_start) / roi_length * cells).astype(np.intp)
    cell[(cell < 0) | (cell >= cells)] = -1
    return cell
