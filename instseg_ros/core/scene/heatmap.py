"""Heatmap: for how long each place of the frame was covered by a track."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .view import step_of
from ..instances import Instances

_LONGEST_S = 1.0  # a gap between frames that is longer says nothing about what was in between


class Heatmap:
    """Adds up how long tracks were where; on a grid of cells, as selections are."""

    def __init__(self) -> None:
        self._seconds: npt.NDArray[np.float32] | None = None
        self._stamp_ns: int | None = None

    def add(self, instances: Instances, ids: npt.NDArray[np.int64], stamp_ns: int,
            half_life_s: float) -> None:
        """
        Add a frame.

        Parameters
        ----------
        instances : Instances
            Of the frame.
        ids : ndarray of shape (N,), int64
            Track ids; 0 while unconfirmed: such an instance adds nothing.
        stamp_ns : int
            Time of the frame in nanoseconds.
        half_life_s : float
            After what time a stay counts half, in seconds; 0: never less.

        """
        step = step_of(instances.labels.shape)
        cells = instances.labels[::step, ::step]
        passed = 0.0 if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        self._stamp_ns = stamp_ns
        if self._seconds is None or self._seconds.shape != cells.shape:
            self._seconds = np.zeros(cells.shape, np.float32)
        if passed <= 0:
            return
        if half_life_s:
            self._seconds *= 0.5 ** (passed / half_life_s)
        tracked = np.zeros(len(ids) + 1, np.float32)
        tracked[1:] = np.where(ids > 0, min(passed, _LONGEST_S), 0)
        self._seconds += tracked[cells]

    @property
    def seconds(self) -> npt.NDArray[np.float32] | None:
        """Seconds that each cell was covered, (H', W'); None before the first frame."""
        return self._seconds
