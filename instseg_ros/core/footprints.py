"""Footprints: the pixels of many objects, ready to be moved and laid over the next frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Footprints:
    """
    Pixels of several objects as one flat list.

    Lists, not images: predicted objects may overlap and may leave the frame, and the cost follows
    the pixels of the objects, not those of the frame.

    Attributes
    ----------
    x, y : ndarray of shape (P,), int32
        Sampled pixels.
    owner : ndarray of shape (P,), int32
        Which object, 0..T-1.
    counts : ndarray of shape (T,), int64
        Sampled pixels of each object.
    centres : ndarray of shape (T, 2), float64
        x, y of the centre of mass of each object, pixels; pixel (x, y) has its own at + 0.5.

    """

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float64]

    @classmethod
    def none(cls) -> Footprints:
        """Return the footprints of no objects."""
        pixels = np.zeros(0, np.int32)
        return cls(pixels, pixels, pixels, np.zeros(0, np.int64), np.zeros((0, 2)))

    @classmethod
    def of(cls, labels: npt.NDArray[np.uint16], count: int, stride: int = 1) -> Footprints:
        """
        Return the footprints of labels 1..`count`, from every `stride`-th row and column.

        An object that the stride misses has no pixels and the centre (0.5, 0.5).
        """
        sampled = np.ascontiguousarray(labels[::stride, ::stride])
        # Of bools, nonzero takes a quarter of the time; and one division does for both.
        flat = np.flatnonzero(sampled != 0)
        owner = sampled.ravel()[flat].astype(np.int32) - 1
        width, flat = np.int32(sampled.shape[1]), flat.astype(np.int32)
        y = flat // width
        x = flat - y * width
        counts = np.bincount(owner, minlength=count)
        some = np.maximum(counts, 1)
        centres = np.stack([np.bincount(owner, x, count) / some,
                            np.bincount(owner, y, count) / some], axis=1)
        return cls(x * stride, y * stride, owner, counts, centres * stride + 0.5)

    def overlaps(self, shift: npt.NDArray[np.float64], labels: npt.NDArray[np.uint16], count: int
                 ) -> npt.NDArray[np.int64]:
        """
        Lay the moved footprints over a label image: one ``bincount`` for all pairs.

        Parameters
        ----------
        shift : ndarray of shape (T, 2), float64
            How far each object is moved first, x and y in pixels.
        labels : ndarray of shape (H, W), uint16
            0 background, 1..`count`.
        count : int
            Number of labels, N.

        Returns
        -------
        ndarray of shape (T, N), int64
            Sampled pixels that a moved object and a label have in common.

        """
        steps = np.rint(shift).astype(np.int32)
        x, y = self.x + steps[self.owner, 0], self.y + steps[self.owner, 1]
        height, width = labels.shape
        # Negative numbers are huge as unsigned ones: two comparisons instead of four.
        inside = (x.view(np.uint32) < width) & (y.view(np.uint32) < height)
        found = labels[y[inside], x[inside]]
        pairs = self.owner[inside] * np.int64(count + 1) + found
        table = np.bincount(pairs, minlength=len(self.counts) * (count + 1))
        return table.reshape(len(self.counts), count + 1)[:, 1:]

    def placed(self, rows: npt.NDArray[np.intp], total: int) -> Footprints:
        """Return a set of `total` objects in which object ``t`` became ``rows[t]``; -1 drops."""
        owner = rows.astype(np.int32)[self.owner]
        kept = owner >= 0
        counts, centres = np.zeros(total, np.int64), np.zeros((total, 2))
        chosen = rows >= 0
        counts[rows[chosen]], centres[rows[chosen]] = self.counts[chosen], self.centres[chosen]
        return Footprints(self.x[kept], self.y[kept], owner[kept], counts, centres)

    def merged(self, other: Footprints) -> Footprints:
        """Return both as one set of as many objects; no object may have pixels in both."""
        return Footprints(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]),
                          np.concatenate([self.owner, other.owner]), self.counts + other.counts,
                          self.centres + other.centres)
