"""What a request body may cost: bytes, time, and a share of the memory for all bodies."""

from __future__ import annotations

import asyncio

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import BodyTimeout, TooLarge
from ..byte_budget import ByteBudget


class BodyLimit:
    """ASGI middleware: reading a body raises an error as soon as the body is too much, or declares to be.

    TooLarge: it is over `max_bytes`. QueueFull: the bodies of all requests would be over `byte_budget`. BodyTimeout:
    its end did not come within `seconds` after its headers. The budget counts the bytes that have arrived, so a slow
    sender holds no more than it has sent.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, byte_budget: ByteBudget, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._byte_budget = byte_budget
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = dict(scope["headers"]).get(b"content-length", b"")
        declared = int(length) if length.isdigit() and len(length) < 20 else 0
        deadline = asyncio.get_running_loop().time() + self._seconds
        read, complete = 0, False
        with self._byte_budget.reservation() as reserve:

            async def limited() -> Message:
                nonlocal read, complete
                if complete:
                    return await receive()
                self._check(declared)
                self._byte_budget.check(declared - read)
                message = await self._in_time(receive, deadline)
                count = len(message.get("body", b""))
                read += count
                self._check(read)
                reserve(count)
                complete = not message.get("more_body", False)
                return message

            return await self._app(scope, limited, send)

    def _check(self, total: int) -> None:
        if total > self._max_bytes:
            raise TooLarge(f"the body is larger than {self._max_bytes / 1e6:g} MB", "body")

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        # not asyncio.wait_for: before Python 3.12 that starts a task for each piece of the body
        try:
            with anyio.fail_after(max(deadline - asyncio.get_running_loop().time(), 0)):
                return await receive()
        except TimeoutError as error:
            raise BodyTimeout(f"the body did not arrive within {self._seconds:g} seconds", "body") from error
