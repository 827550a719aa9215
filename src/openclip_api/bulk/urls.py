"""Image URLs in a table, fetched through the server's guard: from public addresses only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from ..fetch.fetcher import CONCURRENT, ImageFetcher


class UrlReader:
    """Gives threads what ImageFetcher gives an event loop. The loop starts with the first URL."""

    def __init__(self, hosts: Iterable[str], max_bytes: int, seconds: float) -> None:
        self._hosts, self._max_bytes, self._seconds = tuple(hosts), max_bytes, seconds
        self._lock = threading.Lock()
        self._places = threading.Semaphore(CONCURRENT)  # one that waits in the fetcher spends its seconds there
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fetcher: ImageFetcher | None = None

    def fetch(self, url: str) -> bytes:
        """Raises RequestError: InvalidInput, TooLarge, ImageUnreachable, DeadlineExceeded."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True).start()
                self._fetcher = ImageFetcher(self._hosts, max_bytes=self._max_bytes, seconds=self._seconds)
        assert self._fetcher is not None
        with self._places:
            return asyncio.run_coroutine_threadsafe(self._fetcher.fetch(url), self._loop).result()

    def __reduce__(self) -> Any:
        return _reader, (self._hosts, self._max_bytes, self._seconds)


@cache  # of a process that unpickles: one loop, however many shards come with a reader
def _reader(hosts: tuple[str, ...], max_bytes: int, seconds: float) -> UrlReader:
    return UrlReader(hosts, max_bytes, seconds)
