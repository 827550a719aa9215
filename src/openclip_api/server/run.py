"""The running server: it binds its port, answers while the models load, and stops when told to."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Literal, Protocol, cast

import PIL
import uvicorn
from fastapi import FastAPI

from ..checkpoints.hub import Report
from ..checkpoints.sources import Source
from ..errors import InvalidSetting, MissingExtra
from ..fetch.fetcher import ImageFetcher
from ..inputs.formats import BY_NAME
from ..runtime.embedder import Embedder
from ..runtime.load_options import LoadOptions
from ..runtime.loader import load
from ..settings import ServedModel, Settings
from .acceptor import Acceptor
from .app import create_app
from .in_flight import InFlightRequests
from .listening import BACKLOG, listen, url_of
from .log import logging_to_stderr
from .metrics import Metrics
from .model_pool import ModelPool
from .model_slot import LoadModel, ModelSlot
from .worker import Worker
from .worker_table import QueueCounts

log = logging.getLogger("openclip_api")

SAFE_PILLOW = 13  # CVE-2026-112403


class LoadCheckpoint(Protocol):
    """As runtime.loader.load is called here."""

    def __call__(
        self, source: Source, tag: None, options: LoadOptions, /, *, model_id: str | None, report: Report
    ) -> Embedder: ...


def run(
    settings: Settings,
    load: LoadCheckpoint = load,
    fetcher: ImageFetcher | None = None,
    on_ready: Callable[[str], None] | None = None,
    worker: Worker | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT.

    fetcher: replaces the one that the settings ask for. on_ready: called with the server's URL once the models are
    loaded, instead of the greeting. worker: this process, where it is one of several.
    Returns the exit code: 1 if a model could not be loaded, or if the time to stop was over before all requests were
    answered.
    """
    with logging_to_stderr(settings.log_level, settings.log_format, worker.number if worker else None):
        return _run(settings, load, fetcher or image_fetcher(settings), on_ready, worker)


def image_fetcher(settings: Settings) -> ImageFetcher | None:
    """None if the settings do not allow image URLs."""
    if not settings.allow_image_urls:
        return None
    return ImageFetcher(
        settings.url_hosts,
        max_bytes=int(settings.max_body_mb * 1e6),
        seconds=settings.url_timeout,
        private=settings.private_endpoints,
    )


def model_pool_of(settings: Settings, load: LoadCheckpoint = load, worker: Worker | None = None) -> ModelPool:
    """The models that the settings name. Raises MissingExtra, InvalidSetting, UnknownModel."""
    unsafe = [name for name in settings.served_formats if not BY_NAME[name].is_safe]
    if unsafe and not settings.isolates_decoding:
        raise InvalidSetting(
            f"IMAGE_FORMATS={','.join(unsafe)} on a server needs DECODE=process: its decoder may crash"
        )
    if settings.store is not None and find_spec("lancedb") is None:
        raise MissingExtra("STORE needs lancedb: pip install 'openclip-api[search]'")
    models: dict[str, LoadModel] = {
        name: partial(_load, load, settings, model, worker.queue(number) if worker else None)
        for number, (name, model) in enumerate(settings.served_models.items())
    }
    others_are_ready = (lambda: worker.all_are_ready) if worker else (lambda: True)
    return ModelPool(models, settings.max_loaded_models, others_are_ready)


def _run(
    settings: Settings,
    load: LoadCheckpoint,
    fetcher: ImageFetcher | None,
    on_ready: Callable[[str], None] | None,
    worker: Worker | None,
) -> int:
    is_first = worker is None or worker.takes_requests_at_once
    model_pool, in_flight = model_pool_of(settings, load, worker), InFlightRequests()
    # Listen before the models load: a port in use ends the start at once, and early clients are not refused.
    listening = worker.listening if worker else listen(settings.host, settings.port)
    url = url_of(listening)

    def greet(url: str) -> None:
        log.info("%s", _greeting(model_pool.default, url))

    def on_loaded() -> None:
        if model_pool.error is not None:
            log.error("openclip-api: %s", model_pool.error)
            server.should_exit = True
            return
        if is_first:
            (on_ready or greet)(url)
        if worker is not None:
            worker.tell_ready()

    app = create_app(settings, model_pool, in_flight, fetcher, on_loaded, worker)
    server = Server(_config(settings, app), model_pool, in_flight, settings.grace_seconds, worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    gc.freeze()  # all modules: else each full collection walks through them, 50 ms in which no request is served
    if worker is not None:
        metrics: Metrics = app.state.context.metrics
        worker.follow(server, metrics.figures, lambda: model_pool.busy_seconds > 2 * settings.request_timeout)
    if is_first:
        _warn_of_old_pillow()
        log.info("openclip-api: loading %s. Progress: %s/ready", ", ".join(model_pool.names()), url)
    else:
        model_pool.load_first()
    if model_pool.error is None:
        server.run(sockets=[listening])
    else:
        on_loaded()
    return 1 if model_pool.error or in_flight.gave_up else 0


def _config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=_connection_class(int(settings.max_body_mb * 1e6)),
        ws="none",
        server_header=False,
        backlog=BACKLOG,
    )


