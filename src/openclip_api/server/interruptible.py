"""A request that may end before its answer: its client leaves, or the server stops and waits no longer.

uvicorn runs each request in a task of its own. To end the request is to cancel that task: no second one has to watch.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

EarlyEnd: TypeAlias = Literal["client gone", "stopping"]

EXTENSION = "openclip_api.client"  # of an ASGI scope
CANCEL_AGAIN_SECONDS = 1


def _nothing() -> None:
    pass


class Client:
    """Who waits for the answer. The connection puts it into the request's scope, and says when it has left."""

    def __init__(self) -> None:
        self.on_left: Callable[[], None] = _nothing

    def forget(self) -> None:
        self.on_left = _nothing

    @staticmethod
    def of(scope: Any) -> Client | None:
        """None under a server that does not tell, such as Ray Serve's."""
        client: Client | None = scope.get("extensions", {}).get(EXTENSION)
        return client


class Interruptible:
    """The work of the current task, until `finish`."""

    def __init__(self) -> None:
        self.why: EarlyEnd | None = None
        self._task = asyncio.current_task()
        self._cancellations = 0

    def end(self, why: EarlyEnd) -> None:
        """The work gets a CancelledError wherever it waits."""
        if self._task is not None and self.why is None:
            self.why = why
            self._cancel()

    def caught(self) -> bool:
        """Whether the CancelledError that the work ended with came from here. The task may go on then."""
        if self._task is not None and sys.version_info >= (3, 11):
            for _ in range(self._cancellations):
                self._task.uncancel()
        self._task = None
        return self.why is not None

    def finish(self) -> None:
        self._task = None

    def _cancel(self) -> None:
        """Until it ends: before Python 3.11 a time-out of the same moment may take a cancellation for its own."""
        if self._task is not None:
            self._cancellations += 1
            self._task.cancel()
            self._task.get_loop().call_later(CANCEL_AGAIN_SECONDS, self._cancel)
