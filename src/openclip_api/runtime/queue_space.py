"""How much may be in flight at once: items, and the bytes that they hold."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..errors import QueueFull, TooLarge


class QueueSpace:
    """Safe to use from several threads. `items` and `bytes` tell how much is in flight."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.items = 0
        self.bytes = 0
        self._released = threading.Condition()

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
            if self.items + count > self.max_items:
                raise QueueFull(f"{self.items} items are waiting, at most {self.max_items} may: try again shortly")
            if self.bytes + size > self.max_bytes:
                raise QueueFull(f"what waits fills {self.max_bytes / 1e6:g} MB: try again shortly")
            self._take(count, size)

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
        self.items += items
        self.bytes += size
