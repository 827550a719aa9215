"""Images are decoded in threads of this process: DECODE=thread."""

from __future__ import annotations

import concurrent.futures
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import SHORTAGE, InvalidImage, Overloaded
from .images import Decoded, ReadImage

SECONDS = 10  # for one image, as in decoder_processes.py
TOO_LONG = "the image cannot be decoded: it takes too long"


class DecoderThreads:
    """Does what `read` does, for up to `count` callers at once, each in a thread of its own.

    A thread cannot be ended. One that takes longer than `seconds` is left to itself: its caller gets InvalidImage and
    may go on, and it ends when its image is done, which inputs/structure and the bound on pixels see to. If `count`
    threads are left like that, Overloaded is raised until one of them ends.
    """

    def __init__(self, read: ReadImage, count: int, seconds: float = SECONDS) -> None:
        self._read = read
        self.count = count
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(2 * count, thread_name_prefix="decode")
        self._left = 0
        self._lock = threading.Lock()

    def __call__(self, data: bytes) -> Decoded:
        if self._left >= self.count:
            raise Overloaded(SHORTAGE)
        decoding = self._pool.submit(self._read, data)
        try:
            return decoding.result(self._seconds)
        except concurrent.futures.TimeoutError:  # before Python 3.11 another class than TimeoutError
            self._leave(decoding)
            raise InvalidImage(TOO_LONG) from None
        finally:
            del decoding  # or an error, its frames and the future would form a cycle that holds the bytes

    def close(self) -> None:
        self._pool.shutdown(wait=False)

    def _leave(self, decoding: Future[Decoded]) -> None:
        with self._lock:
            self._left += 1
        decoding.add_done_callback(self._ended)

    def _ended(self, _: Future[Decoded]) -> None:
        with self._lock:
            self._left -= 1
