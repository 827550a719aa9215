"""What a route can reach: the parts of the server, and what is known of the request so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute

from ..fetch.fetcher import ImageFetcher
from ..settings import Settings
from .byte_budget import ByteBudget
from .envelope import Envelope, Envelopes
from .in_flight import InFlightRequests
from .label_cache import LabelCache
from .metrics import Metrics
from .model_pool import ModelPool
from .store import LazyStore
from .worker import Worker


@dataclass(frozen=True)
class ServerContext:
    """The parts of one server. `create_app` builds it."""

    settings: Settings
    model_pool: ModelPool
    in_flight: InFlightRequests
    byte_budget: ByteBudget
    fetcher: ImageFetcher | None  # None: image URLs are refused
    label_cache: LabelCache
    store: LazyStore
    metrics: Metrics
    routes: Sequence[APIRoute]
    envelopes: Envelopes
    worker: Worker | None  # None: there is one process alone


@dataclass
class RequestState:
    """What middleware and routes tell each other about one request. The request log creates and reads it."""

    request_id: str
    envelope: Envelope | None = None  # where the body decides which protocol it is
    error: str | None = None  # the `type` of the error that was answered
    client_gone: bool = False
    key_missing: bool = False  # an API key is needed, and none stands where most clients put it
    items: int | None = None
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds


# Both take a Request as well as an ASGI scope.


def context_of(request: Mapping[str, Any]) -> ServerContext:
    context: ServerContext = request["app"].state.context
    return context


def state_of(request: Mapping[str, Any]) -> RequestState:
    state: RequestState = request["state"]["request"]
    return state


def envelope_of(request: Mapping[str, Any]) -> Envelope:
    """The envelope that the route chose, else the one of its path, also where there is no such route.

    Middleware may ask before the request has a route: then the path decides alone.
    """
    route = request.get("route")  # its path has the names of parameters in it
    path: str = request["path"] if route is None else route.path
    return state_of(request).envelope or context_of(request).envelopes.at(request["method"], path)
