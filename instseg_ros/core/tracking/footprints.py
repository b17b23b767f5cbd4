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

    """

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]

    @classmethod
    def none(cls) -> Footprints:
        """Return the footprints of no objects."""
        pixels = np.zeros(0, np.int32)
        return cls(pixels, pixels, pixels, np.zeros(0, np.int64))

    @classmethod
    def of(cls, labels: npt.NDArray[np.uint16], count: int, stride: int = 1) -> Footprints:
        """
        Return the footprints of labels 1..`count`, from every `stride`-th row and column.

        An object that the stride misses has no pixels.
        """
        sampled = np.ascontiguousarray(labels[::stride, ::stride])
        # Of bools, nonzero takes a quarter of the time; and one division does for both.
        flat = np.flatnonzero(sampled != 0)
        owner = sampled.ravel()[flat].astype(np.int32) - 1
        width, flat = np.int32(sampled.shape[1]), flat.astype(np.int32)
        y = flat // width
        x = flat - y * width
        return cls(x * stride, y * stride, owner, np.bincount(owner, minlength=count))

    def overlaps(self, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64],
                 labels: npt.NDArray[np.uint16], count: int) -> npt.NDArray[np.int64]:
        """
        Lay the moved footprints over a label image: one ``bincount`` for all pairs.

        Parameters
        ----------
        scale, shift : ndarray of shape (T, 2), float64
            What x and y of each object's pixels are multiplied with first, and then moved by.
        labels : ndarray of shape (H, W), uint16
            0 background, 1..`count`.
        count : int
            Number of labels, N.

        Returns
        -------
        ndarray of shape (T, N), int64
            Sampled pixels that a moved object and a label have in common.

        """
        # Pixel (x, y) has its centre at + 0.5; rounding down gives the pixel that holds it.
        x, y = (np.floor((own + np.float32(0.5)) * scale[:, axis].astype(np.float32)[self.owner]
                         + shift[:, axis].astype(np.float32)[self.owner]).astype(np.int32)
                for axis, own in enumerate((self.x, self.y)))
        height, width = labels.shape
        # Negative numbers are huge as unsigned ones: two comparisons instead of four.
        inside = (x.view(np.uint32) < width) & (y.view(np.uint32) < height)
        found = labels[y[inside], x[inside]]
        pairs = self.owner[inside] * np.int64(count + 1) + found
        table = np.bincount(pairs, minlength=len(self.counts) * (count + 1))
        return table.reshape(len(self.counts), count + 1)[:, 1:]

    def placed(self, rows: npt.NDArray[np.intp], total: int) -> Footprints:
        """
        Return a set of `total` objects in which object ``t`` became ``rows[t]``; -1 drops.

        Several may become one.
        """
        owner = rows.astype(np.int32)[self.owner]
        kept = owner >= 0
        owner = owner[kept]
        return Footprints(self.x[kept], self.y[kept], owner, np.bincount(owner, minlength=total))

    def merged(self, other: Footprints) -> Footprints:
        """Return both as one set of as many objects; no object may have pixels in both."""
        return Footprints(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]),
                          np.concatenate([self.owner, other.owner]), self.counts + other.counts)

    def followed_by(self, other: Footprints) -> Footprints:
        """Return the objects of both, those of `other` after the own ones."""
        return Footprints(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]),
                          np.concatenate([self.owner, other.owner + np.int32(len(self.counts))]),
                          np.concatenate([self.counts, other.counts]))


def contacts(labels: npt.NDArray[np.uint16], boxes: npt.NDArray[np.float64], stride: int = 4
             ) -> npt.NDArray[np.float64]:
    """
    Return how much of each side of each object's box lies along another object, (N, 4).

    Parameters
    ----------
    labels : ndarray of shape (H, W), uint16
        0 background, 1..N.
    boxes : ndarray of shape (N, 4), float64
        x0, y0, x1, y1 of each label, pixels; the result has the same order of sides.
    stride : int
        Only every so many rows and columns are looked at.

    """
    found = np.zeros((len(boxes) + 1, 4))
    sampled = np.ascontiguousarray(labels[::stride, ::stride])
    for axis, low, high in ((0, sampled[:, :-1], sampled[:, 1:]), (1, sampled[:-1], sampled[1:])):
        at = (low != high) & (low != 0) & (high != 0)
        if not at.any():
            continue
        found[:, axis] = np.bincount(high[at], minlength=len(found))
        found[:, axis + 2] = np.bincount(low[at], minlength=len(found))
    lengths = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)[:, ::-1]
    return found[1:] * stride / np.tile(lengths, 2)
