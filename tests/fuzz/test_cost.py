"""No request of S bytes costs more than a + b·S of processor time and memory, and /health answers meanwhile.

Each hostile request of the catalogue, small; `make chaos` sends the largest that the server reads.

FUZZ_ALL=1 python -m pytest -m cost tests/fuzz/test_cost.py    # each item on each route, each file on each route
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.cost import Target
from ..support.cost_table import Table
from ..support.hostile import KINDS, SHORT_KINDS
from ..support.hostile.request import Case
from ..support.hostile.target import hostile_target

pytestmark = [
    pytest.mark.cost,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures on Linux only"),
]

SIZE = int(os.environ.get("FUZZ_SIZE", 1_000_000))  # bytes of a request
CHOSEN = KINDS if os.environ.get("FUZZ_ALL") else SHORT_KINDS
CASES = [("process", kind, case) for kind, cases in CHOSEN.items() for case in cases]
CASES += [("thread", "images", case) for case in CHOSEN["images"]]


@pytest.fixture(scope="module")
def targets(store: Path) -> Iterator[dict[str, Target]]:
    """A server for each way to decode images; each starts with its first request."""
    with hostile_target(store, "process") as process, hostile_target(store, "thread") as thread:
        yield {"process": process, "thread": thread}


@pytest.mark.parametrize(
    ("decode", "kind", "case"), CASES, ids=[f"{decode}, {kind}, {case.name}" for decode, kind, case in CASES]
)
def test_cost_is_in_proportion(targets: dict[str, Target], table: Table, decode: str, kind: str, case: Case):
    cost, complaints = targets[decode].verdict(case.make, SIZE)
    table.add(kind, cost, f"{case.name} ({decode})")
    assert not complaints, "; ".join(complaints)
