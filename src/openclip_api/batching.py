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

    Jobs of the same `key` may share a batch; in it each costs as much as the one of the largest `size`.
    """

    key: Hashable
    item: Any = None
    size: int = 0
    future: Future[Result] = field(default_factory=Future)
    seconds: dict[str, float] = field(default_factory=dict)
    queued_at: float = 0.0


class Batcher(Generic[Item, Result]):
    """Runs jobs through `run(key, items)`, which returns one result per item in their order.

    A batch that fails, or gives another number of results, is halved and run again until what fails
    stands alone: only those jobs get the error, and the thread goes on. A job whose future is cancelled
    while it waits is dropped at once. spare: how much size may be for nothing in one batch.
    """

    def __init__(self, run: Callable[[Hashable, list[Item]], Sequence[Result]], max_batch: int, spare: int = 0) -> None:
        self._run = run
        self._max_batch = max_batch
        self._spare = spare
        self._waiting: list[Job[Result]] = []
        self._busy_since: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def put(self, job: Job[Result]) -> None:
        job.queued_at = time.perf_counter()
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        job.future.add_done_callback(lambda future: self._forget(job) if future.cancelled() else None)

    @property
    def busy_seconds(self) -> float:
        """How long the batch under way has been running; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.perf_counter() - since

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _forget(self, job: Job[Result]) -> None:
        """While the engine hangs nothing is taken from the queue: what was given up must not pile up there."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if running:
                self._busy_since = time.perf_counter()
                self._run_batch(running)
                self._busy_since = None

    def _next_batch(self) -> list[Job[Result]]:
        """The oldest job and what may share its batch; empty once closed and done."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return []
            key = self._waiting[0].key
            batch = fitting([job for job in self._waiting if job.key == key], self._spare)[: self._max_batch]
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
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            half = len(batch) // 2
            self._run_batch(batch[:half])
            self._run_batch(batch[half:])
            return
        finished = time.perf_counter()
        for job, result in zip(batch, results, strict=True):
            job.seconds["queue"] = started - job.queued_at
            job.seconds["compute"] = finished - started
            job.future.set_result(result)


def fitting(jobs: Sequence[Job[Result]], spare: int) -> list[Job[Result]]:
    """The first job and those of about its size, in their order.

    From the smallest up, jobs are put together as long as what they fall short of the largest adds up to no more
    than `spare`; with what goes beyond, the next lot starts. The first job's lot it is.
    """
    lot: list[Job[Result]] = []
    total = 0
    for job in sorted(jobs, key=lambda job: job.size):
        if len(lot) * job.size - total > spare:
            if any(member is jobs[0] for member in lot):
                break
            lot, total = [], 0
        lot.append(job)
        total += job.size
    members = set(map(id, lot))
    return [job for job in jobs if id(job) in members]
