"""More than the server can do: what it can do it still does, and the rest is told so at once.

The engine takes 40 ms for a batch of at most 4: some 100 texts a second, whatever machine this is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ..support.fake_server import vector_of
from ..support.server_process import FakeServer
from .conftest import Report
from .load import Outcome, run_load

pytestmark = pytest.mark.chaos

ENGINE = {"FAKE_BATCH_SECONDS": 0.04, "MAX_BATCH": 4, "MAX_QUEUE": 40}
SECONDS = 20
MOST_MEDIAN_429 = 0.05  # seconds; the median, since a busy machine's scheduler has the 99th percentile
MOST_P99_429 = 0.5


def capacity(server: FakeServer) -> float:
    """Good answers a second when there are always enough requests."""
    return run_load(server, 300, 6).goodput


def sheds_at_once(outcome: Outcome) -> bool:
    return outcome.quantile(429, 0.5) < MOST_MEDIAN_429 and outcome.quantile(429, 0.99) < MOST_P99_429


class QueueLength:
    """The longest that /metrics shows while it runs."""

    def __init__(self, server: FakeServer) -> None:
        self._server, self.longest, self._stop = server, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> QueueLength:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.longest = max(self.longest, self._server.metric("openclip_queue_items"))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(**ENGINE) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


def test_overload_costs_no_goodput(server: FakeServer, report: Report):
    c = capacity(server)
    report("fake engine, 4 texts in 40 ms, MAX_QUEUE=40", "capacity C", f"{c:.0f} texts/s")
    calm = run_load(server, 0.8 * c, SECONDS / 2, vector_of)
    at_c = run_load(server, c, SECONDS / 2, vector_of)
    report("0.8 C", "p50, p99 of 200s", f"{calm.quantile(200, 0.5):.3f} s, {calm.quantile(200, 0.99):.3f} s")
    for factor, least in ((2, 0.95), (5, 0.85)):
        with QueueLength(server) as queue:
            over = run_load(server, factor * c, SECONDS, vector_of)
        ratio = over.goodput / at_c.goodput
        report(f"{factor} C for {SECONDS} s", "goodput relative to C", f"{ratio:.3f}")
        report(f"{factor} C", "p99 of 200s", f"{over.quantile(200, 0.99):.3f} s")
        shed = f"{over.quantile(429, 0.5) * 1000:.1f} ms, {over.quantile(429, 0.99) * 1000:.1f} ms"
        report(f"{factor} C", "p50, p99 of 429s", shed)
        report(f"{factor} C", "answers by status", ", ".join(f"{k}: {v}" for k, v in sorted(over.counts.items())))
        report(f"{factor} C", "longest queue seen", f"{queue.longest:.0f}")
        assert ratio >= least
        assert set(over.counts) == {200, 429}
        assert over.wrong == 0
        several = len(server.serving) > 1  # their figures are not of one moment
        assert queue.longest <= (48 if several else 40)
        assert sheds_at_once(over)
        assert over.quantile(200, 0.99) < 2 * (40 / c) + 1  # what is accepted waits for one queue, no longer
    started = time.monotonic()
    while run_load(server, 0.5 * c, 0.5).counts[429]:
        assert time.monotonic() - started < 10
    report("after 5 C", "until nothing is refused", f"< {time.monotonic() - started:.1f} s")


def test_a_planted_slow_path_fails_the_check_of_429s():
    with FakeServer(FAKE_FAULT="block", **ENGINE) as server:
        assert not sheds_at_once(run_load(server, 100, 5))
