"""How much may be in flight at once: items, and the bytes that they hold."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..errors import QueueFull, TooLarge
from .count import Count


class QueueSpace:
    """Safe to use from several threads. `items` and `bytes` tell how much this process has in flight."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self._items, self._bytes = Count(), Count()
        self._released = threading.Condition()

    @property
    def items(self) -> int:
        return self._items.own

    @property
    def bytes(self) -> int:
        return self._bytes.own

    def share(self, items: Count, bytes: Count) -> None:
        """From now on the bounds hold for all workers together. Call it while nothing is in flight."""
        self._items, self._bytes = items, bytes

    def reserve_all(self, sizes: Sequence[int]) -> None:
        """Take space for items of these bytes, for all or for none.

        Raises QueueFull, and TooLarge for what does not fit into an empty queue either.
        """
        count, size = len(sizes), sum(sizes)
        if count > self.max_items or size > self.max_bytes:
            raise TooLarge(
                f"the request is larger than the whole queue (MAX_QUEUE={self.max_items}, "
                f"MAX_QUEUE_MB={self.max_bytes / 1e6:g}): send fewer items at once"
            )
        with self._released:
            self._take(count, size)  # before the look at the sum: two workers at once never take too much
            items, bytes = self._items.total, self._bytes.total
            if items <= self.max_items and bytes <= self.max_bytes:
                return
            self._take(-count, -size)
        if items > self.max_items:
            raise QueueFull(
                f"{items - count} items are waiting, at most {self.max_items} may (MAX_QUEUE): try again shortly"
            )
        raise QueueFull(f"the waiting items fill {self.max_bytes / 1e6:g} MB (MAX_QUEUE_MB): try again shortly")

    def reserve_when_free(self, size: int) -> None:
        """Wait until an item of this many bytes fits. One that is larger than the queue gets it alone."""
        with self._released:
            self._released.wait_for(lambda: self.items == 0 or self._fits(size))
            self._take(1, size)

    def release(self, size: int) -> None:
        with self._released:
            self._take(-1, -size)
            self._released.notify_all()

    def _fits(self, size: int) -> bool:
        return self.items < self.max_items and self.bytes + size <= self.max_bytes

    def _take(self, items: int, size: int) -> None:
        self._items.add(items)
        self._bytes.add(size)
