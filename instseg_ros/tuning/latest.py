"""Work of which only the newest counts."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Generic, TypeVar

_Wanted = TypeVar('_Wanted')


class Latest(Generic[_Wanted]):
    """
    Does work in a thread of its own, however fast it is asked for.

    What is asked for while it works waits; of several that wait only the last is done. So the
    newest result is never later than two turns.

    Parameters
    ----------
    name : str
        Of the thread.
    work : callable
        Called in the thread with what was asked for last.

    """

    def __init__(self, name: str, work: Callable[[_Wanted], None]) -> None:
        self._work = work
        self._wanted: list[_Wanted] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self, wanted: _Wanted) -> None:
        """Ask for something, instead of what waits."""
        with self._changed:
            self._wanted = [wanted]
            self._changed.notify()

    def close(self) -> None:
        """Do nothing more, and wait for what is done now."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                wanted = self._wanted.pop()
            self._work(wanted)
