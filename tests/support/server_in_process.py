"""The application without a process or a socket, asked through ASGI: what `make quick` uses as `server`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from openclip_api.server.app import create_app
from openclip_api.server.in_flight import InFlightRequests
from openclip_api.server.run import model_pool_of
from openclip_api.settings import read_settings

from .raw_http import wait_for
from .server_process import OURS


class ServerInProcess:
    """Has `http` in common with ServerProcess; a test that needs more of a server carries the mark `process`."""

    def __init__(self, http: TestClient) -> None:
        self.http = http


def build_app(*protocols: Any, **settings: Any) -> FastAPI:
    """The application for these settings alone: the environment is not read. The model loads when it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(OURS.match, os.environ):
            patch.delenv(name)
        read = read_settings(**{"decode": "thread"} | {name.lower(): value for name, value in settings.items()})
    return create_app(read, model_pool_of(read), InFlightRequests())


@contextmanager
def serve_in_process(app: FastAPI) -> Iterator[ServerInProcess]:
    """The running application, once its model is loaded."""
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        wait_for(lambda: http.get("/ready").status_code == 200)
        yield ServerInProcess(http)
