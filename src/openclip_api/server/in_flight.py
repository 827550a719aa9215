"""The requests in flight: accepted, and not answered yet."""

from __future__ import annotations

from .interruptible import Interruptible


class InFlightRequests:
    """Counts the requests in flight, so that a server that stops can wait for them or give them up."""

    def __init__(self) -> None:
        self.stopping = False
        self.gave_up = False
        self._requests: set[Interruptible] = set()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Interruptible) -> None:
        """A request that comes while the server stops is answered, but the stop does not wait for it."""
        if not self.stopping:
            self._requests.add(request)

    def discard(self, request: Interruptible) -> None:
        self._requests.discard(request)

    def give_up(self) -> None:
        """End all requests that are left: each is answered with 503."""
        self.gave_up = True
        for request in self._requests:
            request.end("stopping")
