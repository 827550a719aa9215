"""create_app: the routes, the middleware and the one way from an error to an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors import RequestError
from ..fetch.fetcher import ImageFetcher
from ..settings import Settings
from . import metrics, web_page
from .metrics import Metrics
from .middleware.auth import Authentication
from .middleware.body_limit import BodyLimit, Budget
from .middleware.in_flight import Accept, Accepted
from .middleware.request_log import RequestLog
from .model_pool import Shelf
from .protocols import classify, clip_api_service, cohere, immich, native, openai, search, status, voyage, weaviate
from .shared.answer import NATIVE, error_response, error_schemas, request_error_response

log = logging.getLogger("openclip_api")

EXPOSED_HEADERS = ["X-Model-Fingerprint", "X-Request-Id", "X-Truncated-Texts", "X-Shape", "X-Dtype", "Server-Timing"]
CLOSE_SECONDS = 5

# What is spoken here, and how each tells an error.
PROTOCOLS = [
    (status.router, NATIVE),
    (web_page.router, NATIVE),
    (metrics.router, NATIVE),
    (native.router, NATIVE),
    (classify.router, NATIVE),
    (search.router, NATIVE),
    (clip_api_service.router, NATIVE),
    (openai.router, openai.ENVELOPE),
    (cohere.router, cohere.ENVELOPE),
    (voyage.router, voyage.ENVELOPE),
    (weaviate.router, weaviate.ENVELOPE),
    (immich.router, immich.ENVELOPE),
]


def create_app(
    settings: Settings,
    shelf: Shelf,
    accepted: Accepted,
    fetcher: ImageFetcher | None = None,
    on_loaded: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The ASGI application. `shelf` starts with it; `on_loaded` is called when its models are there, or an error.

    Without a fetcher image URLs are refused.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        shelf.start(on_loaded)
        yield
        if accepted.gave_up:
            return
        # an engine that hangs must not keep the process alive
        closing = threading.Thread(target=shelf.close, name="closing", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    app = FastAPI(
        title="OpenCLIP API",
        version=__version__,
        lifespan=lifespan,
        summary="CLIP embeddings of images and texts.",
        redirect_slashes=False,
        docs_url=None,  # the page shows the API: that of FastAPI takes its script from another host
        redoc_url=None,
    )
    budget = Budget(int(settings.max_queue_mb * 1e6))
    app.state.settings, app.state.shelf = settings, shelf
    app.state.fetcher, app.state.budget = fetcher, budget
    app.state.store = search.LazyStore(settings.store)
    app.state.envelopes = {}
    app.state.metrics = Metrics(shelf, accepted, budget)
    for router, envelope in PROTOCOLS:
        app.include_router(router, responses=error_schemas(envelope))
        app.state.envelopes |= {route.path: envelope for route in router.routes if isinstance(route, APIRoute)}

    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    # added last runs first
    app.add_middleware(
        BodyLimit, max_bytes=int(settings.max_body_mb * 1e6), budget=budget, seconds=settings.body_timeout
    )
    app.add_middleware(Accept, accepted=accepted)
    app.add_middleware(Defects)
    if settings.api_key:
        app.add_middleware(Authentication, keys=settings.api_key)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    return app


class Defects:
    """ASGI middleware: what no handler expects is logged and answered with 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def watched(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            request_id = scope.get("state", {}).get("request_id", "?")
            log.exception("request %s failed: %s", request_id, type(error).__name__)
            if scope["type"] != "http" or is_answered:
                raise
            message = f"an error of the server's own; its log has request {request_id}"
            await error_response(scope, 500, "internal_error", message)(scope, receive, send)


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
