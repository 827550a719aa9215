"""create_app: the routes, the middleware and the one way from an error to an answer."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors import RequestError
from ..settings import Settings
from . import classify, native, status
from .answer import error_response, request_error_response
from .limits import BodyLimit
from .shelf import Shelf

log = logging.getLogger("openclip_api")

EXPOSED_HEADERS = ["X-Model-Fingerprint", "X-Request-Id", "X-Truncated-Texts", "Server-Timing"]


def create_app(settings: Settings, shelf: Shelf, on_loaded: Callable[[], None] = lambda: None) -> FastAPI:
    """The ASGI application. `shelf` starts with it; `on_loaded` is called when its models are there, or an error."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        shelf.start(on_loaded)
        yield
        shelf.close()

    app = FastAPI(
        title="OpenCLIP API", version=__version__, lifespan=lifespan, summary="CLIP embeddings of images and texts."
    )
    app.state.settings, app.state.shelf = settings, shelf
    app.state.envelopes = {}
    for module in (status, native, classify):
        app.include_router(module.router)

    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_defect)
    # added last runs first
    app.add_middleware(BodyLimit, max_bytes=int(settings.max_body_mb * 1e6))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(RequestId)
    return app


class RequestId:
    """ASGI middleware: each answer carries X-Request-Id, the client's own where it is a harmless one."""

    HARMLESS = re.compile(rb"[\w.:-]{1,64}")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given if self.HARMLESS.fullmatch(given) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        return await self._app(scope, receive, send_with_id)


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return request_error_response(request.scope, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    response = error_response(request.scope, error.status_code, kind, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _on_disconnect(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _on_defect(request: Request, error: Exception) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "?")
    log.error("request %s failed: %s", request_id, type(error).__name__, exc_info=error)
    message = f"an error of the server's own; its log has request {request_id}"
    response = error_response(request.scope, 500, "internal_error", message)
    response.headers["X-Request-Id"] = request_id  # this answer is made outside of the middleware
    return response
