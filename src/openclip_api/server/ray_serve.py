"""The API on Ray Serve: `serve run openclip_api.server.ray_serve:app`, with settings as arguments: model_name=ViT-L-14.

Each replica is the server of server/app.py with models of its own. Serve's proxies take the requests, count how many
wait, and start and stop replicas.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = (
    "0"  # else Ray sends reports to its makers; `serve run` starts Ray after this line
)

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InvalidSetting
from ..settings import Settings, read_settings
from .app import create_app
from .in_flight import InFlightRequests
from .run import image_fetcher, model_pool_of

REPLICAS = {"min_replicas": 1, "max_replicas": 4}


def app(arguments: dict[str, str]) -> Application:
    """The application that Serve asks for.

    arguments: settings by name, which override the environment, and min_replicas, max_replicas.
    Raises InvalidSetting.
    """
    replicas = {name: _count(name, arguments.get(name, default)) for name, default in REPLICAS.items()}
    settings = read_settings(**{name: value for name, value in arguments.items() if name not in REPLICAS})
    if settings.decode == "auto":  # nobody knows here who can reach the proxies
        settings = settings.model_copy(update={"decode": "process"})
    if not settings.allowed_hosts:  # nor by which name
        settings = settings.model_copy(update={"allowed_hosts": ["*"]})
    threads = settings.cores
    settings = settings.model_copy(update={"threads": threads})
    deployment: Any = serve.deployment(serve.ingress()(Replica))
    return deployment.options(
        name="OpenClipApi",
        ray_actor_options={"num_cpus": threads},
        # one batch that is computed and one that waits; more requests wait at the proxies for any replica
        max_ongoing_requests=2 * settings.max_batch,
        max_queued_requests=settings.max_queue,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        autoscaling_config={**replicas, "target_ongoing_requests": settings.max_batch},
        graceful_shutdown_timeout_s=settings.grace_seconds,
    ).bind(settings)


def _count(name: str, value: int | str) -> int:
    if not str(value).isdecimal() or len(str(value)) > 9:
        raise InvalidSetting(f"{name}={value!r}: a number is needed")
    return int(value)


class WithoutRequestId:
    """ASGI middleware without our X-Request-Id header: Serve's proxy writes it into each answer too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"x-request-id"]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, without)


class Replica:
    """One server with models of its own. Serve sends requests to it when `check_health` has returned."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._loaded = threading.Event()
        self._model_pool = model_pool_of(self._settings)
        application = create_app(
            self._settings,
            self._model_pool,
            InFlightRequests(),
            image_fetcher(self._settings),
            on_loaded=self._loaded.set,
        )
        application.add_middleware(WithoutRequestId)
        return application

    async def check_health(self) -> None:
        """Serve calls it before the first request, then every ten seconds. Raises the error that ended the loading."""
        await asyncio.to_thread(self._loaded.wait)
        if self._model_pool.error is not None:
            raise self._model_pool.error
        if self._model_pool.busy_seconds > 2 * self._settings.request_timeout:
            raise RuntimeError(f"the engine has been at one batch for {self._model_pool.busy_seconds:.0f} seconds")
