"""A request from its headers to its answer: counted for a graceful stop, given up when its client leaves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import NotReady
from ..shared.answer import request_error_response

REFUSING_SECONDS = 1
STOPPING = "the server is stopping: send the request again, elsewhere or shortly"


class Accepted:
    """The requests that are not answered yet, and whether new ones are still taken."""

    def __init__(self) -> None:
        self.stopping = False
        self.gave_up = False
        self._requests: set[_Request] = set()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: _Request) -> None:
        """What comes while stopping is answered, but not waited for."""
        if not self.stopping:
            self._requests.add(request)

    def discard(self, request: _Request) -> None:
        self._requests.discard(request)

    def give_up(self) -> None:
        """Answer all that is left with 503."""
        self.gave_up = True
        for request in self._requests:
            request.end("stopping")


class Accept:
    """ASGI middleware around `accepted`.

    A client that leaves ends the work on its request, wherever that is. While stopping, reading a body raises
    NotReady; routes without a body go on answering.
    """

    def __init__(self, app: ASGIApp, accepted: Accepted) -> None:
        self._app = app
        self._accepted = accepted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = _Request(receive, send, self._accepted)
        self._accepted.add(request)
        task: asyncio.Future[Any] = asyncio.ensure_future(self._app(scope, request.receive, request.send))
        watching = asyncio.ensure_future(request.watch())
        try:
            await asyncio.wait([task, request.ended], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.cancel()
            await asyncio.wait([task])
            scope["state"]["ended"] = request.ended.result()
            if not request.is_answered and request.ended.result() == "stopping":
                await request_error_response(scope, NotReady(STOPPING))(scope, receive, request.send)
        finally:
            watching.cancel()
            task.cancel()
            await asyncio.wait([task])
            self._accepted.discard(request)
        return None


class _Request:
    def __init__(self, receive: Receive, send: Send, accepted: Accepted) -> None:
        self._receive, self._send = receive, send
        self._accepted = accepted
        self._refused = accepted.stopping
        self._body_read = asyncio.Event()
        self._complete = False
        self.is_answered = False
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)

    async def receive(self) -> Message:
        if self._refused:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._discard(), REFUSING_SECONDS)
            raise NotReady(STOPPING)
        if self._body_read.is_set():  # the watch has the only reader
            await asyncio.wait([self.ended])
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.end("client gone")
        elif not message.get("more_body", False):
            self._body_read.set()
        return message

    async def _discard(self) -> None:
        """A connection that is closed on a body that still comes may lose the answer too."""
        while (await self._receive()).get("more_body", False):
            pass
        self._body_read.set()

    async def watch(self) -> None:
        """Once the body is read the next message can only be that the client has left, or has its answer."""
        await self._body_read.wait()
        await self._receive()
        if not self._complete:
            self.end("client gone")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_answered = True
            if self._accepted.stopping and self._body_read.is_set():
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        elif not message.get("more_body", False):
            self._complete = True
        await self._send(message)
