"""Many requests, good, bad and abandoned: memory, files and threads stay what they were."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

from ..support.server_process import FakeServer, ServerProcess
from .conftest import Report
from .load import Client, Outcome, post

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]

WARM_UP, REQUESTS, STEP = 6_000, int(os.environ.get("CHAOS_REQUESTS", 24_000)), 1_000
MOST_MB = 2.0  # per 10,000 requests
BAD = [b"{", b"[]", b'{"text": []}', b'{"text": "poison"}', b'{"image": "x"}', b'{"image": "aGVsbG8="}', b"\xff"]


async def requests(server: ServerProcess, count: int, image: bytes, seed: int) -> Outcome:
    """One in ten is bad, one in twenty is abandoned, one in ten has an image; sixteen at a time."""
    client, outcome = Client(server), Outcome(1)
    rng = random.Random(seed)
    free = asyncio.Semaphore(16)

    async def one(number: int, kind: float) -> None:
        async with free:
            if kind < 0.05:
                await client.leave_early(post({"text": f"left {number}"}), 0.001)
                return
            body: object = {"text": f"{seed} and {number}"}
            if kind < 0.15:
                body = rng.choice(BAD)
            elif kind < 0.25:
                body = {"image": base64.b64encode(image + b"%d" % number).decode()}
            status, _ = await client.send(post(body))
            outcome.add(status, 0)

    await asyncio.gather(*(one(number, rng.random()) for number in range(count)))
    client.close()
    return outcome


def resident_mb(server: ServerProcess) -> float:
    status = [Path(f"/proc/{pid}/status").read_text() for pid in server.serving]
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in status) / 1024


def open_files(server: ServerProcess) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.serving)


def threads(server: ServerProcess) -> int:
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in server.serving)


def slope(server: ServerProcess, image: bytes, count: int, warm_up: int) -> tuple[float, Outcome]:
    """Megabytes that the process grows by in 10,000 requests: least squares over its size after each step."""
    total = asyncio.run(requests(server, warm_up, image, seed=0))
    sizes = [resident_mb(server)]
    for step in range(count // STEP):
        outcome = asyncio.run(requests(server, STEP, image, seed=step + 1))
        for status, times in outcome.took.items():
            total.took.setdefault(status, []).extend(times)
        sizes.append(resident_mb(server))
    return float(np.polyfit(np.arange(len(sizes)) * STEP / 10_000, sizes, 1)[0]), total


def test_memory_stays_what_it_was(photo, report: Report):
    image = photo(size=(64, 48))
    with FakeServer() as server:
        before = asyncio.run(requests(server, 500, image, seed=99)), threads(server)
        time.sleep(1)
        files = open_files(server)
        growth, outcome = slope(server, image, REQUESTS, WARM_UP)
        time.sleep(6)  # keep-alive
        report(
            f"{REQUESTS:,} requests after {WARM_UP:,}, 10 % bad, 5 % abandoned", "growth per 10,000", f"{growth:.2f} MB"
        )
        report("the same", "answers by status", ", ".join(f"{k}: {v}" for k, v in sorted(outcome.counts.items())))
        assert set(outcome.counts) == {200, 400, 422, 500}  # 500: poison, as often as it was asked for
        assert growth < MOST_MB
        assert open_files(server) <= files
        assert threads(server) <= before[1] + 1
        assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200


def test_a_planted_leak_fails_the_check(photo):
    with FakeServer(FAKE_FAULT="leak") as server:
        growth, _ = slope(server, photo(size=(64, 48)), 4 * STEP, STEP)
        assert growth > 10 * MOST_MB
