"""API keys: if any are set, every route needs one of them, except a few public routes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from ..context import state_of
from ..shared.answer import error_response
from ..shared.keys import CHALLENGE, KEY_NEEDED, is_known

# What a load balancer or a browser's first page needs. All else needs a key, and so do routes that are added later.
PUBLIC = frozenset({"/", "/docs", "/health", "/ready", "/ping"})
PUBLIC_BELOW = ("/.well-known/", "/page/")
KEY_IN_URL_BELOW = "/clip/"  # Roboflow's clients


def is_public(path: str) -> bool:
    """For GET and HEAD; what is sent to such a path needs a key."""
    return path in PUBLIC or (path.startswith(PUBLIC_BELOW) and ".." not in path)


class Authentication:
    """ASGI middleware: 401 unless the header `Authorization: Bearer KEY` has one of `keys`.

    It looks at the path that is routed, never at a URL that was built from headers.
    """

    def __init__(
        self, app: ASGIApp, keys: Sequence[str], public: Collection[str] = (), key_in_body: Collection[str] = ()
    ) -> None:
        """public: more paths that may be read without a key. key_in_body: those whose routes look for it there."""
        self._app = app
        self._public = public
        self._keys = keys
        self._key_in_body = key_in_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        credentials = _keys_in(scope) if scope["type"] == "http" else []
        if scope["type"] != "http" or self._reads_public(scope) or self._knows(credentials):
            return await self._app(scope, receive, send)
        if not credentials and scope["method"] == "POST" and scope["path"] in self._key_in_body:
            state_of(scope).key_missing = True
            return await self._app(scope, receive, send)
        response = error_response(scope, 401, "unauthorized", KEY_NEEDED)
        response.headers.update(CHALLENGE)
        return await response(scope, receive, send)

    def _reads_public(self, scope: Scope) -> bool:
        path = scope["path"]
        return scope["method"] in ("GET", "HEAD") and (is_public(path) or path in self._public)

    def _knows(self, given: Sequence[bytes]) -> bool:
        # none, or several: a proxy might have checked another one
        return len(given) == 1 and is_known(given[0], self._keys)


def _keys_in(scope: Scope) -> list[bytes]:
    """The token of each Authorization header; empty where its scheme is not Bearer. Without one, what is in the URL of
    a route whose clients know no other place."""
    credentials = [value.partition(b" ") for name, value in scope["headers"] if name == b"authorization"]
    if not credentials and scope["path"].startswith(KEY_IN_URL_BELOW):
        return [
            value.encode() for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "api_key"
        ]
    return [token.strip() if scheme.lower() == b"bearer" else b"" for scheme, _, token in credentials]