def _warn_of_old_pillow() -> None:
    if int(PIL.__version__.split(".")[0]) < SAFE_PILLOW:
        log.warning(
            "openclip-api: Pillow %s has known security holes in its JPEG and TIFF decoders: on Python 3.11 or newer, "
            "`pip install 'pillow>=%d'` closes them",
            PIL.__version__,
            SAFE_PILLOW,
        )


class Server(uvicorn.Server):
    """uvicorn's server with another way to stop.

    When told to stop, it answers the requests in flight, and /ready with 503, for at most `grace_seconds`. After that
    time, or when told to hurry, it answers the rest with 503. A second signal hurries it, unless it is a worker: that
    may get one from the system and one from its supervisor.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        model_pool: ModelPool,
        in_flight: InFlightRequests,
        grace_seconds: float,
        worker: Worker | None,
    ) -> None:
        super().__init__(config)
        self._model_pool, self._in_flight = model_pool, in_flight
        self._grace_seconds = grace_seconds
        self._worker = worker
        self._acceptor: Acceptor | None = None
        self._deadline: float | None = None

    def handle_exit(self, *_: int | FrameType | None) -> None:
        if self._deadline is not None and self._worker is None:
            self.hurry()
        self.stop()

    def stop(self) -> None:
        self._in_flight.stopping = self._model_pool.stopping = True
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace_seconds

    def hurry(self) -> None:
        self._deadline = time.monotonic()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._worker is None:
            await super().startup(sockets)
            return
        await super().startup([])
        make = partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self._acceptor = self._worker.accept(lambda: len(self.server_state.connections), make)
        self.servers = [cast("asyncio.Server", self._acceptor)]  # which uvicorn closes

    async def on_tick(self, counter: int) -> bool:
        if self._acceptor is not None:
            self._acceptor.tell()
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if not len(self._in_flight):
                self.should_exit = True
                self.config.timeout_graceful_shutdown = max(1, int(left))  # for answers that are still being sent
            elif left <= 0:
                log.warning("openclip-api: stopping with %d requests unanswered", len(self._in_flight))
                self._in_flight.give_up()
                self.should_exit = True
                self.config.timeout_graceful_shutdown = 1
        return await super().on_tick(counter)


def _connection_class(max_body_bytes: int) -> type[asyncio.Protocol] | Literal["auto"]:
    if sys.platform == "win32":  # httptools does not exist there
        return "auto"
    from .client_transport import Lingering
    from .connection import Connection

    # a client that sends many times the limit does not wait for an answer
    make = partial(Connection, lingering=Lingering(max(8_000_000, 16 * max_body_bytes)))
    return cast("type[asyncio.Protocol]", make)  # uvicorn only calls it


def _load(
    load: LoadCheckpoint,
    settings: Settings,
    model: ServedModel,
    queue: QueueCounts | None,
    report: Report,
) -> Embedder:
    options = replace(settings.load_options, image_formats=settings.served_formats)
    embedder = load(model.source, None, options, model_id=model.model_id, report=report)
    if queue is not None:
        embedder.queue.share(*queue)
    return embedder


def _greeting(slot: ModelSlot, url: str) -> str:
    info = slot.embedder.info
    body = json.dumps({"text": "red sofa"})
    return (
        f"openclip-api: {info.model_id} is ready after {slot.load_seconds:.1f} s ({info.precision}, "
        f"{info.embed_dim} dimensions, {info.activation}, {info.image_size} px, {info.interpolation}, "
        f"{info.resize_mode}, fingerprint {info.fingerprint})\n\n"
        f"Try it:  curl {url}/embeddings -H 'Content-Type: application/json' -d '{body}'\n"
        f"Docs:    {url}/docs\n"
    )
