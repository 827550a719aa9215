"""What waits when the engine comes free is the next batch.

One queue, one thread: an idle engine starts at once, a busy one finds a larger batch when it comes back.
Knows nothing of what it runs.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

# How soon clients that ask one thing after the other come again. Without this wait eight of them would settle for ever
# into batches of seven and of one that just missed them.
RETURN_SECONDS = 0.008

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
    number: int = 0  # among those of its key that were announced
    queued_at: float = 0.0


class Batcher(Generic[Item, Result]):
    """Runs jobs through `run(key, items)`, which returns one result per item in their order.

    A batch that fails, or gives another number of results, is halved and run again until what fails
    stands alone: only those jobs get the error, and the thread goes on. A job whose future is cancelled
    while it waits is dropped at once. spare: how much size may be for nothing in one batch.

    A pass for one costs nearly as much as one for several, so a batch waits for what is about to come: for jobs of its
    key that were announced with `expect` before its turn came, no longer than that key's last pass took; and right
    after a pass for those who got its answers, as many as ask again within RETURN_SECONDS. A single client waits for
    neither.
    """

    def __init__(self, run: Callable[[Hashable, list[Item]], Sequence[Result]], max_batch: int, spare: int = 0) -> None:
        self._run = run
        self._max_batch = max_batch
        self._spare = spare
        self._waiting: list[Job[Result]] = []
        self._expected: dict[Hashable, dict[int, None]] = {}  # numbers by key, the oldest first
        self._announced: Counter[Hashable] = Counter()  # how many jobs of a key there have been
        self._took: dict[Hashable, float] = {}  # seconds that the last pass of a key took
        self._answered: tuple[Hashable, int] = (None, 0)  # of which key the last pass was, and for how many jobs
        self._busy_since: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def expect(self, job: Job[Result]) -> None:
        """Its item is on its way: `put` or the future's end, however it comes, will follow."""
        with self._changed:
            self._announced[job.key] += 1
            job.number = self._announced[job.key]
            self._expected.setdefault(job.key, {})[job.number] = None
        job.future.add_done_callback(lambda _: self.dismiss(job))

    def dismiss(self, job: Job[Result]) -> None:
        """It will not be put."""
        with self._changed:
            if job.number in self._expected.get(job.key, {}):
                del self._expected[job.key][job.number]
                self._changed.notify()

    def put(self, job: Job[Result]) -> None:
        job.queued_at = time.perf_counter()
        with self._changed:
            self._expected.get(job.key, {}).pop(job.number, None)
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
                self._took[running[0].key] = self.busy_seconds
                self._answered = running[0].key, len(running)
                self._busy_since = None

    def _next_batch(self) -> list[Job[Result]]:
        """The oldest job whose batch is whole, and what may share that; empty once closed and done."""
        turns: dict[Hashable, _Turn] = {}
        with self._changed:
            if self._answered[1]:
                key, count = self._answered
                turns[key] = _Turn(time.perf_counter(), self._took[key], self._announced[key] + count)
            while self._waiting or not self._closed:
                now, wake = time.perf_counter(), math.inf
                for key in dict.fromkeys(job.key for job in self._waiting):
                    turn = turns.setdefault(key, _Turn(now, self._took.get(key, 0.0)))
                    batch = fitting([job for job in self._waiting if job.key == key], self._spare)[: self._max_batch]
                    until = turn.waits_until(now, self._announced[key], next(iter(self._expected.get(key, ())), None))
                    if until <= now or len(batch) == self._max_batch or self._closed:
                        taken = set(map(id, batch))
                        self._waiting = [job for job in self._waiting if id(job) not in taken]
                        return batch
                    wake = min(wake, until)
                self._changed.wait(None if wake == math.inf else wake - now)
        return []

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


class _Turn:
    """How long a key's next batch waits for jobs that are not there yet.

    started: when its turn came; took: seconds of its last pass; back: how many jobs will have been announced when all
    that the last pass answered have come again, 0 where that pass was of another key.
    """

    def __init__(self, started: float, took: float, back: int = 0) -> None:
        self._back = back
        self._back_by = started + min(took, RETURN_SECONDS)
        self._took = took
        self._announced: int | None = None
        self._until = math.inf

    def waits_until(self, now: float, announced: int, oldest: int | None) -> float:
        """A time; `now` or earlier if the batch may start.

        announced: how many jobs there have been; oldest: the number of the first of them that is not ready.
        """
        if announced < self._back and now < self._back_by:
            return self._back_by
        if self._announced is None:
            self._announced, self._until = announced, now + self._took
        return self._until if oldest is not None and oldest <= self._announced else now


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
