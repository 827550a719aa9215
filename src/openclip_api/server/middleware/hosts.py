"""The names that the server answers to.

A stranger's DNS may say that evil.example is 127.0.0.1 (DNS rebinding). For a browser the stranger's page and this
server then have the same origin, and the page may read all answers.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from ...fetch.host_names import address_of, is_name
from ..shared.answer import error_response

PORT = re.compile(r":\d*$")


class Hosts:
    """ASGI middleware: 421 if the Host header is a name that may be a stranger's; 400 if it is none, or there are two.

    Never a stranger's are names without a dot, which the public DNS does not have, .localhost and IP addresses.
    `names` are ours.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {name.lower().rstrip(".") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        names = [PORT.sub("", host).rstrip(".") for host in given]
        if len(names) > 1 or not all(map(_is_host, names)):
            response = error_response(scope, 400, "invalid_request", "the Host header is not one name or address")
        elif all(map(self._is_ours, names)):  # without one it is no browser
            return await self._app(scope, receive, send)
        else:
            message = "the server does not answer to this Host: if it is yours, add it to ALLOWED_HOSTS"
            response = error_response(scope, 421, "misdirected_request", message)
        return await response(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        return "." not in name or name.endswith(".localhost") or name in self._names or _is_address(name)


def _is_host(name: str) -> bool:
    return not name or is_name(name) or _is_address(name)


def _is_address(name: str) -> bool:
    return address_of(name.removeprefix("[").removesuffix("]")) is not None
