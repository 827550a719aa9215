"""The memory that all requests share for their bodies and for the images that are fetched for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import QueueFull
from ..runtime.count import Count


class ByteBudget:
    """At most `max_bytes` are held at once, by all who count in `count`. Use it from one event loop.

    held: how many this process holds now. freed: how many it held before, since somebody set it to 0.
    """

    def __init__(self, max_bytes: int, count: Count | None = None) -> None:
        self.max_bytes = max_bytes
        self._count = count or Count()
        self.freed = 0

    @property
    def held(self) -> int:
        return self._count.own

    def check(self, count: int) -> None:
        """Raises QueueFull if `count` more bytes do not fit."""
        if self._count.total + count > self.max_bytes:
            raise QueueFull("the bodies of other requests fill MAX_QUEUE_MB: try again shortly")

    @contextmanager
    def reservation(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that reserves so many bytes or raises QueueFull. The end of the block frees them all."""
        reserved = 0

        def reserve(count: int) -> None:
            nonlocal reserved
            self._count.add(count)  # before the look at the sum: two workers at once never hold too much
            try:
                self.check(0)
            except QueueFull:
                self._count.add(-count)
                raise
            reserved += count

        try:
            yield reserve
        finally:
            self._count.add(-reserved)
            self.freed += reserved
