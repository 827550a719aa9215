"""create_app: the routes, the middleware, and the way from an error to an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import copy
from http import HTTPStatus

import anyio
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .. import __version__
from ..errors import RequestError
from ..fetch.fetcher import ImageFetcher
from ..settings import Settings
from .byte_budget import ByteBudget
from .context import ServerContext, context_of
from .direct_routes import DirectRoutes
from .envelope import NATIVE, Envelope, Envelopes
from .freed_memory import give_back_freed_memory
from .in_flight import InFlightRequests
from .label_cache import LabelCache
from .metrics import Metrics
from .middleware.auth import Authentication
from .middleware.body_limit import BodyLimit
from .middleware.head import HeadAsGet, allowed_methods
from .middleware.hosts import Hosts
from .middleware.in_flight import TrackInFlight
from .middleware.internal_errors import InternalErrors
from .middleware.request_log import RequestLog
from .model_pool import ModelPool
from .protocols import (
    classify,
    clip_api_service,
    cohere,
    immich,
    kserve,
    native,
    ollama,
    openai,
    page,
    roboflow,
    sagemaker,
    search,
    status,
    tei,
    vertex,
    voyage,
    weaviate,
)
from .shared.answer import error_response, error_schemas, request_error_response
from .store import LazyStore
from .worker import Worker

EXPOSED_HEADERS = ["X-Model-Fingerprint", "X-Request-Id", "X-Truncated-Texts", "X-Shape", "X-Dtype", "Server-Timing"]
CLOSE_SECONDS = 5

# Each protocol's routes, and how it tells an error.
PROTOCOLS: list[tuple[APIRouter, Envelope]] = [
    (status.router, NATIVE),
    (page.router, NATIVE),
    (native.router, NATIVE),
    (classify.router, NATIVE),
    (search.router, NATIVE),
    (clip_api_service.router, NATIVE),
    (openai.router, openai.ENVELOPE),
    (cohere.router, cohere.ENVELOPE),
    (voyage.router, voyage.ENVELOPE),
    (weaviate.router, weaviate.ENVELOPE),
    (immich.router, immich.ENVELOPE),
    (ollama.router, ollama.ENVELOPE),
    (tei.router, tei.ENVELOPE),
    (sagemaker.router, sagemaker.ENVELOPE),
    (kserve.router, kserve.ENVELOPE),
    (roboflow.router, roboflow.ENVELOPE),
]


def create_app(
    settings: Settings,
    model_pool: ModelPool,
    in_flight: InFlightRequests,
    fetcher: ImageFetcher | None = None,
    on_loaded: Callable[[], None] = lambda: None,
    worker: Worker | None = None,
) -> FastAPI:
    """The ASGI application.

    Its start loads the models; `on_loaded` is called when they are in memory, or when there is an error.
    Without a fetcher image URLs are refused. worker: this process, where it is one of several.
    """
    context = _context(settings, model_pool, in_flight, fetcher, worker)
    app = FastAPI(
        title="OpenCLIP API",
        version=__version__,
        lifespan=lambda _: _lifespan(context, on_loaded),
        summary="CLIP embeddings of images and texts.",
        redirect_slashes=False,
        docs_url=None,  # FastAPI's own page loads its script from another host; ours shows the API too
        redoc_url=None,
    )
    app.state.context = context
    for router, envelope in _protocols(settings):
        app.include_router(router, responses=error_schemas(envelope))
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.router.routes.insert(0, DirectRoutes(context.routes))
    _add_middleware(app, context)
    return app


def _protocols(settings: Settings) -> list[tuple[APIRouter, Envelope]]:
    """A path that Vertex AI names is its own, whoever else has it."""
    router = vertex.vertex_router(settings)
    if not router.routes:
        return PROTOCOLS
    others = [(_without(protocol, _places(router)), envelope) for protocol, envelope in PROTOCOLS]
    return [(router, vertex.ENVELOPE), *others]


def _without(router: APIRouter, places: set[tuple[str, str]]) -> APIRouter:
    """A router without its routes at these methods and paths."""
    if not places & _places(router):
        return router
    other = copy(router)
    other.routes = [route for route in router.routes if not (isinstance(route, APIRoute) and places & _at(route))]
    return other


def _places(router: APIRouter) -> set[tuple[str, str]]:
    return {place for route in router.routes if isinstance(route, APIRoute) for place in _at(route)}


def _at(route: APIRoute) -> set[tuple[str, str]]:
    return {(method, route.path) for method in _methods(route)}


def _context(
    settings: Settings,
    model_pool: ModelPool,
    in_flight: InFlightRequests,
    fetcher: ImageFetcher | None,
    worker: Worker | None,
) -> ServerContext:
    byte_budget = ByteBudget(int(settings.max_queue_mb * 1e6), worker.body_bytes if worker else None)
    of_routes = [
        (route, envelope)
        for router, envelope in _protocols(settings)
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    return ServerContext(
        settings,
        model_pool,
        in_flight,
        byte_budget,
        fetcher,
        LabelCache(settings.text_cache_bytes),
        LazyStore(settings.store, settings.load_options.decode_processes),
        Metrics(model_pool, in_flight, byte_budget),
        [route for route, _ in of_routes],
        Envelopes((method, route.path, envelope) for route, envelope in of_routes for method in _methods(route)),
        worker,
    )


def _methods(route: APIRoute) -> list[str]:
    return sorted(route.methods or ())


def _add_middleware(app: FastAPI, context: ServerContext) -> None:
    """The last one added is the first to see a request."""
    settings = context.settings
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        BodyLimit,
        max_bytes=int(settings.max_body_mb * 1e6),
        byte_budget=context.byte_budget,
        seconds=settings.body_timeout,
    )
    app.add_middleware(TrackInFlight, in_flight=context.in_flight)
    app.add_middleware(InternalErrors)
    if settings.api_key:
        public = [settings.aip_health_route] if settings.aip_health_route else []
        others = {settings.aip_predict_route, settings.aip_health_route}  # these take a path over
        in_body = {route.path for route in roboflow.router.routes if isinstance(route, APIRoute)} - others
        app.add_middleware(Authentication, keys=settings.api_key, public=public, key_in_body=in_body)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    if settings.host_names is not None:
        app.add_middleware(Hosts, names=settings.host_names)
    app.add_middleware(RequestLog, metrics=context.metrics)  # all others need the state that it creates


@asynccontextmanager
async def _lifespan(context: ServerContext, on_loaded: Callable[[], None]) -> AsyncIterator[None]:
    await anyio.sleep(0)  # imports its backend now: at a first request there might be no descriptor for that
    context.model_pool.start(on_loaded)
    giving_back = asyncio.create_task(give_back_freed_memory(context.byte_budget))
    yield
    giving_back.cancel()
    context.store.close()
    if context.in_flight.gave_up:
        return
    # an engine that hangs must not keep the process alive
    closing = threading.Thread(target=context.model_pool.close, name="closing", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return request_error_response(request.scope, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    response = error_response(request.scope, error.status_code, kind, str(error.detail))
    response.headers.update(error.headers or {})
    if "allow" in response.headers:
        response.headers["allow"] = allowed_methods(_methods_at(request) or response.headers["allow"])
    return response


def _methods_at(request: Request) -> str:
    """Of all routes with the path that was asked for; Starlette tells those of one route."""
    path, routes = request.scope["path"], context_of(request).routes
    first = next((route.path for route in routes if route.path_regex.match(path)), None)
    return ", ".join(method for route in routes if route.path == first for method in _methods(route))


async def _on_disconnect(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it
