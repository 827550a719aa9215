"""The server that hostile requests are measured on, and the table of what they cost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.cost_table import Table
from ..support.hostile.target import write_store

SECONDS = float(os.environ.get("FUZZ_SECONDS", 20))
SEED = int(os.environ.get("FUZZ_SEED", 1))
KEPT = Path(__file__).parents[2] / "build" / "fuzz"  # what each request cost, and mutations that cost too much


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    table = Table()
    yield table
    if str(table).count("\n") > 2:
        print(f"\n{table}")
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / "costs.tsv").write_text("".join(table.lines))
        if os.environ.get("CHAOS_WRITE"):
            table.write(f"mutations for {SECONDS:,.0f} s, FUZZ_SEED={SEED}")
