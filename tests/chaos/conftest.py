"""Figures of a run are collected and written to benchmarks/CHAOS.md when it was complete and well."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "CHAOS.md"
START = "<!-- written by make chaos -->\n"
figures: list[tuple[str, str, str]] = []

Report = Callable[[str, str, str], None]


@pytest.fixture
def report() -> Report:
    """report(what was done, what was measured, the figure)"""
    return lambda *row: figures.append(row)


@pytest.fixture(scope="session", autouse=True)
def _written_at_the_end(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if request.session.testsfailed or not os.environ.get("CHAOS_WRITE"):
        return
    rows = "".join(f"| {what} | {measured} | {figure} |\n" for what, measured, figure in figures)
    head = FILE.read_text().partition(START)[0]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}"
    FILE.write_text(
        f"{head}{START}\nLast run: {machine}.\n\n| load or fault | measured | figure |\n|---|---|---|\n{rows}"
    )
