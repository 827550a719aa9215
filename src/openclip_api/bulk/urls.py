"""Image URLs in a table, fetched as the server fetches them: from public addresses only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import cache

from ..fetch.fetcher import CONCURRENT, ImageFetcher


class UrlReader:
    """ImageFetcher for callers in threads. It runs on an event loop of its own, which starts with the first URL."""

    def __init__(self, hosts: Iterable[str], max_bytes: int, seconds: float) -> None:
        self._hosts, self._max_bytes, self._seconds = tuple(hosts), max_bytes, seconds
        self._lock = threading.Lock()
        # A fetch that waits inside the fetcher uses up its seconds there, so the others wait here.
        self._slots = threading.Semaphore(CONCURRENT)
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
        with self._slots:
            return asyncio.run_coroutine_threadsafe(self._fetcher.fetch(url), self._loop).result()

    def __reduce__(self) -> tuple[Callable[..., UrlReader], tuple[tuple[str, ...], int, float]]:
        return _reader, (self._hosts, self._max_bytes, self._seconds)


@cache  # one event loop in a process that unpickles, however many shards bring a reader with them
def _reader(hosts: tuple[str, ...], max_bytes: int, seconds: float) -> UrlReader:
    return UrlReader(hosts, max_bytes, seconds)
