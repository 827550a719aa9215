"""Each request gets an id, a line in the log, and is counted."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..metrics import Metrics

log = logging.getLogger("openclip_api")

HARMLESS = re.compile(rb"[\w.:-]{1,64}")  # a client's own id, to find the request in both logs
UNROUTED = "other"
CLIENT_GONE = 499  # nginx's number for it
STATUS_ROUTES = frozenset({"/health", "/ready", "/metrics", "/ping"})  # asked for every few seconds
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class RequestLog:
    """ASGI middleware. What a client sent is in no line and no label: of the path only the route it matched."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given if HARMLESS.fullmatch(given) else uuid.uuid4().hex.encode()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if state.get("ended") == "client gone":
                status, state["error"] = CLIENT_GONE, "client_gone"
            self._ended(scope, status, time.perf_counter() - started)

    def _ended(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", UNROUTED)
        method = scope["method"] if scope["method"] in METHODS else UNROUTED
        error = state.get("error") or ("other" if status >= 400 else None)
        self._metrics.request_ended(method, route, status, error, seconds, state.get("stages", {}))
        facts = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
        facts |= {key: state[key] for key in ("items", "error", "request_id") if state.get(key) is not None}
        level = logging.DEBUG if route in STATUS_ROUTES else logging.INFO
        log.log(level, "request", extra={"facts": facts})
