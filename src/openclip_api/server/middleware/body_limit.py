"""What a request body may cost: bytes, time, and a share of the memory for all bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import BodyTimeout, QueueFull, TooLarge


class Budget:
    """Bytes of memory that all requests share for what is sent or fetched for them."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0

    def check(self, count: int) -> None:
        """Raises QueueFull where so many more would be too many."""
        if self.held + count > self.max_bytes:
            raise QueueFull("what other requests sent fills the memory for it: try again shortly")

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes bytes, or raises QueueFull; they are given back at the end."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            self.check(count)
            self.held += count
            taken += count

        try:
            yield take
        finally:
            self.held -= taken


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
        read, complete = 0, False
        with self._budget.share() as take:

            async def limited() -> Message:
                nonlocal read, complete
                if complete:
                    return await receive()
                self._check(declared)
                self._budget.check(declared - read)
                message = await self._in_time(receive, deadline)
                count = len(message.get("body", b""))
                read += count
                self._check(read)
                take(count)
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
