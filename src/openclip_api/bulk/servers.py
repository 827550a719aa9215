"""Running servers as the engine: each item a request to the one that has the least to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx2
import numpy as np
import orjson
import tenacity

from ..errors import ServerFailed
from ..inputs.images import image_size
from ..runtime.embedding import Embedding, Kind
from .engine import Model
from .items import Unreadable

AT_ONCE = 32  # requests to one server: a batch that is computed, and one that waits
LONGEST_REST = 10.0  # seconds in which a server that did not answer is asked nothing
BUSY = frozenset({429, 502, 503, 504})
ITEMS_FAULT = frozenset({400, 413, 415, 422})
TRIES = 3  # where a server answers 500: what it was short of, such as memory, it may have a moment later
FAILS_AT_ALL = 50  # items in a row that each got nothing but 500: the server's fault, and not the items'


class _Busy(Exception):
    """Ask again, perhaps another server."""


class _Broken(Unreadable):
    """A server's own error."""


@dataclass
class _Server:
    url: str
    in_flight: int = 0
    failures: int = 0  # in a row
    rests_until: float = 0.0


class Servers:
    """Raises ServerFailed: none answers for `patience` seconds, they serve different models, refuse the key, or
    answer nothing but 500."""

    def __init__(
        self, urls: Sequence[str], api_key: str | None, *, patience: float = 300, timeout: float = 120
    ) -> None:
        self._servers = [_Server(url.rstrip("/")) for url in urls]
        self.readers = AT_ONCE * len(urls)
        self._lock = threading.Lock()
        self._broken = 0  # items in a row
        self._client = httpx2.Client(
            timeout=timeout,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            limits=httpx2.Limits(max_connections=self.readers, max_keepalive_connections=self.readers),
        )
        self._retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            wait=tenacity.wait_random_exponential(0.1, LONGEST_REST),
            stop=tenacity.stop_after_delay(patience),
            reraise=True,
        )
        self._try_again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Broken), stop=tenacity.stop_after_attempt(TRIES), reraise=True
        )
        try:
            self.model = self._common_model()
        except BaseException:
            self._client.close()
            raise
        self._client.headers["If-Match"] = f'"{self.model.fingerprint}"'  # a server that comes back with another model

    def start(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        """Asks and waits; the future that comes back is done. Raises Unreadable, ServerFailed, RequestError."""
        size = image_size(content) if isinstance(content, bytes) else None  # a server's answer does not tell it
        body = content if isinstance(content, bytes) else orjson.dumps({"text": content})
        types = {"Content-Type": "image/jpeg" if kind == "image" else "application/json"}  # the bytes decide
        try:
            headers = {**types, "Accept": "application/octet-stream"}
            answer = self._try_again(self._retry, self._ask, body, headers)
        except _Busy as error:
            raise ServerFailed(str(error)) from error
        except _Broken as error:
            self._broken += 1
            if self._broken >= FAILS_AT_ALL:
                raise ServerFailed(f"{FAILS_AT_ALL} items in a row ended with status 500: {error}") from error
            raise
        self._broken = 0
        done = Future[Embedding]()
        done.set_result(Embedding(np.frombuffer(answer, "<f4").astype(np.float32), image_size=size))
        return done

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def _ask(self, body: bytes, headers: dict[str, str]) -> bytes:
        server = self._least_loaded()
        try:
            response = self._client.post(f"{server.url}/embeddings", content=body, headers=headers)
        except httpx2.TransportError as error:
            self._rest(server, None)
            raise _Busy(f"{server.url} does not answer: {type(error).__name__}") from error
        finally:
            with self._lock:
                server.in_flight -= 1
        if response.status_code in BUSY:
            self._rest(server, response.headers.get("Retry-After"))
            raise _Busy(f"{server.url} has no room: status {response.status_code}")
        server.failures = 0
        if response.status_code == 200:
            return response.content
        raise _refusal(server.url, response)

    def _least_loaded(self) -> _Server:
        now = time.monotonic()
        with self._lock:
            server = min(self._servers, key=lambda server: (max(server.rests_until - now, 0), server.in_flight))
            server.in_flight += 1
        return server

    def _rest(self, server: _Server, retry_after: str | None) -> None:
        with self._lock:
            server.failures += 1
            seconds = float(retry_after) if retry_after and retry_after.isdecimal() else 0.1 * 2**server.failures
            server.rests_until = time.monotonic() + min(seconds, LONGEST_REST)

    def _common_model(self) -> Model:
        models = {server.url: self._model_of(server) for server in self._servers}
        first_url, first = next(iter(models.items()))
        for url, model in models.items():
            if model != first:
                raise ServerFailed(
                    f"{url} serves {model.id} with fingerprint {model.fingerprint}, {first_url} {first.id} with "
                    f"{first.fingerprint}: all must serve the same"
                )
        return first

    def _model_of(self, server: _Server) -> Model:
        try:
            response = self._retry(self._info, server)
        except _Busy as error:
            raise ServerFailed(str(error)) from error
        if response.status_code in (401, 403):
            raise _refusal(server.url, response)
        try:
            info: dict[str, Any] = response.json()
            return Model(info["model_id"], info["precision"], info["fingerprint"], info["embed_dim"])
        except (ValueError, KeyError, TypeError) as error:
            raise ServerFailed(
                f"{server.url}/info: status {response.status_code}, not what openclip-api says"
            ) from error

    def _info(self, server: _Server) -> httpx2.Response:
        try:
            response = self._client.get(f"{server.url}/info")
        except httpx2.TransportError as error:
            raise _Busy(f"{server.url} does not answer: {type(error).__name__}") from error
        if response.status_code in BUSY:
            raise _Busy(f"{server.url} is not ready: status {response.status_code}")
        return response


def _refusal(url: str, response: httpx2.Response) -> Exception:
    """What a status says of the item, or of the whole job."""
    status = response.status_code
    if status in (401, 403):
        return ServerFailed(f"{url} refuses the key: set API_KEY to one of its keys")
    if status == 412:
        return ServerFailed(f"{url} now serves another model than when this run began")
    if status not in ITEMS_FAULT and status != 500:
        return ServerFailed(f"{url} answers with status {status}")
    refusal = _Broken if status == 500 else Unreadable
    try:
        error = response.json()["error"]
        return refusal(error["message"].removeprefix(f"{error.get('param')}: "))
    except (ValueError, KeyError, TypeError, AttributeError):
        return refusal(f"the server answers with status {status}")
