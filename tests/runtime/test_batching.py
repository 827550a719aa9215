from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout

import pytest

from openclip_api.runtime.batching import Batcher, Job


class Engine:
    """Doubles its items, waiting at a gate when there is one; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate: threading.Event | None = None
        self.running = threading.Event()
        self.after = lambda: None

    def __call__(self, key, items):
        self.batches.append((key, list(items)))
        self.running.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        self.after()
        if -1 in items:
            raise ValueError("poison")
        return [2 * item for item in items] if 0 not in items else []


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def batcher(engine):
    batcher = Batcher(engine, max_batch=4)
    yield batcher
    batcher.close()


def put(batcher, item, key="text"):
    job = Job(key, item)
    batcher.put(job, batcher.announce(key))
    return job


def output(job, timeout=10):
    return job.future.result(timeout).output


def hold(engine, batcher):
    """Keep the engine busy with one item, so that what is put next has to wait."""
    engine.gate = threading.Event()
    busy = put(batcher, 100)
    assert engine.running.wait(10)
    return busy


def test_an_idle_engine_starts_at_once(engine, batcher):
    job = put(batcher, 3)
    assert output(job) == 6
    assert engine.batches == [("text", [3])]
    assert 0 <= job.future.result().queue_seconds < 5
    assert 0 <= job.future.result().compute_seconds < 5


def test_what_waits_is_the_next_batch_up_to_the_limit(engine, batcher):
    busy = hold(engine, batcher)
    jobs = [put(batcher, i) for i in range(1, 7)]
    engine.gate.set()
    assert [output(job) for job in [busy, *jobs]] == [200, 2, 4, 6, 8, 10, 12]
    assert [items for _, items in engine.batches] == [[100], [1, 2, 3, 4], [5, 6]]


def test_keys_never_mix_and_the_oldest_goes_first(engine, batcher):
    hold(engine, batcher)
    jobs = [put(batcher, 1, "image"), put(batcher, 2, "text"), put(batcher, 3, "image")]
    engine.gate.set()
    assert [output(job) for job in jobs] == [2, 4, 6]
    assert engine.batches[1:] == [("image", [1, 3]), ("text", [2])]


@pytest.mark.parametrize("place", range(4))
def test_poison_fails_alone(engine, batcher, place):
    hold(engine, batcher)
    items = [1, 2, 3]
    items.insert(place, -1)
    jobs = [put(batcher, item) for item in items]
    engine.gate.set()
    with pytest.raises(ValueError, match="poison"):
        output(jobs.pop(place))
    assert [output(job) for job in jobs] == [2, 4, 6]
    assert output(put(batcher, 5)) == 10


def test_a_wrong_number_of_results_shifts_nobody(engine, batcher):
    hold(engine, batcher)
    before, wrong, after = (put(batcher, item) for item in (1, 0, 2))
    engine.gate.set()
    with pytest.raises(RuntimeError, match="0 results for 1 items"):
        output(wrong)
    assert (output(before), output(after)) == (2, 4)


def test_a_batch_too_large_for_memory_runs_in_halves():
    def run(key, items):
        if len(items) > 2:
            raise MemoryError
        return items

    gate = threading.Event()
    batcher = Batcher(lambda key, items: (gate.wait(10), run(key, items))[1], max_batch=8)
    jobs = [put(batcher, item) for item in range(8)]
    gate.set()
    assert [output(job) for job in jobs] == list(range(8))
    batcher.close()


def test_while_the_engine_hangs_cancelled_jobs_leave_the_queue(engine, batcher):
    assert batcher.busy_seconds == 0
    hold(engine, batcher)
    for job in [put(batcher, item) for item in range(1, 100)]:
        job.future.cancel()
    assert not batcher._waiting
    assert batcher.busy_seconds > 0
    engine.gate.set()
    assert output(put(batcher, 1)) == 2


def test_a_cancelled_job_never_reaches_the_engine(engine, batcher):
    hold(engine, batcher)
    kept, dropped = put(batcher, 1), put(batcher, 2)
    assert dropped.future.cancel()
    engine.gate.set()
    assert output(kept) == 2
    with pytest.raises(CancelledError):
        output(dropped)
    batcher.close()
    assert not any(2 in items for _, items in engine.batches)


def test_close_finishes_what_waits(engine):
    batcher = Batcher(engine, max_batch=1)
    hold(engine, batcher)
    jobs = [put(batcher, i) for i in range(1, 4)]
    engine.gate.set()
    batcher.close()
    assert [output(job, 0) for job in jobs] == [2, 4, 6]


class Clock:
    """The real one, and as far ahead of it as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def perf_counter(self) -> float:
        return time.perf_counter() + self.ahead

    def pass_by(self) -> None:
        self.ahead += 10


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("openclip_api.runtime.batching.time", clock)
    return clock


def test_a_batch_waits_for_what_was_announced_before_its_turn(engine, batcher, clock):
    hold(engine, batcher)
    first, second, third = (batcher.announce("text") for _ in range(3))
    ready, late = Job("text", 1), Job("text", 2)
    batcher.put(ready, first)
    engine.after = clock.pass_by
    engine.gate.set()
    with pytest.raises(FutureTimeout):
        output(ready, 0.1)
    batcher.withdraw(third)
    batcher.put(late, second)
    assert (output(ready, 5), output(late, 5)) == (2, 4)
    assert engine.batches[1:] == [("text", [1, 2])]


def test_it_waits_no_longer_than_a_pass_takes(engine, batcher):
    assert output(put(batcher, 5)) == 10
    batcher.announce("text")
    assert output(put(batcher, 2), 5) == 4


def test_neither_other_keys_nor_full_batches_wait(engine, batcher, clock):
    hold(engine, batcher)
    batcher.announce("text")
    image, texts = put(batcher, 7, "image"), [put(batcher, item) for item in range(1, 5)]
    engine.after = clock.pass_by
    engine.gate.set()
    assert [output(job, 5) for job in [image, *texts]] == [14, 2, 4, 6, 8]


def test_who_was_just_answered_may_join_the_next_batch(monkeypatch, engine, batcher, clock):
    """Three clients, the first of which asks again before the others: all the same they stay one batch."""
    monkeypatch.setattr("openclip_api.runtime.waiting.RETURN_SECONDS", 10)
    busy = hold(engine, batcher)
    jobs = [put(batcher, item) for item in (1, 2)]
    engine.after = clock.pass_by
    engine.gate.set()
    output(busy, 5)
    jobs.append(put(batcher, 3))
    for job in jobs:
        output(job, 5)
    engine.running.clear()
    one = put(batcher, 4)
    assert not engine.running.wait(0.1)
    others = [put(batcher, item) for item in (5, 6)]
    assert [output(job, 5) for job in [one, *others]] == [8, 10, 12]
    assert engine.batches[1:] == [("text", [1, 2, 3]), ("text", [4, 5, 6])]


def test_who_stays_away_is_waited_for_a_moment_only(engine, batcher):
    hold(engine, batcher)
    jobs = [put(batcher, item) for item in (1, 2, 3)]
    engine.gate.set()
    for job in jobs:
        output(job, 5)
    assert output(put(batcher, 4)) == 8
