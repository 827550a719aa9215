"""Follows a request from its headers to its answer, so that a stop can wait for it and a client can leave it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import NotReady
from ..context import state_of
from ..in_flight import EarlyEnd, InFlightRequests
from ..shared.answer import request_error_response

REFUSING_SECONDS = 1
CANCEL_AGAIN_SECONDS = 1
STOPPING = "the server is stopping: send the request again, elsewhere or shortly"


class TrackInFlight:
    """ASGI middleware: keeps `in_flight` up to date.

    When a client leaves, the work on its request is cancelled, wherever that is. While the server stops, reading a
    body raises NotReady; routes that read no body still answer.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlightRequests) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(receive, send, self._in_flight)
        task: asyncio.Future[Any] = asyncio.ensure_future(self._app(scope, request.receive, request.send))
        watching = asyncio.ensure_future(request.watch())
        try:
            either: list[asyncio.Future[Any]] = [task, request.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()  # raises what the application raised
                return
            await _end(task)
            if request.ended.result() == "client gone":
                state_of(scope).client_gone = True
            elif not request.is_answered:
                await request_error_response(scope, NotReady(STOPPING))(scope, receive, request.send)
        finally:
            watching.cancel()
            try:
                await _end(task)
            finally:
                self._in_flight.discard(request.ended)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel it until it ends: before Python 3.11 a time-out of the same moment may take a cancellation for its own."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)


class _Request:
    """One request's channels to its client, and the future that tells why it ended early."""

    def __init__(self, receive: Receive, send: Send, in_flight: InFlightRequests) -> None:
        self._receive, self._send = receive, send
        self._in_flight = in_flight
        self._refused = in_flight.stopping
        self._body_read = asyncio.Event()
        self._complete = False
        self.is_answered = False
        self.ended = in_flight.add()

    async def receive(self) -> Message:
        if self._refused:
            with anyio.move_on_after(REFUSING_SECONDS):
                await self._discard_body()
            raise NotReady(STOPPING)
        if self._body_read.is_set():  # `watch` is the only one that may read now
            await asyncio.wait([self.ended])
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._end("client gone")
        elif not message.get("more_body", False):
            self._body_read.set()
        return message

    async def watch(self) -> None:
        """After the body, the next message can only tell that the client has left, or that it has its answer."""
        await self._body_read.wait()
        await self._receive()
        if not self._complete:
            self._end("client gone")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_answered = True
            if self._in_flight.stopping and self._body_read.is_set():
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        elif not message.get("more_body", False):
            self._complete = True
        await self._send(message)

    async def _discard_body(self) -> None:
        """If the connection closed while the body still comes, the client might not get the answer."""
        while (await self._receive()).get("more_body", False):
            pass
        self._body_read.set()

    def _end(self, why: EarlyEnd) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
