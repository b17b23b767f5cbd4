"""Search for the segmentation settings that agree best with what a person marked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .comparison import match
from .marks import AGREED, groups, Mark
from ..core import Instances, segment_instances, SegmentationSettings, Segmenter
from ..errors import RecordingError

_APART_NS = 10**9  # frames that are closer show the same: marks on both are no two opinions
_BEFORE_NS = 3 * 10**9  # how much of the past tells what memory does
_STEPS = 4
_DISTANCES = tuple(k / 20 for k in range(21))
_SHARES = (0, 1 / 4096, 1 / 2048, 1 / 1024, 1 / 512, 1 / 256, 1 / 128)  # of the frame


class MaskedFrame(Protocol):
    """What the search needs of a frame: :class:`..cameras.Capture` is one."""

    @property
    def stamp_ns(self) -> int:
        """Return its time in nanoseconds since 1970."""

    @property
    def mask(self) -> npt.NDArray[np.uint8] | None:
        """Return class ids of shape (H, W), uint8; None where there are none."""


@dataclass(frozen=True)
class Agreement:
    """
    How far a result is what was said, on the marked frames.

    Attributes
    ----------
    agreed, total : int
        With how many marks it agrees, and how many there are.
    share : float
        The mean of how far it agrees with each, in [0, 1].
    kept, unmarked : int
        Instances that no mark speaks of: who marks what is wrong in a frame lets the others
        stand. How many are still there, and how many there were.

    """

    agreed: int
    total: int
    share: float
    kept: int = 0
    unmarked: int = 0

    @property
    def worth(self) -> tuple[int, float]:
        """Return what is compared: how much of what was said and let stand is so, then shares."""
        return self.agreed + self.kept, round(self.share, 1)

    def __str__(self) -> str:
        """Return words for people."""
        return f'{self.agreed} of {self.total}'


@dataclass(frozen=True)
class Found:
    """
    What the search found.

    Attributes
    ----------
    settings : SegmentationSettings
        The best ones; those it began with when none were better.
    changes : dict of str to (object, object)
        Each setting that is another, with the value before and after.
    used : tuple of Agreement
        Before and after, with the marks that the search used.
    held_out : tuple of Agreement, or None
        Before and after, with marks that it did not use; None when all are of one moment.
    changed_frames : tuple of int
        Numbers of the frames in which the instances are not those of before.
    tried : int
        How many settings were tried.

    """

    settings: SegmentationSettings
    changes: dict[str, tuple[Any, Any]]
    used: tuple[Agreement, Agreement]
    held_out: tuple[Agreement, Agreement] | None
    changed_frames: tuple[int, ...]
    tried: int

    @property
    def doubt(self) -> str:
        """Return why the result is not to be trusted yet, '' where nothing speaks against it."""
        if not self.changes:
            return ''
        if self.held_out is None:
            return ('all marks are of one moment, so none is left to check with: mark frames a '
                    'second or more away')
        before, after = self.held_out
        if after.worth <= before.worth:
            return ('on marked frames that the search did not use these are no better: mark more '
                    'frames')
        return ''


def find_settings(frames: Sequence[MaskedFrame], names: Mapping[int, str], marks: Sequence[Mark],
                  settings: SegmentationSettings,
                  progress: Callable[[float], None] = lambda share: None) -> Found:
    """
    Search the few settings that matter for those that agree best with marks.

    In each step the one setting is changed whose change agrees best, until no change agrees better
    (greedy coordinate search); memory is turned on or off at the end, if that is better still. Of
    values that are as good as each other, the one in use is kept, or else the middle one of the
    nearest is taken, which is the least likely to be so by chance. Instances on marked frames that
    no mark speaks of are to stay as they are, and count like a mark each. Half of the moments that
    were marked, every second one in time, is not used but tells how good the result is.

    Parameters
    ----------
    frames : sequence of MaskedFrame
        The whole recording, in order.
    names : mapping of int to str
        Names of the classes.
    marks : sequence of Mark
        What a person said; those of frames that are not there are passed over.
    settings : SegmentationSettings
        Where to begin.
    progress : callable
        Called with the share that is done, in [0, 1].

    Raises
    ------
    RecordingError
        There is no mark on any of the frames.

    """
    stamps = {frame.stamp_ns for frame in frames if frame.mask is not None}
    marks = [mark for mark in marks if mark.stamp_ns in stamps]
    if not marks:
        raise RecordingError('expected marks on frames of this recording, got none: mark what is '
                             'wrong, and some of what is right')
    moments = groups(marks, _APART_NS)
    used = [mark for moment in moments[::2] for mark in moment]
    held_out = [mark for moment in moments[1::2] for mark in moment]
    tried: dict[SegmentationSettings, Agreement] = {}
    shape = next(frame.mask.shape for frame in frames if frame.mask is not None)
    ways = _candidates(settings, shape)
    expected = _STEPS * sum(map(len, ways.values()))

    judge = _Judge(frames, names, used, settings)

    def judged(proposed: SegmentationSettings) -> Agreement:
        if proposed not in tried:
            tried[proposed] = judge(proposed)
            progress(0.8 * min(len(tried) / expected, 1))
        return tried[proposed]

    best = settings
    for _ in range(_STEPS):
        steps = []
        for name, values in ways.items():
            results = [judged(best.changed(**{name: value})) for value in values]
            k = _choice(results, values.index(best.value(name)))
            steps.append((results[k].worth, best.changed(**{name: values[k]})))
        worth, step = max(steps, key=lambda step: step[0])
        if worth <= judged(best).worth:
            break
        best = step
    # Memory goes through the frames before each marked one, which takes long: it is tried last.
    for start in (settings, best):
        other = start.changed(memory=not settings.memory)
        if judged(other).worth > judged(best).worth:
            best = other
    changed: tuple[int, ...] = ()
    if best != settings:
        changed = _changed_frames(frames, names, settings, best,
                                  lambda share: progress(0.8 + 0.2 * share))
    progress(1.0)
    check = _Judge(frames, names, held_out, settings) if held_out else None
    return Found(
        best, {name: (value, best.value(name)) for name, value in settings.values().items()
               if value != best.value(name)},
        (judged(settings), judged(best)), (check(settings), check(best)) if check else None,
        changed, len(tried))


class _Judge:
    """Says how far settings agree with marks, and with what their maker let stand."""

    def __init__(self, frames: Sequence[MaskedFrame], names: Mapping[int, str],
                 marks: Sequence[Mark], before: SegmentationSettings) -> None:
        self._frames, self._names = frames, names
        numbers = {frame.stamp_ns: k for k, frame in enumerate(frames)}
        self._marks: dict[int, list[Mark]] = {}
        for mark in marks:
            self._marks.setdefault(numbers[mark.stamp_ns], []).append(mark)
        self._before: dict[int, tuple[Instances, set[int]]] = {}
        for k, here in self._marks.items():
            instances, mask = instances_at(frames, k, names, before), frames[k].mask
            assert mask is not None
            spoken_of = set().union(*(mark.touched(instances.labels, mask) for mark in here))
            self._before[k] = instances, set(range(1, len(instances) + 1)) - spoken_of

    def __call__(self, settings: SegmentationSettings) -> Agreement:
        shares: list[float] = []
        kept = unmarked = 0
        for k, here in self._marks.items():
            mask = self._frames[k].mask
            assert mask is not None
            instances = instances_at(self._frames, k, self._names, settings)
            shares += [mark.agreement(instances.labels, mask) for mark in here]
            before, others = self._before[k]
            kept += sum(i + 1 in others for i, _ in match(before, instances)[0])
            unmarked += len(others)
        return Agreement(sum(share >= AGREED for share in shares), len(shares),
                         math.fsum(shares) / max(len(shares), 1), kept, unmarked)


def instances_at(frames: Sequence[MaskedFrame], number: int, names: Mapping[int, str],
                 settings: SegmentationSettings) -> Instances:
    """Return the instances of a frame, with the frames before it where memory is on."""
    mask = frames[number].mask
    assert mask is not None
    if not settings.memory:
        return segment_instances(mask, settings, names)
    segmenter = Segmenter(settings, names)
    since = frames[number].stamp_ns - _BEFORE_NS
    for frame in frames[bisect_left(frames, since, hi=number, key=_stamp_ns):number]:
        if (before := frame.mask) is not None:
            segmenter.update(before, frame.stamp_ns)
    return segmenter.update(mask, frames[number].stamp_ns)


def _stamp_ns(frame: MaskedFrame) -> int:
    return frame.stamp_ns


def _candidates(settings: SegmentationSettings, shape: tuple[int, ...]) -> dict[str, list[Any]]:
    """Return the values to try of each setting, the one in use among them."""
    ways: dict[str, set[Any]] = {
        'dist_threshold': set(_DISTANCES),
        'size_threshold': {-1, *(round(share * math.prod(shape)) for share in _SHARES)},
        'erosion_iteration': {0, 1, 2, 3},
        'upright_classes': {(), type(settings)().upright_classes},
    }
    return {name: sorted({*values, settings.value(name)}) for name, values in ways.items()}


def _choice(results: Sequence[Agreement], now: int) -> int:
    """Return which of the values in order is to be taken."""
    worth = [result.worth for result in results]
    best = max(worth)
    if worth[now] == best:
        return now
    runs: list[list[int]] = []
    for k, value in enumerate(worth):
        if value == best:
            if runs and runs[-1][-1] == k - 1:
                runs[-1].append(k)
            else:
                runs.append([k])
    nearest = min(runs, key=lambda run: min(abs(k - now) for k in run))
    return nearest[len(nearest) // 2]


def _changed_frames(frames: Sequence[MaskedFrame], names: Mapping[int, str],
                    before: SegmentationSettings, after: SegmentationSettings,
                    progress: Callable[[float], None]) -> tuple[int, ...]:
    """Return the frames in which instances are others; memory goes through all of them."""
    one, other = Segmenter(before, names), Segmenter(after, names)
    changed = []
    for k, frame in enumerate(frames):
        if (mask := frame.mask) is not None:
            a, b = one.update(mask, frame.stamp_ns), other.update(mask, frame.stamp_ns)
            if not len(a) == len(b) == len(match(a, b)[0]):
                changed.append(k)
        progress((k + 1) / len(frames))
    return tuple(changed)
