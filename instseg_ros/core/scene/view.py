"""What one frame shows, in the form that the conditions of selections are checked on."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..instances import Instances

LOWER_END = 0.1     # share of a box in which an object stands on the floor
CELLS_ACROSS = 320  # larger frames are looked at on every 2nd, 3rd... pixel of every 2nd, 3rd row


class View:
    """
    The instances of a frame on a grid of cells.

    Attributes
    ----------
    count : int
        Instances, N.
    step : int
        Pixels from one cell to the next.
    cells : ndarray of shape (H', W'), int64
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
        self.cells = instances.labels[::self.step, ::self.step].astype(np.int64)
        self.index = np.flatnonzero(self.cells)
        self.labels = self.cells.ravel()[self.index]
        self.sizes = np.bincount(self.labels, minlength=self.count + 1)[1:]

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Size of each instance as a length: the square root of its area, (N,) in pixels."""
        return np.sqrt(np.maximum(self.instances.areas, 1))

    @cached_property
    def centres(self) -> npt.NDArray[np.float64]:
        """Centre of gravity of each mask, (N, 2) x and y in pixels."""
        rows, columns = np.divmod(self.index, self.cells.shape[1])
        sums = [np.bincount(self.labels, weights=values, minlength=self.count + 1)[1:]
                for values in (columns, rows)]
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
        above, below = self.cells[:-1].ravel(), self.cells[1:].ravel()
        # Where a mask ends downwards, within the lowest part of its box.
        ends = np.flatnonzero((above != below) & (above > 0))
        labels = above[ends]
        boxes = self.instances.boxes
        lowest = boxes[:, 3] - LOWER_END * (boxes[:, 3] - boxes[:, 1])
        low = ends // self.cells.shape[1] * self.step >= lowest[labels - 1] - self.step
        count = self.count + 1
        all_ends = np.bincount(labels[low], minlength=count)
        other = np.bincount(labels[low], weights=below[ends[low]] > 0, minlength=count)
        return np.asarray((other > all_ends / 2)[1:])

    @cached_property
    def contacts(self) -> npt.NDArray[np.int64]:
        """
        How long the outlines run along each other, (N + 1, N + 1) in sides of cells.

        Row and column 0 are the background; a row's sum is the length of the whole outline.
        """
        columns = self.count + 1
        table = np.zeros((columns, columns), np.int64)
        for a, b in ((self.cells[:, :-1], self.cells[:, 1:]), (self.cells[:-1], self.cells[1:])):
            here = np.flatnonzero(a != b)
            pairs = a.ravel()[here] * columns + b.ravel()[here]
            table += np.bincount(pairs, minlength=columns**2).reshape(columns, columns)
        return table + table.T

    @cached_property
    def outlines(self) -> list[npt.NDArray[np.float64]]:
        """The cells along the outline of each instance, (P, 2) x and y in pixels."""
        padded = np.pad(self.cells, 1)
        middle = padded[1:-1, 1:-1]
        along = middle != padded[:-2, 1:-1]
        for other in (padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            along |= middle != other
        here = np.flatnonzero(along & (middle > 0))
        labels = self.cells.ravel()[here]
        order = np.argsort(labels, kind='stable')
        rows, columns = np.divmod(here[order], self.cells.shape[1])
        points = np.stack([columns, rows], axis=1) * float(self.step)
        ends = np.cumsum(np.bincount(labels, minlength=self.count + 1))[1:]
        return np.split(points, ends[:-1])[:self.count]


def step_of(shape: tuple[int, ...]) -> int:
    """Return how many pixels of a frame of ``shape`` are between two cells."""
    return max(1, round(max(shape) / CELLS_ACROSS))
