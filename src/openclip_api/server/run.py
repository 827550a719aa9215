"""The running server: bind, answer while the model loads, stop when told."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Any

import PIL
import uvicorn

from ..errors import InvalidSetting, MissingExtra
from ..fetch.fetcher import ImageFetcher
from ..runtime.embedder import Embedder
from ..runtime.loader import load
from ..settings import Settings
from .app import create_app
from .log import set_up
from .middleware.in_flight import Accepted
from .model_pool import Shelf
from .model_slot import Load, Loading

log = logging.getLogger("openclip_api")

SAFE_PILLOW = 13  # CVE-2026-112403


def run(settings: Settings, load: Callable[..., Embedder] = load, fetcher: ImageFetcher | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    `load` is called as loader.load is; `fetcher` takes the place of what the settings ask for. Returns the exit
    code: 1 where the model could not be loaded, or where requests were left when the time for stopping was over.
    """
    log_writer = set_up(settings.log_level, settings.log_format)
    try:
        return _run(settings, load, fetcher or image_fetcher(settings))
    finally:
        log_writer.close()


def image_fetcher(settings: Settings) -> ImageFetcher | None:
    """None where image URLs are not to be fetched."""
    if not settings.allow_image_urls:
        return None
    return ImageFetcher(settings.url_hosts, max_bytes=int(settings.max_body_mb * 1e6), seconds=settings.url_timeout)


def shelf_of(settings: Settings, load: Callable[..., Embedder] = load) -> Shelf:
    """The models that the settings name. Raises MissingExtra."""
    if settings.store is not None and find_spec("lancedb") is None:
        raise MissingExtra("STORE needs lancedb: pip install 'openclip-api[search]'")
    loads: dict[str, Load] = {
        key: partial(_load, load, settings, name, tag, model_id)
        for key, (name, tag, model_id) in settings.served_models.items()
    }
    return Shelf(loads, settings.max_loaded_models)


def _run(settings: Settings, load: Callable[..., Embedder], fetcher: ImageFetcher | None) -> int:
    if int(PIL.__version__.split(".")[0]) < SAFE_PILLOW:
        log.warning(
            "openclip-api: Pillow %s has known holes in its JPEG and TIFF decoders: on Python 3.11 or newer, "
            "`pip install 'pillow>=%d'` closes them",
            PIL.__version__,
            SAFE_PILLOW,
        )
    shelf, accepted = shelf_of(settings, load), Accepted()

    def on_loaded() -> None:
        if shelf.error is None:
            log.info("%s", _greeting(shelf.default, url))
        else:
            log.error("openclip-api: %s", shelf.error)
            server.should_exit = True

    config = uvicorn.Config(
        create_app(settings, shelf, accepted, fetcher, on_loaded),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=_connection_class(),
        ws="none",
        server_header=False,
    )
    server = Server(config, shelf, accepted, settings.grace_seconds)
    # Before the model loads: a taken port is told at once, and early clients wait instead of being refused.
    listening = _listen(settings.host, settings.port, config.backlog)
    url = _url(listening)
    log.info("openclip-api: loading %s; %s/ready tells how far", ", ".join(shelf.names()), url)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listening])
    return 1 if shelf.error or accepted.gave_up else 0


class Server(uvicorn.Server):
    """Told to stop, goes on answering what it has accepted, and /ready with 503, for up to `grace_seconds`.

    After that, or when told once more, the rest is answered with 503.
    """

    def __init__(self, config: uvicorn.Config, shelf: Shelf, accepted: Accepted, grace_seconds: float) -> None:
        super().__init__(config)
        self._shelf, self._accepted = shelf, accepted
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None

    def handle_exit(self, *_: int | FrameType | None) -> None:
        self._accepted.stopping = self._shelf.stopping = True
        is_first = self._deadline is None
        self._deadline = time.monotonic() + (self._grace_seconds if is_first else 0)

    async def on_tick(self, counter: int) -> bool:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if not len(self._accepted):
                self.should_exit = True
                self.config.timeout_graceful_shutdown = max(1, int(left))  # for answers still on the wire
            elif left <= 0:
                log.warning("openclip-api: stopping with %d requests unanswered", len(self._accepted))
                self._accepted.give_up()
                self.should_exit = True
                self.config.timeout_graceful_shutdown = 1
        return await super().on_tick(counter)


def _connection_class() -> Any:
    if sys.platform == "win32":  # no httptools there
        return "auto"
    from .connection import Connection

    return Connection


def _load(
    load: Callable[..., Embedder],
    settings: Settings,
    name: str,
    tag: str | None,
    model_id: str | None,
    report: Callable[[str, int, int], None],
) -> Embedder:
    return load(name, tag, settings.load_options, model_id=model_id, report=report)


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise InvalidSetting(f"cannot listen on HOST={host} PORT={port}: {error.strerror}") from error


def _url(listening: socket.socket) -> str:
    """Where a program on this machine reaches it."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greeting(loading: Loading, url: str) -> str:
    info = loading.embedder.info
    body = json.dumps({"text": "red sofa"})
    return (
        f"openclip-api: {info.model_id} is ready after {loading.seconds:.1f} s ({info.precision}, "
        f"{info.embed_dim} dimensions, fingerprint {info.fingerprint})\n\n"
        f"Try it:  curl {url}/embeddings -H 'Content-Type: application/json' -d '{body}'\n"
        f"Docs:    {url}/docs\n"
    )
