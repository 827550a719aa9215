"""The largest hostile requests that a server reads: what each costs is bounded, and /health answers meanwhile.

Small ones, and many more kinds of them, are in tests/fuzz; so is the proof that a planted slow path is seen.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..support.cost import Target
from ..support.cost_table import Row
from ..support.hostile import LARGEST_KINDS
from ..support.hostile.target import hostile_target, write_store
from ..support.process_tree import resident_mb
from ..support.server_process import TEST_WORKERS
from .conftest import Report

pytestmark = [
    pytest.mark.cost,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures on Linux only"),
]

SIZE = 30_000_000  # bytes; MAX_BODY_MB is 32
# After all of a kind, in each worker: vectors of texts, decoders that have started, and what an allocator keeps.
KEPT_MB = 80 * TEST_WORKERS
RUNS = [("process", kind) for kind in LARGEST_KINDS] + [("thread", "images")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize(("decode", "kind"), RUNS)
def test_the_largest_hostile_requests(store: Path, report: Report, decode: str, kind: str):
    row, found = Row(), []
    with hostile_target(store, decode) as target:
        _warm_up(target)
        process = target.server.process
        before = resident_mb(process.pid)
        for case in LARGEST_KINDS[kind]:
            cost, complaints = target.judge(case.make(SIZE))
            if complaints:
                found.append(f"{case.name}: {'; '.join(complaints)}")
            row.add(cost)
        kept = _kept(process.pid, before) if process is target.server.process else 0
    figures = f"{row.cpu:.2f} s, {row.memory:.0f} MB, {row.health * 1000:.0f} ms; {kept:.0f} MB"
    what = f"{len(LARGEST_KINDS[kind])} hostile requests of up to 30 MB: {kind}, DECODE={decode}"
    report(what, "most CPU, most memory, worst /health; memory kept", figures)
    assert not found, "\n".join(found)
    assert kept < KEPT_MB


def _kept(pid: int, before: float) -> float:
    """MB. What is freed goes back within seconds."""
    deadline = time.monotonic() + 10
    while (kept := resident_mb(pid) - before) > KEPT_MB and time.monotonic() < deadline:
        time.sleep(0.5)
    return kept


def _warm_up(target: Target) -> None:
    for text in ("a", "b"):
        assert target.server.http.post("/embeddings", json={"text": text}).status_code == 200
