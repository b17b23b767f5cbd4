"""Pace: captures at the times at which a camera would have given them."""

from __future__ import annotations

import threading
import time


class Pace:
    """
    Waits for moments of a stream's own time, which runs faster or slower than the clock.

    A stream that falls behind is not hurried to catch up by more than ``slack_s``.

    Parameters
    ----------
    slack_s : float
        How far the stream may fall behind before its time is set anew, in seconds.

    """

    def __init__(self, slack_s: float = 0.2) -> None:
        self._slack_s = slack_s
        self._due_s: float | None = None
        self._time_s = 0.0
        self._closed = threading.Event()

    def wait(self, time_s: float, rate: float, timeout_s: float) -> bool:
        """
        Wait until a moment of the stream is due; False when the timeout ends first.

        Parameters
        ----------
        time_s : float
            The moment, in the stream's own seconds; it is passed when this returns True.
        rate : float
            Seconds of the stream per second.
        timeout_s : float
            Longest wait in seconds.

        """
        now = time.monotonic()
        due = now if self._due_s is None else self._due_s + (time_s - self._time_s) / rate
        if self._closed.wait(min(max(0.0, due - now), timeout_s)):
            return False
        if due - now > timeout_s:
            return False
        self._time_s = time_s
        self._due_s = max(due, now - self._slack_s)
        return True

    @property
    def closed(self) -> bool:
        """Whether the pace was closed."""
        return self._closed.is_set()

    def close(self) -> None:
        """End every wait, now and from now on."""
        self._closed.set()
