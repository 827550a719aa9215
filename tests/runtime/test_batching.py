from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout

import pytest

from openclip_api.runtime.batching import Batcher, Job, fitting


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
    [job] = announced(batcher, item, key=key)
    batcher.put(job)
    return job


def announced(batcher, *items, key="text"):
    jobs = [Job(key, item) for item in items]
    for job in jobs:
        batcher.expect(job)
    return jobs


def hold(engine, batcher):
    """Keep the engine busy with one item, so that what is put next has to wait."""
    engine.gate = threading.Event()
    busy = put(batcher, 100)
    assert engine.running.wait(10)
    return busy


def test_an_idle_engine_starts_at_once(engine, batcher):
    job = put(batcher, 3)
    assert job.future.result(10) == 6
    assert engine.batches == [("text", [3])]
    assert set(job.seconds) == {"queue", "compute"}


def test_what_waits_is_the_next_batch_up_to_the_limit(engine, batcher):
    busy = hold(engine, batcher)
    jobs = [put(batcher, i) for i in range(1, 7)]
    engine.gate.set()
    assert [job.future.result(10) for job in [busy, *jobs]] == [200, 2, 4, 6, 8, 10, 12]
    assert [items for _, items in engine.batches] == [[100], [1, 2, 3, 4], [5, 6]]


def test_keys_never_mix_and_the_oldest_goes_first(engine, batcher):
    hold(engine, batcher)
    jobs = [put(batcher, 1, "image"), put(batcher, 2, "text"), put(batcher, 3, "image")]
    engine.gate.set()
    assert [job.future.result(10) for job in jobs] == [2, 4, 6]
    assert engine.batches[1:] == [("image", [1, 3]), ("text", [2])]


@pytest.mark.parametrize("place", range(4))
def test_poison_fails_alone(engine, batcher, place):
    hold(engine, batcher)
    items = [1, 2, 3]
    items.insert(place, -1)
    jobs = [put(batcher, item) for item in items]
    engine.gate.set()
    with pytest.raises(ValueError, match="poison"):
        jobs.pop(place).future.result(10)
    assert [job.future.result(10) for job in jobs] == [2, 4, 6]
    assert put(batcher, 5).future.result(10) == 10


def test_a_wrong_number_of_results_shifts_nobody(engine, batcher):
    hold(engine, batcher)
    before, wrong, after = (put(batcher, item) for item in (1, 0, 2))
    engine.gate.set()
    with pytest.raises(RuntimeError, match="0 results for 1 items"):
        wrong.future.result(10)
    assert (before.future.result(10), after.future.result(10)) == (2, 4)


def test_a_batch_too_large_for_memory_runs_in_halves():
    def run(key, items):
        if len(items) > 2:
            raise MemoryError
        return items

    gate = threading.Event()
    batcher = Batcher(lambda key, items: (gate.wait(10), run(key, items))[1], max_batch=8)
    jobs = [put(batcher, item) for item in range(8)]
    gate.set()
    assert [job.future.result(10) for job in jobs] == list(range(8))
    batcher.close()


def test_while_the_engine_hangs_cancelled_jobs_leave_the_queue(engine, batcher):
    assert batcher.busy_seconds == 0
    hold(engine, batcher)
    for job in [put(batcher, item) for item in range(1, 100)]:
        job.future.cancel()
    assert batcher._waiting == []
    assert batcher.busy_seconds > 0
    engine.gate.set()
    assert put(batcher, 1).future.result(10) == 2


def test_a_cancelled_job_never_reaches_the_engine(engine, batcher):
    hold(engine, batcher)
    kept, dropped = put(batcher, 1), put(batcher, 2)
    assert dropped.future.cancel()
    engine.gate.set()
    assert kept.future.result(10) == 2
    with pytest.raises(CancelledError):
        dropped.future.result(10)
    batcher.close()
    assert not any(2 in items for _, items in engine.batches)


def test_close_finishes_what_waits(engine):
    batcher = Batcher(engine, max_batch=1)
    hold(engine, batcher)
    jobs = [put(batcher, i) for i in range(1, 4)]
    engine.gate.set()
    batcher.close()
    assert [job.future.result(0) for job in jobs] == [2, 4, 6]


