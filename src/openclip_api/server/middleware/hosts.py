"""Names that the server answers to. A browser can be led to it under a stranger's name, and lets the stranger's page read.

The stranger's DNS says that evil.example is 127.0.0.1 (DNS rebinding): page and server then have the same origin.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from ..shared.answer import error_response

NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")


class Hosts:
    """ASGI middleware: 421 if the Host header is a name that may be a stranger's.

    None are names without a dot, which the public DNS does not have, .localhost and IP addresses. `names` are ours.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {name.lower().rstrip(".") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if all(map(self._may_be_ours, given)):  # none: no browser
            return await self._app(scope, receive, send)
        message = "the server does not answer to this Host: if it is yours, add it to ALLOWED_HOSTS"
        return await error_response(scope, 421, "misdirected_request", message)(scope, receive, send)

    def _may_be_ours(self, host: str) -> bool:
        name = without_port(host.lower()).rstrip(".")
        if is_address(name) or name in self._names:
            return True
        return not name or (bool(NAME.fullmatch(name)) and ("." not in name or name.endswith(".localhost")))


def without_port(host: str) -> str:
    return re.sub(r":\d*$", "", host)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
