"""The memory that all requests share for their bodies and for the images that are fetched for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import QueueFull


class ByteBudget:
    """At most `max_bytes` are held at once. Use it from one event loop.

    held: how many are held now. freed: how many were held before, since somebody set it to 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = self.freed = 0

    def check(self, count: int) -> None:
        """Raises QueueFull if `count` more bytes do not fit."""
        if self.held + count > self.max_bytes:
            raise QueueFull("what other requests sent fills the memory for it: try again shortly")

    @contextmanager
    def reservation(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that reserves so many bytes or raises QueueFull. The end of the block frees them all."""
        reserved = 0

        def reserve(count: int) -> None:
            nonlocal reserved
            self.check(count)
            self.held += count
            reserved += count

        try:
            yield reserve
        finally:
            self.held -= reserved
            self.freed += reserved
