"""Transforms between frames over time, as /tf and /tf_static tell them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
import math

import numpy as np
import numpy.typing as npt

from .floor import Pose
from ...errors import TransformError

KEPT_NS = 10 * 10**9  # tf2 keeps ten seconds too


@dataclass
class _Link:
    """Where a frame is in its parent; of a static one only the last pose counts."""

    parent: str
    static: bool
    history: list[tuple[int, npt.NDArray[np.float64]]] = field(default_factory=list)

    def at(self, child: str, stamp_ns: int | None) -> Pose:
        """Return the pose at a time, None for the last one known."""
        last_ns, last = self.history[-1]
        if self.static or stamp_ns is None or stamp_ns == last_ns:
            return _pose(last)
        if not self.history[0][0] <= stamp_ns <= last_ns:
            off = (stamp_ns - last_ns if stamp_ns > last_ns
                   else stamp_ns - self.history[0][0]) / 1e9
            raise TransformError(f'{child} in {self.parent} is known from '
                                 f'{self.history[0][0] / 1e9:.3f} to {last_ns / 1e9:.3f} s; '
                                 f'asked for is {off:+.3f} s away')
        after = bisect_left(self.history, stamp_ns, key=lambda entry: entry[0])
        if self.history[after][0] == stamp_ns:
            return _pose(self.history[after][1])
        (from_ns, a), (to_ns, b) = self.history[after - 1:after + 1]
        part = (stamp_ns - from_ns) / (to_ns - from_ns)
        return _pose(np.concatenate([a[:3] + part * (b[:3] - a[:3]), _slerp(a[3:], b[3:], part)]))


def _pose(seven: npt.NDArray[np.float64]) -> Pose:
    return Pose.from_quaternion(seven[:3], seven[3:])


def _slerp(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], part: float
           ) -> npt.NDArray[np.float64]:
    """Return a turn between two (Shoemake, *Animating Rotation with Quaternion Curves*, 1985)."""
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < 1e-6:
        return a + part * (b - a)
    return (math.sin((1 - part) * angle) * a + math.sin(part * angle) * b) / math.sin(angle)


class TransformTree:
    """
    The frames of a robot, for programs that have no tf2: recordings, and nodes without it.

    Parameters
    ----------
    kept_ns : int or None
        For how long transforms are kept, in nanoseconds, and a stamp that far back means that
        time was set back; None keeps all.

    """

    def __init__(self, kept_ns: int | None = KEPT_NS) -> None:
        self._kept_ns = kept_ns
        self._links: dict[str, _Link] = {}

    def add(self, parent: str, child: str, stamp_ns: int, translation: npt.ArrayLike,
            quaternion: npt.ArrayLike, static: bool = False) -> None:
        """
        Take in where a frame is.

        Parameters
        ----------
        parent, child : str
            Frames, as in a geometry_msgs/TransformStamped.
        stamp_ns : int
            Time in nanoseconds.
        translation : array_like of shape (3,)
            In metres.
        quaternion : array_like of shape (4,)
            x, y, z, w. Of length 0 it says nothing, and the transform is left out.
        static : bool
            It holds at every time.

        """
        turn = np.array(quaternion, np.float64)
        length = float(np.linalg.norm(turn))
        seven = np.array([*np.array(translation, np.float64), *turn / (length or 1)])
        if not length or not np.isfinite(seven).all():
            return
        parent, child = parent.lstrip('/'), child.lstrip('/')
        link = self._links.get(child)
        if link is None or link.parent != parent or link.static != static or static:
            link = self._links[child] = _Link(parent, static)
        history = link.history
        if self._kept_ns is not None and history and stamp_ns < history[-1][0] - self._kept_ns:
            history.clear()  # time was set back
        insort(history, (stamp_ns, seven), key=lambda entry: entry[0])
        while self._kept_ns is not None and history[0][0] < history[-1][0] - self._kept_ns:
            del history[0]

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Pose:
        """
        Return the pose of the source frame in the target frame.

        Parameters
        ----------
        target, source : str
            Frames.
        stamp_ns : int or None
            Time in nanoseconds; None takes the last of everything.

        Raises
        ------
        TransformError
            The frames are not known, not connected, or not at this time.

        """
        target, source = target.lstrip('/'), source.lstrip('/')
        if target == source:
            return Pose.identity()
        ancestors = set(self._up(target))
        shared = next((frame for frame in self._up(source) if frame in ancestors), None)
        if shared is None:
            known = ', '.join(sorted({*self._links, *(k.parent for k in self._links.values())}))
            raise TransformError(f'{source} and {target} are not connected; known are '
                                 f'{known or "no frames at all"}')
        return (self._in(shared, target, stamp_ns).inverse()
                @ self._in(shared, source, stamp_ns))

    def _up(self, frame: str) -> Iterator[str]:
        """Yield a frame and its ancestors; a ring of frames ends where it began."""
        seen = set()
        while frame not in seen:
            yield frame
            seen.add(frame)
            if frame not in self._links:
                return
            frame = self._links[frame].parent

    def _in(self, ancestor: str, frame: str, stamp_ns: int | None) -> Pose:
        pose = Pose.identity()
        while frame != ancestor:
            link = self._links[frame]
            pose = link.at(frame, stamp_ns) @ pose
            frame = link.parent
        return pose
