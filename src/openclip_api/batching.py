"""What waits when the engine comes free is the next batch.

One queue, one thread, no timer: an idle engine starts at once, a busy one finds a larger batch
when it comes back. Knows nothing of what it runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class Job(Generic[Result]):
    """One item on its way: `future` gives its result, `seconds` how long each stage took.

    Jobs of the same `key` may share a batch.
    """

    key: Hashable
    item: Any = None
    future: Future[Result] = field(default_factory=Future)
    seconds: dict[str, float] = field(default_factory=dict)
    queued_at: float = 0.0


class Batcher(Generic[Item, Result]):
    """Runs jobs through `run(key, items)`, which returns one result per item in their order.

    A failed batch fails each of its jobs with the same error; the thread goes on. A job whose
    future was cancelled while it waited is dropped before it costs anything.
    """

    def __init__(self, run: Callable[[Hashable, list[Item]], Sequence[Result]], max_batch: int) -> None:
        self._run = run
        self._max_batch = max_batch
        self._waiting: list[Job[Result]] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def put(self, job: Job[Result]) -> None:
        job.queued_at = time.perf_counter()
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if running:
                self._run_batch(running)

    def _next_batch(self) -> list[Job[Result]]:
        """The oldest job and what may share its batch; empty once closed and done."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return []
            key = self._waiting[0].key
            batch = [job for job in self._waiting if job.key == key][: self._max_batch]
            taken = set(map(id, batch))
            self._waiting = [job for job in self._waiting if id(job) not in taken]
            return batch

    def _run_batch(self, batch: list[Job[Result]]) -> None:
        started = time.perf_counter()
        try:
            results = self._run(batch[0].key, [job.item for job in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")  # noqa: TRY301
        except Exception as error:  # whatever the engine raises belongs to this batch alone
            for job in batch:
                job.future.set_exception(error)
            return
        finished = time.perf_counter()
        for job, result in zip(batch, results, strict=True):
            job.seconds["queue"] = started - job.queued_at
            job.seconds["compute"] = finished - started
            job.future.set_result(result)
