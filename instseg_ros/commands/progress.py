"""How far a command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

_WIDTH = 30
_TERMINAL_S, _ELSEWHERE_S = 0.1, 10.0


class Progress:
    """
    Shows how much of something is done, on stderr.

    Parameters
    ----------
    what : str
        What is counted.

    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stderr.isatty()
        self._start = time.monotonic()
        self._shown = self._start if not self._live else 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show the state, unless that was just done."""
        now = time.monotonic()
        if done < total and now - self._shown < (_TERMINAL_S if self._live else _ELSEWHERE_S):
            return
        self._shown = now
        rate = done / max(now - self._start, 1e-9)
        filled = _WIDTH * done // max(total, 1)
        left_s = (total - done) / max(rate, 1e-9)
        self.show(f'[{"#" * filled}{"." * (_WIDTH - filled)}] {done}/{total} {self._what}, '
                  f'{rate:.0f}/s, {left_s:.0f} s left')

    def show(self, line: str) -> None:
        """Show a line, in the place of the last one on a terminal."""
        end = '' if self._live else '\n'
        print(f'\r\x1b[K{line}' if self._live else line, end=end, file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            print(file=sys.stderr)