def sized(*sizes: int) -> list[Job]:
    return [Job("text", size, size=size) for size in sizes]


def sizes(jobs) -> list[int]:
    return [job.size for job in jobs]


def test_short_ones_do_not_pay_for_long_ones():
    assert sizes(fitting(sized(6, 70, 8, 60, 7, 10), spare=32)) == [6, 8, 7, 10]
    assert sizes(fitting(sized(70, 6, 8, 60, 7, 10), spare=32)) == [70, 60]


def test_a_little_is_spared_for_a_larger_batch():
    assert sizes(fitting(sized(6, 10, 12, 8), spare=32)) == [6, 10, 12, 8]
    assert sizes(fitting(sized(*[8] * 20, 40), spare=32)) == [8] * 20
    assert sizes(fitting(sized(40, *[8] * 20), spare=32)) == [40]
    assert sizes(fitting(sized(8, *[40] * 5), spare=32)) == [8] + [40] * 5


def test_where_nothing_is_spared_only_like_sizes_go_together():
    assert sizes(fitting(sized(6, 7, 6, 7), spare=0)) == [6, 6]
    assert sizes(fitting(sized(0, 0, 0), spare=0)) == [0, 0, 0]


def test_the_oldest_is_always_in_the_next_batch(engine):
    batcher = Batcher(engine, max_batch=2, spare=4)
    hold(engine, batcher)
    jobs = sized(9, 40, 10, 41, 8, 9)
    for job in jobs:
        batcher.put(job)
    engine.gate.set()
    assert [job.future.result(10) for job in jobs] == [2 * job.size for job in jobs]
    assert [items for _, items in engine.batches[1:]] == [[9, 10], [40, 41], [8, 9]]
    batcher.close()


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
    ready, late, gone, dismissed = announced(batcher, 1, 2, 3, 4)
    batcher.put(ready)
    engine.after = clock.pass_by
    engine.gate.set()
    with pytest.raises(FutureTimeout):
        ready.future.result(0.1)
    gone.future.cancel()
    batcher.dismiss(dismissed)
    batcher.put(late)
    assert (ready.future.result(5), late.future.result(5)) == (2, 4)
    assert engine.batches[1:] == [("text", [1, 2])]


def test_it_waits_no_longer_than_a_pass_takes(engine, batcher):
    assert put(batcher, 5).future.result(10) == 10
    _, ready = announced(batcher, 1, 2)
    batcher.put(ready)
    assert ready.future.result(5) == 4


def test_neither_other_keys_nor_full_batches_wait(engine, batcher, clock):
    hold(engine, batcher)
    announced(batcher, 9)
    image, texts = put(batcher, 7, "image"), [put(batcher, item) for item in range(1, 5)]
    engine.after = clock.pass_by
    engine.gate.set()
    assert [job.future.result(5) for job in [image, *texts]] == [14, 2, 4, 6, 8]


def test_who_was_just_answered_may_join_the_next_batch(monkeypatch, engine, batcher, clock):
    """Three clients, the first of which asks again before the others: all the same they stay one batch."""
    monkeypatch.setattr("openclip_api.runtime.batching.RETURN_SECONDS", 10)
    busy = hold(engine, batcher)
    jobs = [put(batcher, item) for item in (1, 2)]
    engine.after = clock.pass_by
    engine.gate.set()
    busy.future.result(5)
    jobs.append(put(batcher, 3))
    for job in jobs:
        job.future.result(5)
    engine.running.clear()
    one = put(batcher, 4)
    assert not engine.running.wait(0.1)
    others = announced(batcher, 5, 6)
    for job in others:
        batcher.put(job)
    assert [job.future.result(5) for job in [one, *others]] == [8, 10, 12]
    assert engine.batches[1:] == [("text", [1, 2, 3]), ("text", [4, 5, 6])]


def test_who_stays_away_is_waited_for_a_moment_only(engine, batcher):
    hold(engine, batcher)
    jobs = [put(batcher, item) for item in (1, 2, 3)]
    engine.gate.set()
    for job in jobs:
        job.future.result(5)
    assert put(batcher, 4).future.result(5) == 8
