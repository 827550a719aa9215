"""Each request gets an id and a line in the log, and is counted."""

from __future__ import annotations

import logging
import re
import time
import uuid
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..context import RequestState
from ..metrics import Metrics

log = logging.getLogger("openclip_api")

HARMLESS = re.compile(rb"[\w.:-]{1,64}")  # a client's own id, to find the request in both logs
UNROUTED = "other"
LONGEST_PATH = 200  # characters
CLIENT_GONE = 499  # nginx's number for it
STATUS_ROUTES = frozenset({"/health", "/ready", "/metrics", "/ping"})  # asked for every few seconds
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class RequestLog:
    """ASGI middleware, the outermost: creates the request's RequestState and reads it at the end.

    No line and no label shows what a client sent. Of the path they show only the route that it matched; at the level
    debug also the path where there is no such route, so that one sees what a client is looking for.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given if HARMLESS.fullmatch(given) else uuid.uuid4().hex.encode()
        state = RequestState(request_id.decode())
        scope.setdefault("state", {})["request"] = state
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        try:
            return await self._app(scope, receive, send_with_id)
        finally:
            if state.client_gone:
                status, state.error = CLIENT_GONE, "client_gone"
            self._ended(scope, state, status, time.perf_counter() - started)

    def _ended(self, scope: Scope, state: RequestState, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNROUTED)
        method = scope["method"] if scope["method"] in METHODS else UNROUTED
        error = state.error or ("other" if status >= 400 else None)
        self._metrics.request_ended(method, route, status, error, seconds, state.stages)
        facts = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
        known = {"items": state.items, "error": state.error, "request_id": state.request_id}
        if route == UNROUTED and log.isEnabledFor(logging.DEBUG):
            facts["path"] = quote(scope["path"][:LONGEST_PATH], safe="/:@.~_-", errors="backslashreplace")
        facts |= {key: value for key, value in known.items() if value is not None}
        level = logging.DEBUG if route in STATUS_ROUTES else logging.INFO
        log.log(level, "request", extra={"facts": facts})
