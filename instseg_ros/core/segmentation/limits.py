"""Limits for masks that no camera gives: noise, crowds of specks, rings in rings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from .components import Component

MAX_INSTANCES = int(np.iinfo(np.uint16).max)

# Class id and component.
Found = tuple[int, Component]


class TooManyInstances(Exception):
    """There are more instances than a label image has numbers."""


def batches(found: Iterable[Found], pixels: int) -> Iterator[list[Found]]:
    """
    Yield components in lists whose boxes together have no more pixels than the frame.

    Each component that is looked into has an array of its box; rings in rings could have any
    number.
    """
    batch: list[Found] = []
    left = pixels
    for one in found:
        x0, y0, x1, y1 = one[1].box
        size = (x1 - x0 + 2) * (y1 - y0 + 2)
        if batch and size > left:
            yield batch
            batch, left = [], pixels
        batch.append(one)
        left -= size
    if batch:
        yield batch


def largest(find: Callable[[int], Iterator[Found]], min_area: int) -> Iterator[Found]:
    """
    Yield as many components as there are numbers, the largest.

    Parameters
    ----------
    find : callable
        Yields class ids and components of at least so many pixels, in the same order each time.
    min_area : int
        In pixels.

    """
    areas = np.fromiter((component.area for _, component in find(min_area)), np.int64)
    if len(areas) > MAX_INSTANCES:
        min_area = int(np.partition(areas, -MAX_INSTANCES)[-MAX_INSTANCES])
    ties = MAX_INSTANCES - np.count_nonzero(areas > min_area)
    for one in find(min_area):
        ties -= one[1].area == min_area
        if ties >= 0 or one[1].area > min_area:
            yield one


def without_specks(mask: npt.NDArray[np.uint8], min_area: int) -> npt.NDArray[np.uint8]:
    """
    Return a class mask without its components of fewer pixels, if it is noise of many classes.

    Any other mask is returned as it is. Class after class, noise of all classes takes 254 passes;
    neighbours that are alike, of all classes at once, are a short list: where a sample says so.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Class ids.
    min_area : int
        In pixels.

    Returns
    -------
    ndarray of shape (H, W), uint8

    """
    some, under = mask[:-1:16], mask[1::16]
    if (min_area <= 1 or not some.size
            or 4 * np.count_nonzero(some[:, 1:] == some[:, :-1]) > some.size
            or 2 * sum(np.count_nonzero(one == other) for one, other in (
                (some, under), (some[:, 1:], under[:, :-1]), (some[:, :-1], under[:, 1:]))
                ) > some.size):
        return mask
    # Takes a tenth of a second to import.
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]
    height, width = mask.shape
    pairs = []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        left = max(-right, 0)
        here = mask[:height - down, left:width - max(right, 0)]
        alike = here == mask[down:, left + right:width + min(right, 0)]
        alike &= here != 0
        y, x = np.nonzero(alike)
        one = y * width + x + left
        pairs.append(np.stack([one, one + down * width + right]))
    pixels, ends = np.unique(np.concatenate(pairs, axis=1), return_inverse=True)
    ends = ends.reshape(2, -1)
    links = coo_array((np.ones(ends.shape[1], np.bool_), (ends[0], ends[1])),
                      (len(pixels), len(pixels)))
    _, pieces = connected_components(links, directed=False)
    large = pixels[np.bincount(pieces)[pieces] >= min_area] if len(pixels) else pixels
    kept = np.zeros_like(mask)
    kept.flat[large] = mask.flat[large]
    return kept
