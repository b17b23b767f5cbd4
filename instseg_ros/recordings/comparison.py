"""Comparing two processed recordings: what a change of parameters did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .results import Result
from ..core.drawing import draw_overlay, OverlaySettings
from ..core.instances import Instances

SAME = 0.5  # intersection over union from which two masks are the same object
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_Pair = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """
    How one frame differs.

    Attributes
    ----------
    stamp_ns : int
        Of the frame.
    counts : tuple of int or None
        Instances in A and in B, None where there is no such frame.
    only : tuple of int
        Instances of A and of B without one of the same class and place in the other.
    pixels : int
        Pixels that belong to other instances, or to none in one of both.
    areas : tuple of (int, int)
        Areas in A and in B of the objects in both, in pixels, where they differ.
    ids : tuple of (str, str)
        Ids in A and in B of the objects in both.

    """

    stamp_ns: int
    counts: tuple[int | None, int | None]
    only: tuple[int, int]
    pixels: int
    areas: tuple[tuple[int, int], ...]
    ids: tuple[_Pair, ...]

    def other_ids(self, same: Mapping[str, str]) -> list[_Pair]:
        """Return the ids that are not those of the same track, as :func:`same_tracks` has it."""
        return [(a, b) for a, b in self.ids if (same.get(a, '') if a else '') != b]


def compare(a: Iterable[Result], b: Iterable[Result]) -> Iterator[Difference]:
    """Yield the difference of every frame of two recordings, by stamp."""
    for first, second in _by_stamp(a, b):
        if first is None or second is None:
            there = first or second
            assert there
            count = len(there.instances)
            yield Difference(
                there.stamp_ns, (count, None) if first else (None, count),
                (count, 0) if first else (0, count), int(there.instances.areas.sum()), (), ())
            continue
        pairs, pixels = match(first.instances, second.instances)
        areas = [(int(first.instances.areas[i]), int(second.instances.areas[j]))
                 for i, j in pairs]
        counts = len(first.instances), len(second.instances)
        yield Difference(
            first.stamp_ns, counts, (counts[0] - len(pairs), counts[1] - len(pairs)), pixels,
            tuple(p for p in areas if p[0] != p[1]),
            tuple((first.ids[i], second.ids[j]) for i, j in pairs))


def match(a: Instances, b: Instances) -> tuple[list[tuple[int, int]], int]:
    """
    Return which instances of two frames are the same object, and the pixels in which they differ.

    Both images must have one size; frames of another size have nothing in common.
    """
    if a.labels.shape != b.labels.shape:
        return [], int(a.areas.sum() + b.areas.sum())
    columns = len(b) + 1
    table = np.bincount(
        (a.labels.astype(np.int64) * columns + b.labels).ravel(),
        minlength=(len(a) + 1) * columns).reshape(len(a) + 1, columns)
    pairs = []
    common = table[0, 0]
    for i, j in np.argwhere(table[1:, 1:]).tolist():
        both = table[i + 1, j + 1]
        # Above one half there is one partner at most.
        if (both / (a.areas[i] + b.areas[j] - both) > SAME
                and a.class_ids[i] == b.class_ids[j]):
            pairs.append((i, j))
            common += both
    return pairs, int(table.sum() - common)


def same_tracks(differences: Iterable[Difference]) -> dict[str, str]:
    """Return for each track of A the track of B that was the same object most often."""
    together = Counter(pair for d in differences for pair in d.ids if all(pair))
    same: dict[str, str] = {}
    for (a, b), _ in sorted(together.items(), key=lambda item: (-item[1], item[0])):
        if a not in same and b not in same.values():
            same[a] = b
    return same


def draw(frame: npt.NDArray[np.uint8] | None, a: Result | None, b: Result | None,
         same: Mapping[str, str], class_names: Mapping[int, str], titles: tuple[str, str]
         ) -> npt.NDArray[np.uint8]:
    """
    Draw a frame of A and of B side by side; what differs has a white outline.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8, or None
        BGR; None draws over grey.
    a, b : Result or None
        What was found; at least one.
    same : mapping of str to str
        As :func:`same_tracks` has it: the same object has the same colour and number.
    class_names : mapping of int to str
        Names of classes.
    titles : tuple of str
        Written above the halves.

    Returns
    -------
    ndarray of shape (H + 24, 2 W + 4, 3), uint8

    """
    there = a or b
    assert there
    height, width = there.instances.labels.shape
    if frame is None or frame.shape[:2] != (height, width):
        frame = np.full((height, width, 3), 90, np.uint8)
    pairs = match(a.instances, b.instances)[0] if a and b else []
    of_b = {theirs: ours for ours, theirs in same.items()}
    names = a.ids if a else [], [of_b.get(i, f'{i} of B' if i else '') for i in b.ids] if b else []
    alike = [(i, j) for i, j in pairs if names[0][i] == names[1][j]]
    halves = []
    for side, result in enumerate((a, b)):
        half = frame.copy()
        if result and result.instances.labels.shape == (height, width):
            half = draw_overlay(frame, result.instances, names[side], class_names,
                                OverlaySettings(line_width=1, show_boxes=False))
            for k in set(range(len(result.instances))) - {pair[side] for pair in alike}:
                inside = (result.instances.labels == k + 1).view(np.uint8)
                outline, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(half, outline, -1, (0, 0, 0), 4)
                cv2.drawContours(half, outline, -1, (255, 255, 255), 2)
        bar = np.zeros((24, width, 3), np.uint8)
        cv2.putText(bar, titles[side], (6, 17), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        halves.append(np.vstack([bar, half]))
    between = np.full((height + 24, 4, 3), 255, np.uint8)
    return np.hstack([halves[0], between, halves[1]])


def _by_stamp(a: Iterable[Result], b: Iterable[Result]
              ) -> Iterator[tuple[Result | None, Result | None]]:
    """Yield the results of each stamp together; stamps rise in both."""
    left, right = iter(a), iter(b)
    first, second = next(left, None), next(right, None)
    while first is not None or second is not None:
        if second is None or first is not None and first.stamp_ns < second.stamp_ns:
            yield first, None
            first = next(left, None)
        elif first is None or second.stamp_ns < first.stamp_ns:
            yield None, second
            second = next(right, None)
        else:
            yield first, second
            first, second = next(left, None), next(right, None)
