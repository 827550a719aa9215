"""Request coalescing: equal items in flight are computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class SharedComputation(Generic[Result]):
    """A computation in flight and the futures that wait for its result. owner: who asked for it last."""

    key: Hashable
    owner: Hashable = None
    waiters: list[Future[Result]] = field(default_factory=list)
    cancel: Callable[[], object] | None = None  # ends the work on it
    is_running: bool = False


class Coalescer(Generic[Result]):
    """The computations in flight, by key.

    A computation is cancelled when all its waiters are. Once it runs, neither can be cancelled: what the engine holds
    still counts as in flight. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._in_flight: dict[Hashable, SharedComputation[Result]] = {}
        self._lock = threading.Lock()

    def join(self, key: Hashable, waiter: Future[Result], owner: Hashable = None) -> SharedComputation[Result] | None:
        """The computation that the caller must now run; None if an equal one is in flight and will answer `waiter`."""
        with self._lock:
            shared = self._in_flight.get(key)
            is_first = shared is None
            if shared is None:
                shared = self._in_flight[key] = SharedComputation(key)
            shared.owner = owner
            shared.waiters.append(waiter)
            if shared.is_running:
                waiter.set_running_or_notify_cancel()
        waiter.add_done_callback(lambda waiter: self._leave(shared, waiter))
        return shared if is_first else None

    def queue(self, shared: SharedComputation[Result], cancel: Callable[[], object]) -> bool:
        """The work may be queued; `cancel` would end it. False if nobody waits for it any more."""
        with self._lock:
            if not shared.waiters:
                return False
            shared.cancel = cancel
            return True

    def run(self, shared: SharedComputation[Result]) -> None:
        """The work has begun."""
        with self._lock:
            shared.is_running = True
            for waiter in shared.waiters:
                waiter.set_running_or_notify_cancel()

    def finish(self, shared: SharedComputation[Result], result: Result) -> None:
        for waiter in self._end(shared):
            if _may_answer(waiter):
                waiter.set_result(result)

    def fail(self, shared: SharedComputation[Result], error: BaseException) -> None:
        for waiter in self._end(shared):
            if _may_answer(waiter):
                waiter.set_exception(error)

    def _leave(self, shared: SharedComputation[Result], waiter: Future[Result]) -> None:
        with self._lock:
            if waiter not in shared.waiters:  # it has its answer
                return
            shared.waiters.remove(waiter)
            if shared.waiters:
                return
        self._end(shared)

    def _end(self, shared: SharedComputation[Result]) -> list[Future[Result]]:
        """Those that still wait. From here on an equal item starts anew."""
        with self._lock:
            if self._in_flight.get(shared.key) is shared:
                del self._in_flight[shared.key]
            waiters, shared.waiters = shared.waiters, []
            cancel, shared.cancel = shared.cancel, None  # or the work, its callbacks and this would form a cycle
        if not waiters and cancel is not None:
            cancel()
        return waiters


def _may_answer(waiter: Future[Result]) -> bool:
    """False if it was cancelled, perhaps at this very moment."""
    return waiter.running() or (not waiter.cancelled() and waiter.set_running_or_notify_cancel())
