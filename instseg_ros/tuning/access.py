"""Who may see the page: programs of this machine, or whoever has the token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
import hmac
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOCAL = frozenset({'localhost', '127.0.0.1', '::1'})
_COOKIE = 'instseg_tune'
_Scope = MutableMapping[str, Any]
_Send = Callable[[_Scope], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Scope]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Access:
    """
    ASGI middleware that lets nobody else in.

    Without a token the page is for this machine: a request that names another host comes from a
    page of somebody else whose name leads here. A connection that a page of another origin opens
    is refused either way. With a token, an address that has it (``?token=...``) is answered with
    a cookie and the address without it, so that it stays in no list of addresses.

    Parameters
    ----------
    app : callable
        The application behind.
    token : str
        What must be known; '' where only this machine can ask.

    """

    def __init__(self, app: _App, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] not in ('http', 'websocket'):
            await self._app(scope, receive, send)
            return
        headers = {name.decode('latin-1').lower(): value.decode('latin-1')
                   for name, value in scope['headers']}
        host, origin = headers.get('host', ''), headers.get('origin', '')
        cookies = SimpleCookie(headers.get('cookie', ''))
        known = cookies[_COOKIE].value if _COOKIE in cookies else ''
        asked = parse_qs(scope['query_string'].decode('latin-1')).get('token', [''])[0]
        if origin and urlsplit(origin).netloc != host:
            await self._refuse(scope, send, 'this page opens no connections for other pages')
        elif not self._token and urlsplit(f'//{host}').hostname not in LOCAL:
            await self._refuse(scope, send, 'this page is for the machine that it runs on: '
                               'open it as localhost, or start it with --host')
        elif not self._token or self._fits(known):
            await self._app(scope, receive, send)
        elif scope['type'] == 'http' and self._fits(asked):
            await send({'type': 'http.response.start', 'status': 303, 'headers': [
                (b'location', scope['path'].encode()),
                (b'set-cookie', f'{_COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Lax'
                 .encode())]})
            await send({'type': 'http.response.body'})
        else:
            await self._refuse(scope, send, 'open the address that `instseg tune` printed: it '
                               'ends in a token')

    def _fits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    @staticmethod
    async def _refuse(scope: _Scope, send: _Send, reason: str) -> None:
        if scope['type'] == 'websocket':
            await send({'type': 'websocket.close', 'code': 1008, 'reason': reason})
            return
        await send({'type': 'http.response.start', 'status': 403, 'headers': [
            (b'content-type', b'text/plain; charset=utf-8')]})
        await send({'type': 'http.response.body', 'body': f'{reason}\n'.encode()})
