"""What a request body may cost: bytes, time, and a share of the memory for all bodies."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BodyTimeout, QueueFull, TooLarge


class Budget:
    """Bytes that all requests share."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0

    def has(self, count: int) -> bool:
        return self.held + count <= self.max_bytes


class BodyLimit:
    """ASGI middleware: reading a body raises an error as soon as it is, or declares to be, too much.

    TooLarge over `max_bytes`; QueueFull where the bodies of all requests under way would be over `budget`;
    BodyTimeout where it is not there `seconds` after its headers. A body counts as it arrives, so that slow
    senders hold no more than they sent.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, budget: Budget, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._budget = budget
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = dict(scope["headers"]).get(b"content-length", b"")
        declared = int(length) if length.isdigit() and len(length) < 20 else 0
        deadline = asyncio.get_running_loop().time() + self._seconds
        read, taken, complete = 0, 0, False

        async def limited() -> Message:
            nonlocal read, taken, complete
            if complete:
                return await receive()
            self._check(max(declared, read), declared - read)
            message = await self._in_time(receive, deadline)
            count = len(message.get("body", b""))
            read += count
            self._check(read, count)
            self._budget.held += count
            taken += count
            complete = not message.get("more_body", False)
            return message

        try:
            return await self._app(scope, limited, send)
        finally:
            self._budget.held -= taken

    def _check(self, total: int, more: int) -> None:
        if total > self._max_bytes:
            raise TooLarge(f"the body is larger than {self._max_bytes / 1e6:g} MB", "body")
        if not self._budget.has(more):
            raise QueueFull("the bodies under way fill the server's memory for them: try again shortly")

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        left = deadline - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(receive(), max(left, 0))
        except asyncio.TimeoutError as error:  # before Python 3.11 another class than TimeoutError
            raise BodyTimeout(f"the body did not arrive within {self._seconds:g} seconds", "body") from error
