"""Serving the page, until Ctrl-C or the end of the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
import logging
import os
import secrets
import socket
from typing import Any

from nicegui import app, ui
from nicegui.server import Server

from .access import Access, LOCAL
from .page import make_pages
from ..errors import SettingsError

_PORTS = 20  # tried, where nobody chose one


def serve(tuning: Any, host: str, port: int, show: bool,
          say: Callable[[str], None] = print) -> None:
    """
    Serve the page of a tuning until the process is told to end.

    Parameters
    ----------
    tuning : Knobs
        Has ``start`` and ``close``, which are called in the event loop.
    host : str
        Address to listen at; any but this machine's own takes a token.
    port : int
        Port; where it is taken, the next free one.
    show : bool
        Whether to open the browser.
    say : callable
        Called with the address, once it answers.

    Raises
    ------
    SettingsError
        Nothing can be served there.

    """
    port = _free_port(host, port)
    token = '' if host in LOCAL else secrets.token_urlsafe(16)
    query = f'/?token={token}' if token else '/'
    name = socket.gethostname() if host in ('0.0.0.0', '::') else host
    address = f'http://{f"[{name}]" if ":" in name else name}:{port}{query}'

    async def say_when_it_answers() -> None:
        while not Server.instance.started:
            await asyncio.sleep(0.02)
        say(address)

    make_pages(tuning)
    app.on_startup(tuning.start)
    app.on_startup(say_when_it_answers)
    app.on_shutdown(tuning.close)
    app.add_middleware(Access, token=token)
    logging.getLogger('uvicorn.error').addFilter(_is_error)
    ui.run(host=host, port=port, show=query if show and _has_screen() else False, reload=False,
           title='instseg tune', favicon='🎚', show_welcome_message=False, tailwind=False,
           timeout_graceful_shutdown=1)


def _is_error(record: logging.LogRecord) -> bool:
    """Return whether a log record is kept: a request that the end of all cuts off is no error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _free_port(host: str, port: int) -> int:
    kind = socket.AF_INET6 if ':' in host else socket.AF_INET
    problem: OSError | None = None
    for candidate in range(port, port + _PORTS):
        with socket.socket(kind, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((host, candidate))
            except (OSError, OverflowError) as error:
                problem = OSError(str(error))
                continue
            return candidate
    raise SettingsError(f'{host}:{port}: cannot be listened at: {problem}; --host and --port '
                        'choose another address')


def _has_screen() -> bool:
    """Return whether a browser could be seen here: in a terminal one would only be in the way."""
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
