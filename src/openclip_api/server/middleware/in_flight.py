"""Follows a request from its headers to its answer, so that a stop can wait for it and a client can leave it."""

from __future__ import annotations

import asyncio

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import NotReady
from ..context import state_of
from ..in_flight import InFlightRequests
from ..interruptible import Client, Interruptible
from ..shared.answer import request_error_response

REFUSING_SECONDS = 1
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
        request = _Request(scope, receive, send, self._in_flight)
        self._in_flight.add(request)
        try:
            await self._app(scope, request.receive, request.send)
        except asyncio.CancelledError:
            if not request.caught():
                raise
            if request.why == "client gone":
                state_of(scope).client_gone = True
            elif not request.is_answered:
                await request_error_response(scope, NotReady(STOPPING))(scope, receive, request.send)
        finally:
            request.finish()
            self._in_flight.discard(request)


class _Request(Interruptible):
    """One request's channels to its client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, in_flight: InFlightRequests) -> None:
        super().__init__()
        self._receive, self._send = receive, send
        self._in_flight = in_flight
        self._is_refused = in_flight.stopping
        self._body_read = self._complete = False
        self._watching: asyncio.Task[None] | None = None
        self._client = Client.of(scope)
        if self._client is not None:
            self._client.on_left = self._left
        self.is_answered = False

    async def receive(self) -> Message:
        if self._is_refused:
            with anyio.move_on_after(REFUSING_SECONDS):
                await self._discard_body()
            raise NotReady(STOPPING)
        if self._body_read:  # what comes next can only tell that the client has left, and then the work is cancelled
            await asyncio.get_running_loop().create_future()
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.why = "client gone"
            raise asyncio.CancelledError
        if not message.get("more_body", False):
            self._body_read = True
            if self._client is None:
                self._watching = asyncio.create_task(self._watch())
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_answered = True
            if self._in_flight.stopping and self._body_read:
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        elif not message.get("more_body", False):
            self._complete = True
        await self._send(message)

    def finish(self) -> None:
        super().finish()
        if self._client is not None:
            self._client.forget()  # else the two would keep each other, and the body, in memory
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        """For a server that tells of a client that leaves by a message alone."""
        await self._receive()
        self._left()

    async def _discard_body(self) -> None:
        """If the connection closed while the body still comes, the client might not get the answer."""
        while (await self._receive()).get("more_body", False):
            pass
        self._body_read = True

    def _left(self) -> None:
        if not self._complete:
            self.end("client gone")
