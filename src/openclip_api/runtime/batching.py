"""When the engine is free, it takes what waits: one queue, one thread.

An idle engine starts at once. A busy one finds a larger batch when it comes back. This file knows nothing of texts,
images or vectors.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .waiting import Ticket, WaitingPolicy

Key = TypeVar("Key", bound=Hashable)
Input = TypeVar("Input")
Output = TypeVar("Output")


@dataclass(frozen=True, slots=True)
class Computed(Generic[Output]):
    """A job's result, and how many seconds it waited and its batch took."""

    output: Output
    queue_seconds: float
    compute_seconds: float


@dataclass(eq=False)
class Job(Generic[Key, Input, Output]):
    """Jobs of the same key may share a batch. on_start: called when the batch of the job starts. owner: whose job it is
    now; owners take turns."""

    key: Key
    input: Input
    on_start: Callable[[], None] = lambda: None
    owner: Callable[[], Hashable] = lambda: None
    future: Future[Computed[Output]] = field(default_factory=Future)
    queued_at: float = 0.0


class Batcher(Generic[Key, Input, Output]):
    """Runs jobs through `run(key, inputs)`, which returns one output for each input, in order.

    A batch that fails, or returns the wrong number of outputs, is halved and run again until the faulty jobs stand
    alone: only these get the error. The thread goes on. A job whose future is cancelled while it waits is dropped at
    once.

    Every second batch goes by age, from the oldest job on, and the others go by turns: see `_Turns`. So an owner of one
    job does not wait for all that an owner of thousands has put before, and nobody starves.

    Announce a job as soon as its input is being prepared: the batch may wait for it. See WaitingPolicy.
    """

    def __init__(self, run: Callable[[Key, list[Input]], Sequence[Output]], max_batch: int) -> None:
        self._run = run
        self._max_batch = max_batch
        self._waiting: dict[Future[Computed[Output]], Job[Key, Input, Output]] = {}  # the oldest first
        self._turns = _Turns()
        self._goes_by_turns = False
        self._policy = WaitingPolicy[Key]()
        self._busy_since: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def announce(self, key: Key) -> Ticket[Key]:
        """A job of this key will follow. End the wait for it with `put` or `withdraw`."""
        with self._changed:
            return self._policy.announce(key)

    def withdraw(self, ticket: Ticket[Key]) -> None:
        """The announced job will not come. Does nothing after `put`."""
        with self._changed:
            if self._policy.settle(ticket):
                self._changed.notify()

    def put(self, job: Job[Key, Input, Output], ticket: Ticket[Key] | None = None) -> None:
        job.queued_at = time.perf_counter()
        with self._changed:
            if ticket is not None:
                self._policy.settle(ticket)
            self._waiting[job.future] = job
            self._changed.notify()
        # The future must not hold the job: a cycle would keep the input in memory until a garbage collection.
        job.future.add_done_callback(self._drop_if_cancelled)

    @property
    def busy_seconds(self) -> float:
        """How long the current batch has been running; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.perf_counter() - since

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _drop_if_cancelled(self, future: Future[Computed[Output]]) -> None:
        """While the engine hangs, nothing leaves the queue: cancelled jobs must not pile up there."""
        if future.cancelled():
            with self._changed:
                self._waiting.pop(future, None)

    def _work(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """False once closed and done."""
        batch = self._next_batch()
        running = [job for job in batch if job.future.set_running_or_notify_cancel()]
        if running:
            for job in running:
                job.on_start()
            self._busy_since = time.perf_counter()
            self._run_batch(running)
            with self._changed:
                self._policy.pass_ended(running[0].key, len(running), self.busy_seconds, time.perf_counter())
            self._busy_since = None
        return bool(batch)

    def _next_batch(self) -> list[Job[Key, Input, Output]]:
        """The first batch that may start, of the key whose job is the first; empty once closed and done."""
        with self._changed:
            while self._waiting or not self._closed:
                now, wake = time.perf_counter(), math.inf
                waiting = list(self._waiting.values())
                if self._goes_by_turns:
                    waiting = self._turns.sorted(waiting)
                for key in dict.fromkeys(job.key for job in waiting):
                    batch = [job for job in waiting if job.key == key][: self._max_batch]
                    start = self._policy.waits_until(key, now)
                    if start <= now or len(batch) == self._max_batch or self._closed:
                        self._policy.batch_taken(key)
                        self._take(batch)
                        return batch
                    wake = min(wake, start)
                self._changed.wait(None if wake == math.inf else wake - now)
        return []

    def _take(self, batch: Iterable[Job[Key, Input, Output]]) -> None:
        for job in batch:
            del self._waiting[job.future]
        self._turns.taken(batch)
        self._goes_by_turns = not self._goes_by_turns

    def _run_batch(self, batch: list[Job[Key, Input, Output]]) -> None:
        started = time.perf_counter()
        try:
            outputs = self._run(batch[0].key, [job.input for job in batch])
            if len(outputs) != len(batch):
                raise RuntimeError(f"{len(outputs)} results for {len(batch)} items")  # noqa: TRY301
        except Exception as error:  # whatever the engine raises belongs to this batch alone
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            half = len(batch) // 2
            self._run_batch(batch[:half])
            self._run_batch(batch[half:])
            return
        seconds = time.perf_counter() - started
        for job, output in zip(batch, outputs, strict=True):
            job.future.set_result(Computed(output, started - job.queued_at, seconds))


class _Turns:
    """Sorts jobs so that owners take turns: one job of each, then a second of each, and so on. Of two owners the one
    goes first whose last job was taken longer ago."""

    def __init__(self) -> None:
        self._batches = 0
        self._last_batch: dict[Hashable, int] = {}

    def sorted(self, jobs: Iterable[Job[Key, Input, Output]]) -> list[Job[Key, Input, Output]]:
        """jobs: the oldest first."""
        counts = Counter[Hashable]()
        places: list[tuple[int, int, int, Job[Key, Input, Output]]] = []
        for job in jobs:
            owner = job.owner()
            places.append((counts[owner], self._last_batch.get(owner, 0), len(places), job))
            counts[owner] += 1
        self._last_batch = {owner: self._last_batch[owner] for owner in counts if owner in self._last_batch}
        if len(counts) > 1:
            places.sort(key=lambda place: place[:3])
        return [job for *_, job in places]

    def taken(self, batch: Iterable[Job[Key, Input, Output]]) -> None:
        self._batches += 1
        self._last_batch.update((job.owner(), self._batches) for job in batch)
