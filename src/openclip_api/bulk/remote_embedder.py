"""Embed on running servers: each item is a request to the server with the fewest requests in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

import httpx2
import numpy as np
import orjson
import tenacity

from ..errors import ServerFailed
from ..inputs.images import image_size
from ..runtime.embedding import Embedding, Kind
from .items import Unreadable
from .ledger import ModelIdentity

REQUESTS_PER_SERVER = 32  # in flight: a batch that is computed, and one that waits
LONGEST_PAUSE = 10.0  # seconds without requests to a server that did not answer
BUSY = frozenset({429, 502, 503, 504})
ITEMS_FAULT = frozenset({400, 413, 415, 422})
TRIES = 3  # after status 500, which may be due to a shortage that passes, such as of memory
MAX_BROKEN_ITEMS = 50  # so many items in a row that got nothing but 500 show that the items are not at fault


class _Busy(Exception):
    """Ask again, perhaps another server."""


class _InternalError(Unreadable):
    """Status 500."""


@dataclass
class _Server:
    url: str
    in_flight: int = 0
    failures: int = 0  # in a row
    paused_until: float = 0.0


class RemoteEmbedder:
    """Raises ServerFailed: for `patience` seconds no server answers, they serve different models or refuse the key, or
    items get nothing but status 500."""

    def __init__(
        self, urls: Sequence[str], api_key: str | None, *, patience: float = 300, timeout: float = 120
    ) -> None:
        self._servers = [_Server(url.rstrip("/")) for url in urls]
        self.reader_threads = REQUESTS_PER_SERVER * len(urls)
        self._lock = threading.Lock()
        self._broken_items = 0  # in a row
        self._client = httpx2.Client(
            timeout=timeout,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            limits=httpx2.Limits(max_connections=self.reader_threads, max_keepalive_connections=self.reader_threads),
        )
        self._retry_busy = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            wait=tenacity.wait_random_exponential(0.1, LONGEST_PAUSE),
            stop=tenacity.stop_after_delay(patience),
            reraise=True,
        )
        self._retry_internal_errors = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_InternalError),
            stop=tenacity.stop_after_attempt(TRIES),
            reraise=True,
        )
        try:
            self.model = self._common_model()
        except BaseException:
            self._client.close()
            raise
        # A server that was restarted with another model refuses this.
        self._client.headers["If-Match"] = f'"{self.model.fingerprint}"'

    def submit_blocking(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        """Send a request and wait for its answer: the future is done. Raises Unreadable, ServerFailed, RequestError."""
        size = image_size(content) if isinstance(content, bytes) else None  # the server's answer has vectors only
        body = content if isinstance(content, bytes) else orjson.dumps({"text": content})
        content_type = "image/jpeg" if kind == "image" else "application/json"  # the bytes tell the format
        headers = {"Content-Type": content_type, "Accept": "application/octet-stream"}
        try:
            answer = self._retry_internal_errors(self._retry_busy, self._ask, body, headers)
        except _Busy as error:
            raise ServerFailed(str(error)) from error
        except _InternalError as error:
            self._broken_items += 1
            if self._broken_items >= MAX_BROKEN_ITEMS:
                raise ServerFailed(f"{MAX_BROKEN_ITEMS} items in a row ended with status 500: {error}") from error
            raise
        self._broken_items = 0
        done = Future[Embedding]()
        done.set_result(Embedding(np.frombuffer(answer, "<f4").astype(np.float32), image_size=size))
        return done

    def __enter__(self) -> RemoteEmbedder:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def _ask(self, body: bytes, headers: dict[str, str]) -> bytes:
        server = self._least_loaded()
        try:
            response = self._client.post(f"{server.url}/embeddings", content=body, headers=headers)
        except httpx2.TransportError as error:
            self._pause(server, None)
            raise _Busy(f"{server.url} does not answer: {type(error).__name__}") from error
        finally:
            with self._lock:
                server.in_flight -= 1
        if self._client.is_closed:  # it does not close what connected later
            response.extensions["network_stream"].close()
        if response.status_code in BUSY:
            self._pause(server, response.headers.get("Retry-After"))
            raise _Busy(f"{server.url} is busy: status {response.status_code}")
        server.failures = 0
        if response.status_code == 200:
            return response.content
        raise _refusal(server.url, response)

    def _least_loaded(self) -> _Server:
        now = time.monotonic()
        with self._lock:
            server = min(self._servers, key=lambda server: (max(server.paused_until - now, 0), server.in_flight))
            server.in_flight += 1
        return server

    def _pause(self, server: _Server, retry_after: str | None) -> None:
        with self._lock:
            server.failures += 1
            seconds = float(retry_after) if retry_after and retry_after.isdecimal() else 0.1 * 2**server.failures
            server.paused_until = time.monotonic() + min(seconds, LONGEST_PAUSE)

    def _common_model(self) -> ModelIdentity:
        models = {server.url: self._model_of(server) for server in self._servers}
        first_url, first = next(iter(models.items()))
        for url, model in models.items():
            if model != first:
                raise ServerFailed(
                    f"{url} serves {model.id} with fingerprint {model.fingerprint}, {first_url} {first.id} with "
                    f"{first.fingerprint}: all must serve the same"
                )
        return first

    def _model_of(self, server: _Server) -> ModelIdentity:
        try:
            response = self._retry_busy(self._model_info, server)
        except _Busy as error:
            raise ServerFailed(str(error)) from error
        if response.status_code in (401, 403):
            raise _refusal(server.url, response)
        try:
            info = response.json()
            return ModelIdentity(info["model_id"], info["precision"], info["fingerprint"], info["embed_dim"])
        except (ValueError, KeyError, TypeError) as error:
            raise ServerFailed(
                f"{server.url}/info: status {response.status_code}, not what openclip-api says"
            ) from error

    def _model_info(self, server: _Server) -> httpx2.Response:
        try:
            response = self._client.get(f"{server.url}/info")
        except httpx2.TransportError as error:
            raise _Busy(f"{server.url} does not answer: {type(error).__name__}") from error
        if response.status_code in BUSY:
            raise _Busy(f"{server.url} is not ready: status {response.status_code}")
        return response


def _refusal(url: str, response: httpx2.Response) -> Exception:
    """Unreadable where the status says that the item is at fault, ServerFailed where it ends the run."""
    status = response.status_code
    if status in (401, 403):
        return ServerFailed(f"{url} refuses the key: set API_KEY to one of its keys")
    if status == 412:
        return ServerFailed(f"{url} now serves another model than when this run began")
    if status not in ITEMS_FAULT and status != 500:
        return ServerFailed(f"{url} answers with status {status}")
    refusal = _InternalError if status == 500 else Unreadable
    try:
        error = response.json()["error"]
        return refusal(error["message"].removeprefix(f"{error.get('param')}: "))
    except (ValueError, KeyError, TypeError, AttributeError):
        return refusal(f"the server answers with status {status}")
