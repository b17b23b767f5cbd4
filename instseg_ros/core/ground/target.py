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
    """

    def __init__(self) -> None:
        self._wanted = ''
        self._track = 0
        self._name = ''
        self._seen_ns = 0
        self._over = False

    @property
    def track(self) -> int:
        """Id of the track that is followed, 0 for none."""
        return self._track

    def choose_anew(self) -> None:
        """Look for a target again."""
        self._track, self._over = 0, False

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
        if not wanted or self._over:
            return None, ''
        said = ''
        if not self._track:
            row = self._choose(wanted, found, names)
            if row is None:
                return None, ''
            self._track, class_id = int(found.ids[row]), int(found.instances.class_ids[row])
            self._name = names.get(class_id, str(class_id))
            said = f'following track {self._track} ({self._name})'
        rows = found.placed[found.ids[found.placed] == self._track]
        if len(rows):
            self._seen_ns = stamp_ns
            return int(rows[0]), said
        if abs(stamp_ns - self._seen_ns) > max_lost_s * 1e9:
            said = f'target lost: track {self._track} ({self._name})'
            self._track, self._over = 0, True
        return None, said

    def _choose(self, wanted: str, found: GroundObjects, names: Mapping[int, str]) -> int | None:
        rows = found.placed[found.ids[found.placed] > 0]
        by_id = rows[found.ids[rows] == int(wanted)] if wanted.isdecimal() else rows[:0]
        if not len(by_id):
            kinds = {k for k, name in names.items() if name.lower() == wanted.lower()}
            by_id = rows[np.isin(found.instances.class_ids[rows], sorted(kinds))]
        distances = np.hypot(*found.positions[by_id].T)
        return int(by_id[distances.argmin()]) if len(by_id) else None
