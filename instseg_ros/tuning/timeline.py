"""The timeline: the number of instances in each frame, and where it jumps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.ndimage import median_filter  # type: ignore[import-untyped]

_AROUND = 11  # frames whose median is the usual number
_STEP = 2  # instances that come or go at once
_HEIGHT, _BAND = 60, 8  # of the drawing, and of the ticks above and below
_COLUMNS = 1000  # more than that nobody sees


def jumps(counts: Sequence[int]) -> list[int]:
    """
    Return the frames that are worth a look: the number of instances is odd there.

    Those with two more or less than the frame before, and the first of those with another number
    than most frames around: who really comes or goes changes the number for longer.

    >>> jumps([5, 5, 5, 5, 5, 5, 5, 5, 4, 5, 5, 5, 5, 7, 7, 7, 7, 7, 7, 7])
    [8, 13]
    """
    if not counts:
        return []
    numbers = np.asarray(counts)
    step = np.diff(numbers, prepend=numbers[:1])
    odd = numbers != median_filter(numbers, _AROUND, mode='nearest')
    begins = odd & ~np.concatenate([[False], odd[:-1]])
    return [int(k) for k in np.flatnonzero((begins & (step != 0)) | (abs(step) >= _STEP))]


def draw_timeline(counts: Sequence[int | None], jumped: Iterable[int], marked: Iterable[int],
                  changed: Iterable[int]) -> str:
    """
    Return the timeline as SVG, to be stretched to any width.

    Parameters
    ----------
    counts : sequence of int or None
        Instances of each frame, None where it was not processed yet.
    jumped, marked, changed : iterable of int
        Frames where the number jumps, frames with marks, and frames in which a proposal changes
        instances.

    """
    step = max(-(-len(counts) // _COLUMNS), 1)
    columns = [max((c for c in counts[k:k + step] if c is not None), default=None)
               for k in range(0, len(counts), step)]
    top = max([c for c in columns if c is not None], default=0) or 1
    floor = _HEIGHT - _BAND
    heights = [(k * step, floor if c is None else floor - (floor - _BAND - 4) * c / top)
               for k, c in enumerate(columns)]
    outline = ''.join(f'L{x} {y:.1f}H{x + step}' for x, y in heights)
    ticks = ((jumped, 'jump', 0), (marked, 'marked', floor - _BAND), (changed, 'changed', floor))
    return (f'<svg class="timeline" viewBox="0 0 {max(len(counts), 1)} {_HEIGHT}" '
            f'preserveAspectRatio="none"><path class="counts" d="M0 {floor}{outline}V{floor}Z"/>'
            + ''.join(f'<path class="{name}" vector-effect="non-scaling-stroke" d="'
                      + ''.join(f'M{k + 0.5} {y}v{_BAND}' for k in frames) + '"/>'
                      for frames, name, y in ticks) + '</svg>')
