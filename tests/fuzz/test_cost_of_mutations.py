"""Mutated requests over each route and format: none costs more than the bound, none gets a 500 or a reset.

FUZZ_SECONDS=3600 CHAOS_WRITE=1 python -m pytest -m cost -s tests/fuzz/test_cost_of_mutations.py    # an hour

A request that is over a bound each time that it is measured is kept in build/fuzz.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from ..support.cost_table import Table
from ..support.hostile.mutations import MUTATIONS
from ..support.hostile.target import hostile_target
from .conftest import KEPT, SECONDS, SEED

pytestmark = [
    pytest.mark.cost,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures on Linux only"),
]
MOST_FOUND = 20


@pytest.mark.parametrize("decode", ["process", "thread"])
def test_mutations_cost_no_more(store: Path, table: Table, decode: str):
    found: list[str] = []
    rng = random.Random(f"{SEED} {decode}")
    with hostile_target(store, decode) as target:
        assert target.server.http.post("/embeddings", json={"text": "a"}).status_code == 200
        until = time.monotonic() + SECONDS / 2
        while time.monotonic() < until and len(found) < MOST_FOUND:
            for kind, make in MUTATIONS.items():
                request = make(rng)
                cost, complaints = target.judge(request, settle=False)
                table.add(kind, cost)
                if complaints:
                    KEPT.mkdir(parents=True, exist_ok=True)
                    name = KEPT / f"{SEED}-{decode}-{len(found)}.http"
                    name.write_bytes(b"".join(request.pieces))
                    found.append(f"{kind}: {'; '.join(complaints)} ({name})")
        assert target.server.http.post("/embeddings", json={"text": "a"}).status_code == 200
    assert not found, "\n".join(found)
