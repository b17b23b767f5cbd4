"""The settings of a scene: named selections of tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import Setting, setting, Settings, SettingsError

_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*')
_MAX_CORNERS = 100
FARTHEST = 10_000  # OpenCV draws no polygon that reaches much farther


@dataclass(frozen=True)
class Selection(Settings):
    """
    Which tracks are selected: all conditions that are set must hold.

    With a line, the selection counts those of its tracks that cross it.
    """

    classes: tuple[str, ...] = setting(
        (), 'Names or ids of the classes that are selected; empty: every class')
    zone: tuple[float, ...] = setting(
        (), 'Corners of a polygon, x and y of each, in which the track must be; empty: anywhere',
        low=-FARTHEST, high=FARTHEST)
    line: tuple[float, ...] = setting(
        (), 'Points of a line, x and y of each, whose crossings are counted; forward is from its '
        'left to its right, seen from the first point to the last',
        low=-FARTHEST, high=FARTHEST)
    units: str = setting(
        'shares', 'Units of zone and line: shares of the width and height of the frame, pixels, '
        'or metres on the floor (with ground:=true)', choices=('shares', 'pixels', 'metres'))
    anchor: str = setting(
        'foot', 'What of a track must be in the zone, or cross the line: its foot (the middle of '
        'its lower end), its centre, or a share of its mask', choices=('foot', 'centre', 'mask'))
    zone_share: float = setting(
        0.5, 'With anchor mask: the share of the mask that must be in the zone', low=0, high=1)
    with_: tuple[str, ...] = setting(
        (), 'Names or ids of classes: the track must have the relation to one of them')
    without: tuple[str, ...] = setting(
        (), 'Names or ids of classes: the track must have the relation to none of them')
    relation: str = setting(
        'overlap', 'The relation of the masks. overlap: they meet, along a share of the shorter '
        'outline; contains: a share of the outline of the other is along the track; inside: a '
        'share of the outline of the track is along the other; near: not farther than distance',
        choices=('overlap', 'contains', 'inside', 'near'))
    relation_share: float = setting(
        0.05, 'The share of the outline that a relation takes', low=0, high=1)
    distance: float = setting(
        0.5, 'With relation near: the largest gap between the masks', low=0, high=10_000)
    distance_units: str = setting(
        'sizes', 'Units of distance: pixels, or sizes of the track (square roots of its area)',
        choices=('sizes', 'pixels'))
    stay_s: float = setting(
        0.0, 'How long the conditions must hold before the track is selected',
        unit='s', low=0, high=3600)
    hysteresis: float = setting(
        0.1, 'How far below a share, or beyond an edge of the zone, a line or a distance (in '
        'sizes of the track), a selected track may be and still be selected', low=0, high=1)
    hysteresis_s: float = setting(
        0.5, 'How long the conditions may fail before the track has left',
        unit='s', low=0, high=3600)
    max_lost_s: float = setting(
        1.0, 'How long a track may be unseen before it has left', unit='s', low=0, high=3600)
    save_before_s: float = setting(
        0.0, 'How much of the time before an event is saved as a recording', unit='s',
        low=0, high=600)
    save_after_s: float = setting(
        0.0, 'How much of the time after an event is saved; both 0: no recording', unit='s',
        low=0, high=600)

    def check_whole(self) -> None:
        """Refuse what cannot be a zone or a line, and conditions that exclude each other."""
        for name, points, least in (('zone', self.zone, 3), ('line', self.line, 2)):
            if not points:
                continue
            if len(points) % 2 or not 2 * least <= len(points) <= 2 * _MAX_CORNERS:
                raise SettingsError(f'{name}: expected x and y of {least} to {_MAX_CORNERS} '
                                    f'points, got {len(points)} numbers')
            if self.units == 'shares' and not all(0 <= v <= 1 for v in points):
                raise SettingsError(f'{name}: expected shares of the frame in [0, 1], got '
                                    f'{[v for v in points if not 0 <= v <= 1][0]:g}; for pixels '
                                    'or metres, set units first')
            steps = np.diff(as_points(points), axis=0)
            if not np.hypot(*steps.T).all():
                raise SettingsError(f'{name}: expected points that differ from the one before, '
                                    'got one twice')
        if self.zone and _area(as_points(self.zone)) < 1e-9:
            raise SettingsError('zone: expected corners around an area, got corners on one line')
        if self.anchor == 'mask' and (self.line or self.zone and self.units == 'metres'):
            raise SettingsError('anchor: expected foot or centre with a line or with metres, got '
                                'mask')
        if both := set(self.with_) & set(self.without):
            raise SettingsError(f'without: expected other classes than those of with, got '
                                f'{sorted(both)[0]!r} in both')

    @property
    def saves(self) -> bool:
        """Whether events are saved as recordings."""
        return self.save_before_s + self.save_after_s > 0


@dataclass(frozen=True)
class SceneSettings(Settings):
    """
    The named selections.

    Attributes
    ----------
    selections : tuple of str
        Their names.
    named : mapping of str to Selection
        By name; the parameters of `door` are called `door.classes`, `door.zone` and so on.

    """

    selections: tuple[str, ...] = setting(
        (), 'Names of the selections; each has parameters of its own: NAME.classes and so on')
    folder: str = setting(
        'events', 'Folder in which events are saved as recordings, one folder each', live=False)
    max_memory: int = setting(
        64, 'Memory for the time before an event; what is older goes first', unit='MiB',
        low=1, high=65_536)
    heatmap_half_life_s: float = setting(
        0.0, 'After what time a stay counts half in the heatmap; 0: never less', unit='s',
        low=0, high=1e6)
    named: Mapping[str, Selection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give every name a selection."""
        super().__post_init__()
        object.__setattr__(self, 'named', {
            name: self.named.get(name, Selection()) for name in self.selections})

    def check_whole(self) -> None:
        """Refuse names that cannot be part of a topic or mean something else."""
        own = {s.name for s in self.declared()} | {'heatmap'}
        for name in self.selections:
            if not _NAME.fullmatch(name) or name in own:
                raise SettingsError(f'selections: expected names of letters, digits and _, other '
                                    f'than {", ".join(sorted(own))}, got {name!r}')
        if len(set(self.selections)) < len(self.selections):
            raise SettingsError('selections: expected each name once, got '
                                + ', '.join(self.selections))

    def parameters(self) -> dict[str, Setting]:
        """Return the declaration of every parameter, those of the selections included."""
        return super().parameters() | {
            f'{name}.{s.name}': replace(s, name=f'{name}.{s.name}')
            for name in self.selections for s in Selection.declared()}

    def value(self, name: str) -> Any:
        """Return the value of a parameter."""
        selection, dot, own = name.rpartition('.')
        return self.named[selection].value(own) if dot else super().value(name)

    def changed(self, **changes: Any) -> SceneSettings:
        """
        Return a checked copy with ``changes``.

        Raises
        ------
        SettingsError
            A name is unknown, or the values do not go together.

        """
        of_all = {n: v for n, v in changes.items() if '.' not in n}
        settings = super().changed(**of_all) if of_all else self
        named = dict(settings.named)
        for name, own in _by_selection(changes).items():
            if name not in named:
                raise SettingsError(f'{name}.{next(iter(own))}: no such selection; selections '
                                    'are ' + (', '.join(named) or 'none'))
            try:
                named[name] = named[name].changed(**own)
            except SettingsError as error:
                raise SettingsError(f'{name}.{error}') from None
        return replace(settings, named=named)


def _by_selection(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what is to be changed of each selection."""
    own: dict[str, dict[str, Any]] = {}
    for full, value in changes.items():
        name, dot, parameter = full.rpartition('.')
        if dot:
            own.setdefault(name, {})[parameter] = value
    return own


def as_points(values: Iterable[float]) -> npt.NDArray[np.float64]:
    """Return x, y, x, y... as an array of shape (K, 2)."""
    return np.array(list(values), np.float64).reshape(-1, 2)


def in_pixels(points: npt.NDArray[np.float64], units: str, shape: tuple[int, ...]
              ) -> npt.NDArray[np.float64]:
    """Return points of a frame of ``shape`` (rows, columns) in pixels; metres as they are."""
    return points * (shape[1], shape[0]) if units == 'shares' else points


def _area(corners: npt.NDArray[np.float64]) -> float:
    """Return twice the area of a polygon whose sides do not cross."""
    x, y = (corners - corners[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
