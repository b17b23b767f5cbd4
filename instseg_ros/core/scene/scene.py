"""A scene: which tracks are selected now, and what happened in this frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import relations
from .lines import Lines
from .selection import as_points, in_pixels, SceneSettings, Selection
from .view import View
from .zones import Depths, Shares
from ..instances import Instances

ENTERED, LEFT, FORWARD, BACKWARD = 'entered', 'left', 'forward', 'backward'
KEPT_S = 180.0  # s for which a track that is not seen is remembered, and which lines it crossed

_FOOT, _CENTRE, _FLOOR = range(3)
_ANCHORS = {'foot': _FOOT, 'centre': _CENTRE, 'floor': _FLOOR}
_NEVER = -1
_NS = 1e9
_JUST = 1e-9  # how much less than a limit is less than it
_Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """
    Something that a track did.

    Attributes
    ----------
    selection : str
        Name of the selection.
    kind : {'entered', 'left', 'forward', 'backward'}
        What it did; the last two say in which direction it crossed the selection's line.
    track_id : int
        Id of the track.
    class_id : int
        Its class.
    score : float
        Its score, when it was last seen.
    oriented_box : tuple of float
        Where it was then, as in :class:`~instseg_ros.core.instances.Instances`.
    stay_s : float
        How long the conditions have held, for ``left`` until they last did; in seconds.

    """

    selection: str
    kind: str
    track_id: int
    class_id: int
    score: float
    oriented_box: tuple[float, ...]
    stay_s: float


@dataclass(frozen=True)
class Selected:
    """
    A selection in one frame.

    Attributes
    ----------
    rows : ndarray of shape (K,), int64
        Which instances of the frame are selected.
    count : int
        Tracks that are selected, those included that are unseen for a moment.
    forward, backward : int
        Tracks that have crossed the line so far.

    """

    rows: npt.NDArray[np.int64]
    count: int
    forward: int
    backward: int


class Scene:
    """
    Applies named selections to the tracks of one frame after the other.

    Parameters
    ----------
    settings : SceneSettings
        May be replaced between frames by assigning :attr:`settings`; what is known of the tracks
        stays.
    names : mapping of int to str
        Class names; may be replaced by assigning :attr:`names`.

    """

    def __init__(self, settings: SceneSettings, names: Mapping[int, str] | None = None) -> None:
        self._settings = settings
        self._names = dict(names or {})
        self._totals: dict[str, list[int]] = {}
        self._conditions: _Conditions | None = None
        self._forget(len(settings.named))

    def _forget(self, selections: int) -> None:
        self._stamp_ns: int | None = None
        self._row: dict[int, int] = {}
        # What is known of each track, T of them.
        self._ids = np.zeros(0, np.int64)
        self._seen_ns = np.zeros(0, np.int64)
        self._classes = np.zeros(0, np.int64)
        self._scores = np.zeros(0)
        self._boxes = np.zeros((0, 5))
        self._heights = np.zeros(0)                   # from head to foot, when both were seen
        self._places = np.zeros((3, 0, 2))            # foot, centre, floor when last known
        # And of each in each selection, S of them.
        self._since_ns = np.zeros((selections, 0), np.int64)   # when its conditions began to hold
        self._held_ns = np.zeros((selections, 0), np.int64)    # and when they last did
        self._selected = np.zeros((selections, 0), bool)
        self._through = np.zeros((selections, 0), np.int64)    # the line, and not clear of it yet
        self._crossed = np.zeros((selections, 0, 2), bool)     # forward, backward

    @property
    def settings(self) -> SceneSettings:
        """Return the settings in force."""
        return self._settings

    @settings.setter
    def settings(self, settings: SceneSettings) -> None:
        if settings is self._settings:
            return
        before = list(self._settings.named)
        # Selections are kept by their names; new ones begin empty, as with tracks never seen.
        order = np.array([before.index(n) if n in before else len(before)
                          for n in settings.named], np.intp)
        for name, fill in (('_since_ns', _NEVER), ('_held_ns', 0), ('_selected', False),
                           ('_through', 0), ('_crossed', False)):
            state = getattr(self, name)
            blank = np.full((1, *state.shape[1:]), fill, state.dtype)
            setattr(self, name, np.concatenate([state, blank])[order])
        self._settings, self._conditions = settings, None

    @property
    def names(self) -> Mapping[int, str]:
        """Return the class names."""
        return self._names

    @names.setter
    def names(self, names: Mapping[int, str]) -> None:
        if names != self._names:
            self._names, self._conditions = dict(names), None

    @property
    def unknown_classes(self) -> list[tuple[str, str]]:
        """Return selection and class for every class that no name is known of."""
        known = set(self._names.values())
        return [(name, text) for name, selection in self._settings.named.items()
                for text in (*selection.classes, *selection.with_, *selection.without)
                if not text.isdecimal() and text not in known]

    def reset(self) -> None:
        """Forget every track and every count."""
        self._totals.clear()
        self._forget(len(self._settings.named))

    def update(self, instances: Instances, ids: npt.NDArray[np.int64], stamp_ns: int,
               floor: _Points | None = None) -> tuple[dict[str, Selected], list[Event]]:
        """
        Apply the selections to a frame.

        Parameters
        ----------
        instances : Instances
            All instances of the frame.
        ids : ndarray of shape (N,), int64
            Track id of each; 0 while unconfirmed: such an instance is never selected, but others
            may have a relation to it.
        stamp_ns : int
            Time of the frame in nanoseconds. When it goes backwards, every track has left.
        floor : ndarray of shape (N, 2), optional
            Where each instance stands on the floor, in metres; NaN where that is not known.

        Returns
        -------
        dict of str to Selected
            Every selection, by name.
        list of Event
            What happened, by selection.

        """
        events: list[Event] = []
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            events += self._events(LEFT, self._selected, self._held_ns)
            self._forget(len(self._settings.named))
        self._stamp_ns = stamp_ns
        shape = (instances.labels.shape[0], instances.labels.shape[1])
        if self._conditions is None or self._conditions.shape != shape:
            self._conditions = _Conditions(self._settings, self._names, shape)
        conditions = self._conditions

        view = View(instances)
        shown = np.flatnonzero(ids)
        rows = self._rows(ids[shown])
        places = self._look(view, shown, rows, floor)
        margins = np.full(self._since_ns.shape, -np.inf)
        margins[:, rows] = conditions.margins(view, places)[:, shown]
        events += self._follow(margins, rows, stamp_ns)
        before, now = self._places[:, rows], places[:, shown]
        if conditions.lines is not None:
            events += self._cross(view.lengths[shown], rows, before, now)
        self._places[:, rows] = np.where(np.isnan(now), before, now)

        names = list(self._settings.named)
        selected = {name: Selected(shown[here], count, *self._totals.get(name, (0, 0)))
                    for name, here, count in zip(names, self._selected[:, rows],
                                                 self._selected.sum(axis=1).tolist(),
                                                 strict=True)}
        return selected, sorted(events, key=lambda e: names.index(e.selection))

    def _rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """Return where each track is kept, after a place was made for new ones."""
        new = [i for i in ids.tolist() if i not in self._row]
        if new:
            self._make_room(np.array(new, np.int64))
        return np.array([self._row[i] for i in ids.tolist()], np.intp)

    def _make_room(self, new: npt.NDArray[np.int64]) -> None:
        """Forget tracks that were not seen for long; add new ones."""
        assert self._stamp_ns is not None
        kept = (self._seen_ns >= self._stamp_ns - round(KEPT_S * _NS)) \
            | (self._since_ns != _NEVER).any(axis=0)

        def grown(values: npt.NDArray[np.generic], fill: float, axis: int = 0
                  ) -> npt.NDArray[np.generic]:
            left = values.compress(kept, axis)
            added = list(values.shape)
            added[axis] = len(new)
            return np.concatenate([left, np.full(added, fill, values.dtype)], axis)

        for name, fill, axis in (
                ('_seen_ns', 0, 0), ('_classes', 0, 0), ('_scores', 0, 0), ('_boxes', 0, 0),
                ('_heights', np.nan, 0), ('_places', np.nan, 1), ('_since_ns', _NEVER, 1),
                ('_held_ns', 0, 1), ('_selected', 0, 1), ('_through', 0, 1),
                ('_crossed', 0, 1)):
            setattr(self, name, grown(getattr(self, name), fill, axis))
        self._ids = np.concatenate([self._ids[kept], new])
        self._row = {i: row for row, i in enumerate(self._ids.tolist())}

    def _look(self, view: View, shown: npt.NDArray[np.intp], rows: npt.NDArray[np.intp],
              floor: _Points | None) -> _Points:
        """Note what is seen of the tracks; returns where all instances are, (3, N, 2)."""
        assert self._stamp_ns is not None
        self._seen_ns[rows] = self._stamp_ns
        self._classes[rows] = view.instances.class_ids[shown]
        self._scores[rows] = view.instances.scores[shown]
        self._boxes[rows] = view.instances.oriented_boxes[shown]
        places = np.full((3, view.count, 2), np.nan)
        places[_FOOT], places[_CENTRE] = view.feet, view.centres
        if floor is not None:
            places[_FLOOR] = floor
        # Whose feet are hidden by others still has the height it had.
        top, foot = view.instances.boxes[shown, 1], places[_FOOT, shown, 1]
        hidden = view.feet_hidden[shown]
        self._heights[rows] = np.where(hidden, self._heights[rows], foot - top)
        places[_FOOT, shown, 1] = np.where(hidden, np.fmax(foot, top + self._heights[rows]), foot)
        return places

    def _follow(self, margins: _Points, rows: npt.NDArray[np.intp], now_ns: int) -> list[Event]:
        """Move every track from outside to inside and back; returns what happened."""
        limits = self._conditions
        assert limits is not None
        seen = np.zeros(len(self._ids), bool)
        seen[rows] = True
        begun = self._since_ns != _NEVER
        holds = margins >= np.where(begun, -limits.hysteresis[:, None], 0)
        self._since_ns[holds & ~begun] = now_ns
        self._held_ns[holds] = now_ns
        patience_ns = np.where(seen, limits.hysteresis_ns[:, None], limits.lost_ns[:, None])
        over = begun & ~holds & (now_ns - self._held_ns >= patience_ns)
        events = []
        if over.any():
            counted = ~limits.has_line[:, None]
            events += self._events(LEFT, over & self._selected & counted, self._held_ns)
            self._since_ns[over] = _NEVER
            self._selected[over] = False
        entered = (holds & ~self._selected
                   & (now_ns - self._since_ns >= limits.stay_ns[:, None]))
        if entered.any():
            self._selected |= entered
            events += self._events(ENTERED, entered & ~limits.has_line[:, None], self._held_ns)
        return events

    def _cross(self, lengths: _Points, rows: npt.NDArray[np.intp], before: _Points, now: _Points
               ) -> list[Event]:
        """Count who crossed a line and is clear of it; returns the events."""
        limits = self._conditions
        assert limits is not None and limits.lines is not None
        here = limits.lined[:, None], rows
        was, now = before[limits.line_anchors], now[limits.line_anchors]
        through = self._through[here] + limits.lines.crossings(was, now)
        if not through.any():
            self._through[here] = 0
            return []
        margins = limits.line_hysteresis * np.where(limits.line_in_metres, 1, lengths)
        clear = (through != 0) & (limits.lines.clearance(now) >= margins)
        self._through[here] = np.where(clear, 0, through)
        if not clear.any():
            return []
        events: list[Event] = []
        names = list(self._settings.named)
        for direction, (kind, sign) in enumerate(((FORWARD, 1), (BACKWARD, -1))):
            did = np.zeros_like(self._selected)
            did[here] = clear & (np.sign(through) == sign)
            did &= self._selected & ~self._crossed[..., direction]
            self._crossed[did, direction] = True
            events += self._events(kind, did, self._held_ns)
            for s in np.flatnonzero(did.any(axis=1)).tolist():
                self._totals.setdefault(names[s], [0, 0])[direction] += int(did[s].sum())
        return events

    def _events(self, kind: str, which: npt.NDArray[np.bool_], until_ns: npt.NDArray[np.int64]
                ) -> list[Event]:
        """Return an event for each selection and track."""
        names = list(self._settings.named)
        return [Event(names[s], kind, int(self._ids[t]), int(self._classes[t]),
                      float(self._scores[t]), tuple(self._boxes[t].tolist()),
                      float(until_ns[s, t] - self._since_ns[s, t]) / _NS)
                for s, t in np.argwhere(which).tolist()]


class _Conditions:
    """The selections, prepared for frames of one shape."""

    def __init__(self, settings: SceneSettings, names: Mapping[int, str], shape: tuple[int, int]
                 ) -> None:
        self.shape = shape
        self._selections = list(settings.named.values())

        def nanoseconds(name: str) -> npt.NDArray[np.int64]:
            return np.array([round(getattr(s, name) * _NS) for s in self._selections], np.int64)

        self.hysteresis = np.array([s.hysteresis for s in self._selections])
        self.hysteresis_ns = nanoseconds('hysteresis_s')
        self.lost_ns, self.stay_ns = nanoseconds('max_lost_s'), nanoseconds('stay_s')
        self.has_line = np.array([bool(s.line) for s in self._selections], bool)
        self._classes = [_class_table(s.classes, names) if s.classes else None
                         for s in self._selections]
        self._with = [_class_table(s.with_, names) if s.with_ else None
                      for s in self._selections]
        self._without = [_class_table(s.without, names) if s.without else None
                         for s in self._selections]
        # All zones are looked at in one go, and all lines: by the numbers of their selections.
        masks: dict[int, _Points] = {}
        zones: dict[int, tuple[int, _Points]] = {}
        crossed: dict[int, tuple[int, _Points]] = {}
        for k, s in enumerate(self._selections):
            anchor = 'floor' if s.units == 'metres' else s.anchor
            if s.zone:
                corners = in_pixels(as_points(s.zone), s.units, shape)
                if anchor == 'mask':
                    masks[k] = corners
                else:
                    zones[k] = _ANCHORS[anchor], corners
            if s.line:
                crossed[k] = _ANCHORS[anchor], in_pixels(as_points(s.line), s.units, shape)
        # Nobody knows the size of a track on the floor: what is in sizes elsewhere is in metres.
        self._zoned, self._zone_anchors = list(zones), [a for a, _ in zones.values()]
        self._zone_in_metres = np.array([[a == _FLOOR] for a in self._zone_anchors])
        self._depths = Depths([z for _, z in zones.values()]) if zones else None
        self.lined = np.array(list(crossed), np.intp)
        self.line_anchors = [a for a, _ in crossed.values()]
        self.line_in_metres = np.array([[a == _FLOOR] for a in self.line_anchors])
        self.line_hysteresis = self.hysteresis[self.lined, None]
        self.lines = Lines([line for _, line in crossed.values()]) if crossed else None
        self._shared, self._least = list(masks), np.array(
            [[self._selections[k].zone_share] for k in masks])
        self._shares = Shares(list(masks.values()), shape) if masks else None

    def margins(self, view: View, places: _Points) -> _Points:
        """
        Return by how much each instance fulfils each selection, (S, N): negative where it fails.

        In shares of a mask or an outline, or in sizes of the instance.
        """
        class_ids = view.instances.class_ids
        found = np.full((len(self._selections), view.count), np.inf)
        for k, table in enumerate(self._classes):
            if table is not None:
                found[k, ~table[class_ids]] = -np.inf
        self._in_zones(view, places, found)
        self._related(view, found)
        return found

    def _in_zones(self, view: View, places: _Points, found: _Points) -> None:
        if self._shares is not None:
            share = self._shares.of(view)
            found[self._shared] = np.minimum(
                found[self._shared], np.where(share > 0, share - self._least, -np.inf))
        if self._depths is not None:
            depth = self._depths.of(places[self._zone_anchors])
            depth /= np.where(self._zone_in_metres, 1, view.lengths)
            found[self._zoned] = np.minimum(found[self._zoned],
                                            np.where(np.isnan(depth), -np.inf, depth))

    def _related(self, view: View, found: _Points) -> None:
        asked = [k for k in range(len(self._selections))
                 if (self._with[k] is not None or self._without[k] is not None)
                 and (found[k] > -1).any()]
        if not asked:
            return
        tables = self._tables(view, asked, found)
        for k in asked:
            table = tables[k]
            for classes, sign in ((self._with[k], 1), (self._without[k], -1)):
                if classes is None:
                    continue
                others = classes[view.instances.class_ids]
                best = table[:, others].max(axis=1, initial=-np.inf)
                margin = best if sign > 0 else -best - _JUST
                np.minimum(found[k], margin, out=found[k])

    def _tables(self, view: View, asked: list[int], found: _Points) -> dict[int, _Points]:
        """
        Return for each selection by how much each instance has the relation to each other.

        Nobody has a relation to himself: -inf.
        """
        tables: dict[str, _Points] = {}
        limits = {}
        near = [k for k in asked if self._selections[k].relation == 'near']
        if near:
            reach = {k: _distance(self._selections[k], view) for k in near}
            farthest = np.max([reach[k] + self.hysteresis[k] * view.lengths for k in near], axis=0)
            wanted = np.zeros((view.count, view.count), bool)
            for k in near:
                others = np.zeros(view.count, bool)
                for classes in (self._with[k], self._without[k]):
                    if classes is not None:
                        others |= classes[view.instances.class_ids]
                wanted |= (found[k] > -1)[:, None] & others
            gap = relations.gaps(view, farthest, wanted)
            for k in near:
                limits[k] = (reach[k][:, None] - gap) / view.lengths[:, None]
        for k in asked:
            relation = self._selections[k].relation
            if relation != 'near':
                if relation not in tables:
                    tables[relation] = relations.shares(view, relation)
                limits[k] = tables[relation] - self._selections[k].relation_share
        return limits


def _distance(selection: Selection, view: View) -> _Points:
    """Return the largest gap that is near, for each instance in pixels."""
    if selection.distance_units == 'sizes':
        return selection.distance * view.lengths
    return np.full(view.count, selection.distance)


def _class_table(classes: tuple[str, ...], names: Mapping[int, str]) -> npt.NDArray[np.bool_]:
    """Return for each class id whether it is meant."""
    table = np.zeros(256, bool)
    for text in classes:
        if text.isdecimal():
            table[min(int(text), 255)] = True
        else:
            table[[k for k, name in names.items() if name == text and 0 <= k < 256]] = True
    return table
