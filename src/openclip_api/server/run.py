"""The running server: bind, answer while the model loads, stop when told."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys

import PIL
import uvicorn

from ..errors import InvalidSetting
from ..loader import load
from ..settings import Settings
from .app import create_app
from .loading import Load, Loading
from .shelf import Shelf

GRACE_SECONDS = 20
SAFE_PILLOW = 13  # CVE-2026-112403


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 1 where the model could not be loaded."""
    log = logging.getLogger("openclip_api")
    log.addHandler(logging.StreamHandler())
    log.setLevel(settings.log_level.upper())
    if int(PIL.__version__.split(".")[0]) < SAFE_PILLOW:
        log.warning(
            "openclip-api: Pillow %s has known holes in its JPEG and TIFF decoders: on Python 3.11 or newer, "
            "`pip install 'pillow>=%d'` closes them",
            PIL.__version__,
            SAFE_PILLOW,
        )
    shelf = Shelf(
        {key: _loader(settings, *model) for key, model in settings.served_models.items()}, settings.max_loaded_models
    )

    def on_loaded() -> None:
        if shelf.error is None:
            print(_greeting(shelf.default, url), file=sys.stderr, flush=True)
        else:
            print(f"openclip-api: {shelf.error}", file=sys.stderr, flush=True)
            server.should_exit = True

    app = create_app(settings, shelf, on_loaded)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning" if settings.log_level == "info" else settings.log_level,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # Before the model loads: a taken port is told at once, and early clients wait instead of being refused.
    listening = _listen(settings.host, settings.port, config.backlog)
    url = _url(listening)
    print(f"openclip-api: loading {', '.join(shelf.names())}; {url}/ready tells how far", file=sys.stderr, flush=True)
    # uvicorn raises the signal that stopped it once more when it is done: a graceful stop is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listening])
    return 1 if shelf.error else 0


def _loader(settings: Settings, name: str, tag: str | None, model_id: str | None) -> Load:
    return lambda report: load(name, tag, model_id=model_id, report=report, **settings.load_options)


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
