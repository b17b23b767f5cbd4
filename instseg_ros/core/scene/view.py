"""What one frame shows, in the form that the conditions of selections are checked on."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ..instances import Instances

LOWER_END = 0.1     # share of a box in which an object stands on the floor
CELLS_ACROSS = 160  # larger frames are looked at on every 2nd, 3rd... pixel of every 2nd, 3rd row


class View:
    """
    The instances of a frame on a grid of cells.

    Attributes
    ----------
    count : int
        Instances, N.
    step : int
        Pixels from one cell to the next.
    cells : ndarray of shape (H', W'), uint16
        Label of each cell.
    index, labels : ndarray of shape (M,), int64
        Where in ``cells.ravel()`` there are instances, and which.
    sizes : ndarray of shape (N,), int64
        Cells of each instance.

    """

    def __init__(self, instances: Instances) -> None:
        self.count = len(instances)
        self.instances = instances
        self.step = step_of(instances.labels.shape)
        self.cells = np.ascontiguousarray(instances.labels[::self.step, ::self.step])
        self.index = np.flatnonzero(self.cells != 0)  # of booleans NumPy is three times faster
        self.labels = self.cells.ravel()[self.index].astype(np.int64)
        self.sizes = np.bincount(self.labels, minlength=self.count + 1)[1:]

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Size of each instance as a length: the square root of its area, (N,) in pixels."""
        return np.sqrt(np.maximum(self.instances.areas, 1))

    @cached_property
    def centres(self) -> npt.NDArray[np.float64]:
        """Centre of gravity of each mask, (N, 2) x and y in pixels."""
        sums = [np.bincount(self.labels, weights=values[self.index],
                            minlength=self.count + 1)[1:]
                for values in _places(self.cells.shape)]
        boxes = self.instances.boxes
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        found = (np.stack(sums, axis=1) / np.maximum(self.sizes, 1)[:, None]) * self.step + 0.5
        # What lies between the cells has at least a box.
        return np.where(self.sizes[:, None] > 0, found, middles)

    @cached_property
    def feet(self) -> npt.NDArray[np.float64]:
        """Foot of each mask, (N, 2): below its centre, in its lowest row of pixels."""
        # The middle of the lowest pixels would jump from foot to foot of who walks.
        return np.stack([self.centres[:, 0], self.instances.boxes[:, 3] - 0.5], axis=1)

    @cached_property
    def feet_hidden(self) -> npt.NDArray[np.bool_]:
        """Whether another instance is below most of the lower end of each mask, (N,)."""
        # Where a mask ends downwards, within the lowest part of its box.
        ends, above, below = self._edges[1]
        masks = above > 0
        ends, labels, below = ends[masks], above[masks], below[masks]
        boxes = self.instances.boxes
        lowest = boxes[:, 3] - LOWER_END * (boxes[:, 3] - boxes[:, 1])
        low = ends // self.cells.shape[1] * self.step >= lowest[labels - 1] - self.step
        count = self.count + 1
        all_ends = np.bincount(labels[low], minlength=count)
        other = np.bincount(labels[low], weights=below[low] > 0, minlength=count)
        return np.asarray((other > all_ends / 2)[1:])

    @cached_property
    def contacts(self) -> npt.NDArray[np.int64]:
        """
        How long the outlines run along each other, (N + 1, N + 1) in sides of cells.

        Row and column 0 are the background; a row's sum is the length of the whole outline.
        """
        columns = self.count + 1
        table = np.zeros((columns, columns), np.int64)
        for _, a, b in self._edges:
            table += np.bincount(a * columns + b, minlength=columns**2).reshape(columns, columns)
        return table + table.T

    @cached_property
    def perimeters(self) -> npt.NDArray[np.float64]:
        """Length of each whole outline, (N,) in sides of cells."""
        return self.contacts[1:].sum(axis=1).astype(np.float64)

    @cached_property
    def outlines(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32],
                                npt.NDArray[np.int64]]:
        """
        Return the cells along the outlines.

        Returns
        -------
        x, y : ndarray of shape (P,), float32
            Where, in pixels, by instance.
        starts : ndarray of shape (N + 1,), int64
            Where in these the cells of each instance start; the last is P.

        """
        width = self.cells.shape[1]
        (across, left, right), (down, above, below) = self._edges
        labels = np.concatenate([left, right, above, below])
        cells = np.concatenate([across, across + 1, down, down + width])
        order = np.argsort(labels.astype(np.uint16), kind='stable')  # of 16 bits: a radix sort
        starts = np.cumsum(np.bincount(labels, minlength=self.count + 1))
        cells = cells[order[starts[0]:]]
        columns, rows = _places(self.cells.shape)
        step = np.float32(self.step)
        return columns[cells] * step, rows[cells] * step, starts - starts[0]

    @cached_property
    def _edges(self) -> list[tuple[npt.NDArray[np.int64], ...]]:
        """Cells that differ from that on their right, and below: where, and both labels."""
        found: list[tuple[npt.NDArray[np.int64], ...]] = []
        width = self.cells.shape[1]
        for a, b in ((self.cells[:, :-1], self.cells[:, 1:]), (self.cells[:-1], self.cells[1:])):
            here = np.flatnonzero(a != b)
            first, second = a.ravel()[here], b.ravel()[here]
            if a.shape[1] < width:
                here = here + here // (width - 1)  # in the whole row again
            found.append((here, first.astype(np.int64), second.astype(np.int64)))
        return found


@lru_cache(maxsize=4)
def _places(shape: tuple[int, int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return column and row of every cell."""
    rows, columns = np.indices(shape, np.float32)
    return columns.ravel(), rows.ravel()


def step_of(shape: tuple[int, ...]) -> int:
    """Return how many pixels of a frame of ``shape`` are between two cells."""
    return max(1, round(max(shape) / CELLS_ACROSS))
