"""The requests in flight: accepted, and not answered yet."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

EarlyEnd: TypeAlias = Literal["client gone", "stopping"]
RequestEnd: TypeAlias = asyncio.Future[EarlyEnd]


class InFlightRequests:
    """Counts the requests in flight, so that a server that stops can wait for them or give them up.

    A request is known by a future. Whoever gives the request up sets the future's result to the reason.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.gave_up = False
        self._ends: set[RequestEnd] = set()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self) -> RequestEnd:
        """A request that comes while the server stops is answered, but the stop does not wait for it."""
        end: RequestEnd = asyncio.get_running_loop().create_future()
        if not self.stopping:
            self._ends.add(end)
        return end

    def discard(self, end: RequestEnd) -> None:
        self._ends.discard(end)

    def give_up(self) -> None:
        """End all requests that are left: each is answered with 503."""
        self.gave_up = True
        for end in self._ends:
            if not end.done():
                end.set_result("stopping")
