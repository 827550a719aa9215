"""What the workers of a server count together: a table in memory that all of them map, and that no file names.

The system frees it with the last process that has it, however that ends. A worker writes its own parts alone.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import NamedTuple

from ..runtime.count import Count

CELL_BYTES = 8
SERVING, CONNECTIONS, BODY_BYTES, QUEUES = range(4)  # columns; from QUEUES on two for each model


class QueueCounts(NamedTuple):
    items: Count
    bytes: Count


class WorkerTable:
    """Columns of one number for each worker. The supervisor makes it; the workers open it by its descriptor."""

    def __init__(self, fd: int, workers: int, models: int) -> None:
        self.fd = fd
        self._workers, self._columns = workers, QUEUES + 2 * models
        size = CELL_BYTES * workers * self._columns
        os.ftruncate(fd, size)
        self._cells = memoryview(mmap.mmap(fd, size)).cast("q")

    @classmethod
    def create(cls, workers: int, models: int) -> WorkerTable:
        return cls(_anonymous_file(), workers, models)

    @property
    def is_serving(self) -> bool:
        """Whether all workers were ready at one time."""
        return Count(self._column(SERVING)).total > 0

    def set_serving(self) -> None:
        self._column(SERVING)[0] = 1

    @property
    def connections(self) -> memoryview[int]:
        """See Acceptor."""
        return self._column(CONNECTIONS)

    def body_bytes(self, worker: int) -> Count:
        return Count(self._column(BODY_BYTES), worker)

    def queue(self, model: int, worker: int) -> QueueCounts:
        items, bytes = (Count(self._column(QUEUES + 2 * model + number), worker) for number in range(2))
        return QueueCounts(items, bytes)

    def forget(self, worker: int) -> None:
        """The worker has ended: what it held is free."""
        for column in range(CONNECTIONS, self._columns):
            self._column(column)[worker] = 0

    def _column(self, number: int) -> memoryview[int]:
        return self._cells[number * self._workers : (number + 1) * self._workers]


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("openclip-api workers")
    with tempfile.TemporaryFile() as file:  # macOS: it has no name from the start
        return os.dup(file.fileno())
