"""Mutated requests over each route and format: none costs more than the bound, none gets a 500 or a reset.

FUZZ_SECONDS=3600 CHAOS_WRITE=1 python -m pytest -m cost -s tests/fuzz/test_cost_of_mutations.py    # an hour

A request that is over a bound is measured again, alone. One that is over it twice is kept in build/fuzz.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from ..support.cost import Request, Target, least
from ..support.cost_table import Table
from ..support.hostile.mutations import MUTATIONS
from ..support.hostile.target import hostile_target
from .conftest import KEPT, SECONDS, SEED

pytestmark = [
    pytest.mark.cost,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures on Linux only"),
]
MOST_FOUND = 20


def judged(target: Target, table: Table, kind: str, request: Request) -> list[str]:
    cost = target.measure(request, settle=False)
    complaints = target.complaints(cost)
    if complaints and not cost.ended:
        again = target.measure(request)
        cost = least(cost, again)
        complaints = target.complaints(cost)
    table.add(kind, cost)
    return complaints


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
                if complaints := judged(target, table, kind, request):
                    KEPT.mkdir(parents=True, exist_ok=True)
                    name = KEPT / f"{SEED}-{decode}-{len(found)}.http"
                    name.write_bytes(b"".join(request.pieces))
                    found.append(f"{kind}: {'; '.join(complaints)} ({name})")
        assert target.server.http.post("/embeddings", json={"text": "a"}).status_code == 200
    assert not found, "\n".join(found)
