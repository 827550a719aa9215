"""The running server: it binds its port, answers while the models load, and stops when told to."""

from __future__ import annotations

import asyncio
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

from ..checkpoints.hub import Report
from ..checkpoints.sources import Source
from ..errors import InvalidSetting, MissingExtra
from ..fetch.fetcher import ImageFetcher
from ..inputs.formats import BY_NAME
from ..runtime.embedder import Embedder
from ..runtime.load_options import LoadOptions
from ..runtime.loader import load
from ..settings import ServedModel, Settings
from .app import create_app
from .in_flight import InFlightRequests
from .log import logging_to_stderr
from .model_pool import ModelPool
from .model_slot import LoadModel, ModelSlot

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
) -> int:
    """Serve until SIGTERM or SIGINT.

    fetcher: replaces the one that the settings ask for. on_ready: called with the server's URL once the models are
    loaded, instead of the greeting.
    Returns the exit code: 1 if a model could not be loaded, or if the time to stop was over before all requests were
    answered.
    """
    with logging_to_stderr(settings.log_level, settings.log_format):
        return _run(settings, load, fetcher or image_fetcher(settings), on_ready)


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


def model_pool_of(settings: Settings, load: LoadCheckpoint = load) -> ModelPool:
    """The models that the settings name. Raises MissingExtra, InvalidSetting, UnknownModel."""
    unsafe = [name for name in settings.served_formats if not BY_NAME[name].is_safe]
    if unsafe and not settings.isolates_decoding:
        raise InvalidSetting(
            f"IMAGE_FORMATS={','.join(unsafe)} on a server needs DECODE=process: its decoder may crash"
        )
    if settings.store is not None and find_spec("lancedb") is None:
        raise MissingExtra("STORE needs lancedb: pip install 'openclip-api[search]'")
    models: dict[str, LoadModel] = {
        name: partial(_load, load, settings, model) for name, model in settings.served_models.items()
    }
    return ModelPool(models, settings.max_loaded_models)


def _run(
    settings: Settings, load: LoadCheckpoint, fetcher: ImageFetcher | None, on_ready: Callable[[str], None] | None
) -> int:
    if int(PIL.__version__.split(".")[0]) < SAFE_PILLOW:
        log.warning(
            "openclip-api: Pillow %s has known holes in its JPEG and TIFF decoders: on Python 3.11 or newer, "
            "`pip install 'pillow>=%d'` closes them",
            PIL.__version__,
            SAFE_PILLOW,
        )
    model_pool, in_flight = model_pool_of(settings, load), InFlightRequests()

    def on_loaded() -> None:
        if model_pool.error is not None:
            log.error("openclip-api: %s", model_pool.error)
            server.should_exit = True
        elif on_ready is not None:
            on_ready(url)
        else:
            log.info("%s", _greeting(model_pool.default, url))

    config = uvicorn.Config(
        create_app(settings, model_pool, in_flight, fetcher, on_loaded),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=_connection_class(int(settings.max_body_mb * 1e6)),
        ws="none",
        server_header=False,
    )
    server = Server(config, model_pool, in_flight, settings.grace_seconds)
    # Listen before the models load: a port in use ends the start at once, and early clients are not refused.
    listening = _listen(settings.host, settings.port, config.backlog)
    url = _url(listening)
    log.info("openclip-api: loading %s; %s/ready tells how far", ", ".join(model_pool.names()), url)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listening])
    return 1 if model_pool.error or in_flight.gave_up else 0


class Server(uvicorn.Server):
    """uvicorn's server with another way to stop.

    When told to stop, it answers the requests in flight, and /ready with 503, for at most `grace_seconds`. After that
    time, or when told a second time, it answers the rest with 503.
    """

    def __init__(
        self, config: uvicorn.Config, model_pool: ModelPool, in_flight: InFlightRequests, grace_seconds: float
    ) -> None:
        super().__init__(config)
        self._model_pool, self._in_flight = model_pool, in_flight
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None

    def handle_exit(self, *_: int | FrameType | None) -> None:
        self._in_flight.stopping = self._model_pool.stopping = True
        is_first = self._deadline is None
        self._deadline = time.monotonic() + (self._grace_seconds if is_first else 0)

    async def on_tick(self, counter: int) -> bool:
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
    report: Report,
) -> Embedder:
    options = replace(settings.load_options, image_formats=settings.served_formats)
    return load(model.source, None, options, model_id=model.model_id, report=report)


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise InvalidSetting(f"cannot listen on HOST={host!r} PORT={port}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise InvalidSetting(f"HOST={host!r}: neither an address nor a name") from error


def _url(listening: socket.socket) -> str:
    """The URL for a program on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
