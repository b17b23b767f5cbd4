"""Marks: what a person says about instances, drawn over a frame, and how far a result agrees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RecordingError

KINDS = {'one': 'these are one', 'two': 'these are two', 'nothing': 'this is nothing'}
AGREED = 0.9  # share of a mark from which on a result agrees with it: hands are not exact
_FORMAT = 'instseg marks 1'
# Share of a side of a line that counts as all of it: between small objects a hand misses more.
_SIDE = 0.8
_STEP = 1.0  # px between the samples of a stroke
_Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """
    One stroke over a frame, and what it says.

    Attributes
    ----------
    stamp_ns : int
        Of the frame, in nanoseconds since 1970.
    kind : str
        ``one``: what the stroke goes over is one object. ``two``: the stroke is a line between
        two objects. ``nothing``: what it goes over is no object.
    points : tuple of (float, float)
        The stroke: x and y in pixels of the frame; one point at least, two for a line.

    Raises
    ------
    RecordingError
        There is no such kind, or there are too few points.

    """

    stamp_ns: int
    kind: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Check the kind and the number of points."""
        if self.kind not in KINDS:
            raise RecordingError(f'mark: expected one of {", ".join(KINDS)}, got {self.kind!r}')
        least = 2 if self.kind == 'two' else 1
        if len(set(self.points)) < least:
            raise RecordingError(f'mark {self.kind!r}: expected {least} points or more, got '
                                 f'{len(set(self.points))}')

    def agreement(self, labels: npt.NDArray[np.uint16], mask: npt.NDArray[np.uint8]) -> float:
        """
        Return how far instances are what the mark says, in [0, 1]; :data:`AGREED` is enough.

        Parameters
        ----------
        labels : ndarray of shape (H, W), uint16
            The instances; 0 background.
        mask : ndarray of shape (H, W), uint8
            The class mask that they were made of: only where it has a class does a mark count.

        """
        if self.kind == 'two':
            sides = [_labels(side, labels, mask) for side in self._places()]
            if not all(len(side) and side.any() for side in sides):
                return 0.0
            (left, left_share), (right, right_share) = map(_most_of, sides)
            share = min(left_share, right_share) / _SIDE
            return min(share, 1.0) if left != right else 0.0
        under = _labels(self._places()[0], labels, mask)
        if self.kind == 'nothing':
            return float((under == 0).mean()) if len(under) else 1.0
        return _most_of(under)[1] if under.any() else 0.0

    def touches(self, mask: npt.NDArray[np.uint8]) -> bool:
        """Return whether there is something that it could speak of: a class under it."""
        return all(len(_labels(place, mask, mask)) > 0 for place in self._places())

    def touched(self, labels: npt.NDArray[np.uint16], mask: npt.NDArray[np.uint8]) -> set[int]:
        """Return the labels that it speaks of."""
        return {int(label) for place in self._places()
                for label in np.unique(_labels(place, labels, mask))}

    def _places(self) -> Sequence[_Points]:
        """Return the samples that count: along the stroke, or on each side of a line."""
        return self._sides() if self.kind == 'two' else [_sampled(np.array(self.points))]

    def _sides(self) -> tuple[_Points, _Points]:
        """
        Return samples on both sides of the line.

        A line between two objects is about as long as they are wide there: what lies within a
        third of its length belongs to them. What is next to it does not count, since a hand does
        not meet the boundary exactly.
        """
        start, end = np.array(self.points[0]), np.array(self.points[-1])
        along = _sampled(np.array(self.points))
        length = max(float(np.hypot(*(end - start))), 1.0)
        normal = np.array([-(end - start)[1], (end - start)[0]]) / length
        away = np.arange(max(length / 12, 1.5), max(length / 3, 4.0), _STEP)
        offsets = away[:, None, None] * normal
        return (along + offsets).reshape(-1, 2), (along - offsets).reshape(-1, 2)


def _sampled(points: _Points) -> _Points:
    """Return points along a polyline, a pixel apart; around a single one, a small disc."""
    if len(points) == 1:
        grid = np.mgrid[-2:3, -2:3].reshape(2, -1).T
        return points + grid
    pieces = [points[:1]]
    for a, b in zip(points, points[1:], strict=False):
        count = max(int(np.hypot(*(b - a)) / _STEP), 1)
        pieces.append(a + (b - a) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(pieces)


def _labels(places: _Points, labels: npt.NDArray[Any], mask: npt.NDArray[np.uint8]
            ) -> npt.NDArray[Any]:
    """Return the labels at places that are in the frame and have a class."""
    x, y = np.floor(places).astype(int).T
    inside = (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
    x, y = x[inside], y[inside]
    known = (mask[y, x] > 0) & (mask[y, x] < 255)
    found: npt.NDArray[Any] = labels[y[known], x[known]]
    return found


def _most_of(labels: npt.NDArray[Any]) -> tuple[int, float]:
    """Return the instance that most samples are of, and its share of all of them."""
    counts = np.bincount(labels)
    counts[0] = 0
    return int(counts.argmax()), float(counts.max() / len(labels))


def read_marks(file: Path) -> list[Mark]:
    """
    Return the marks in a file.

    Raises
    ------
    RecordingError
        It cannot be read, or is no file of marks.

    """
    try:
        content = json.loads(file.read_text())
        if content['format'] != _FORMAT:
            raise ValueError(f'the format {content["format"]!r}')
        return [Mark(int(mark['stamp_ns']), str(mark['kind']),
                     tuple((float(x), float(y)) for x, y in mark['points']))
                for mark in content['marks']]
    except OSError as error:
        raise RecordingError(f'{file}: cannot be read: {error.strerror}') from error
    except (ValueError, TypeError, KeyError, RecordingError) as error:
        raise RecordingError(f'{file}: expected marks as `instseg tune` writes them, got '
                             f'something else: {error}') from error


def write_marks(file: Path, marks: Iterable[Mark]) -> None:
    """Write marks into a file, in the order of their frames; RecordingError if that fails."""
    lines = [json.dumps({'stamp_ns': mark.stamp_ns, 'kind': mark.kind, 'points': [
        [round(x, 1), round(y, 1)] for x, y in mark.points]})
        for mark in sorted(marks, key=lambda mark: mark.stamp_ns)]
    replace_text(file, f'{{"format": "{_FORMAT}", "marks": [\n' + ',\n'.join(lines) + '\n]}\n')


def replace_text(file: Path, text: str) -> None:
    """Write a file so that at any time it has the old or the new text; RecordingError raised."""
    new = file.with_name(f'.{file.name}.new')
    try:
        new.write_text(text)
        os.replace(new, file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise RecordingError(f'{file}: cannot be written: {error.strerror}') from error


def groups(marks: Sequence[Mark], apart_ns: int) -> list[list[Mark]]:
    """Return marks in the order of their frames, those of frames close in time together."""
    found: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.stamp_ns):
        if found and mark.stamp_ns - found[-1][-1].stamp_ns < apart_ns:
            found[-1].append(mark)
        else:
            found.append([mark])
    return found
