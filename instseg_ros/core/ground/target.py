"""Whom to follow: one track, until it is lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ground_tracker import GroundObjects


class Target:
    """
    The track that is followed.

    A class name takes the nearest track of that class and stays with it: whoever walks between
    is not followed. When the target is lost, nobody is until :meth:`choose_anew` or until
    something else is wanted.

    Attributes
    ----------
    track : int
        Id of the track that is followed, 0 for none.
    lost : str
        Which target was lost, '' when none was.

    """

    def __init__(self) -> None:
        self._wanted = ''
        self._name = ''
        self._seen_ns = 0
        self.track = 0
        self.lost = ''

    def choose_anew(self) -> None:
        """Look for a target again."""
        self.track, self.lost = 0, ''

    def find(self, wanted: str, found: GroundObjects, names: Mapping[int, str], stamp_ns: int,
             max_lost_s: float) -> tuple[int | None, str]:
        """
        Return the row of the target in a frame, and a sentence when something changed.

        Parameters
        ----------
        wanted : str
            A track id, the name of a class, or '' for nothing.
        found : GroundObjects
            The frame.
        names : mapping of int to str
            Names of the classes.
        stamp_ns : int
            Time of the frame.
        max_lost_s : float
            How long the target may be unseen, in seconds.

        """
        if wanted != self._wanted:
            self._wanted = wanted
            self.choose_anew()
        if not wanted or self.lost:
            return None, ''
        said = ''
        if not self.track:
            row = self._choose(wanted, found, names)
            if row is None:
                return None, ''
            self.track, class_id = int(found.ids[row]), int(found.instances.class_ids[row])
            self._name = names.get(class_id, f'class {class_id}')
            said = f'following track {self.track} ({self._name})'
        rows = found.placed[found.ids[found.placed] == self.track]
        if len(rows):
            self._seen_ns = stamp_ns
            return int(rows[0]), said
        if abs(stamp_ns - self._seen_ns) > max_lost_s * 1e9:
            self.lost = f'the target is lost: track {self.track} ({self._name})'
            self.track = 0
        return None, said

    def _choose(self, wanted: str, found: GroundObjects, names: Mapping[int, str]) -> int | None:
        rows = found.placed[found.ids[found.placed] > 0]
        by_id = rows[found.ids[rows] == int(wanted)] if wanted.isdecimal() else rows[:0]
        if not len(by_id):
            kinds = {k for k, name in names.items() if name.lower() == wanted.lower()}
            by_id = rows[np.isin(found.instances.class_ids[rows], sorted(kinds))]
        distances = np.hypot(*found.positions[by_id].T)
        return int(by_id[distances.argmin()]) if len(by_id) else None
