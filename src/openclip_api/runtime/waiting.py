"""How long a batch waits for jobs that are about to arrive."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

# A client that asks one thing after the other comes back within this time. Without the wait, eight such clients would
# settle into batches of seven and of one, for ever.
RETURN_SECONDS = 0.008

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ticket(Generic[Key]):
    """A job that was announced: the n-th of its key."""

    key: Key
    number: int


class WaitingPolicy(Generic[Key]):
    """A pass over one item costs nearly as much as a pass over several, so a batch waits for jobs that are sure to
    come soon. It never waits for jobs that only might come: an idle server adds no delay.

    Jobs of different keys never share a batch, so each key waits for its own:

          a pass of key K ends                               K's next batch starts
        ───────────┬──────────────────────┬───────────────────────────┬─────────► time
                   │   1. clients return  │   2. announced jobs       │
                   │                      │      get ready            │

    1. The clients whose jobs the pass answered may ask again: wait until as many new jobs are announced, but no longer
       than RETURN_SECONDS or the pass itself took.
    2. Some announced jobs are still being decoded: wait until they are ready, but no longer than K's last pass took.
       Jobs that are announced during this step are not waited for.

    A key whose pass was not the last one starts at step 2, as soon as one of its jobs is ready. A single client waits
    for neither step. Not safe to use from several threads: the batcher holds its lock around each call.
    """

    def __init__(self) -> None:
        self._announced: Counter[Key] = Counter()
        self._pending: dict[Key, dict[int, None]] = {}  # numbers of the tickets that are not settled, oldest first
        self._pass_seconds: dict[Key, float] = {}
        self._turns: dict[Key, _Turn] = {}

    def announce(self, key: Key) -> Ticket[Key]:
        """A job of this key is being prepared; `settle` must follow."""
        self._announced[key] += 1
        ticket = Ticket(key, self._announced[key])
        self._pending.setdefault(key, {})[ticket.number] = None
        return ticket

    def settle(self, ticket: Ticket[Key]) -> bool:
        """The job is ready, or will not come. Returns whether that is news."""
        pending = self._pending.get(ticket.key, {})
        if ticket.number not in pending:
            return False
        del pending[ticket.number]
        return True

    def pass_ended(self, key: Key, jobs: int, seconds: float, now: float) -> None:
        self._pass_seconds[key] = seconds
        returning = _Turn(seconds, self._announced[key] + jobs, now + min(seconds, RETURN_SECONDS))
        self._turns = {key: returning}

    def batch_taken(self, key: Key) -> None:
        self._turns.pop(key, None)

    def waits_until(self, key: Key, now: float) -> float:
        """When the next batch of a key that has ready jobs may start: `now` or earlier if at once."""
        turn = self._turns.setdefault(key, _Turn(self._pass_seconds.get(key, 0.0)))
        announced = self._announced[key]
        if announced < turn.returned_count and now < turn.returned_by:
            return turn.returned_by
        if turn.cutoff is None:
            turn.cutoff, turn.ready_by = announced, now + turn.pass_seconds
        oldest = next(iter(self._pending.get(key, ())), None)
        return turn.ready_by if oldest is not None and oldest <= turn.cutoff else now


@dataclass
class _Turn:
    """A key's wait for its next batch. Step 1 ends at `returned_count` announced jobs or at the time `returned_by`;
    step 2 waits for tickets up to the number `cutoff`, until the time `ready_by`."""

    pass_seconds: float
    returned_count: int = 0
    returned_by: float = -math.inf
    cutoff: int | None = None
    ready_by: float = math.inf
