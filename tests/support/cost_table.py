"""What many measured requests met, by kind, as a table in benchmarks/CHAOS.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .cost import NO_ANSWER, RESET, Cost

FILE = Path(__file__).parents[2] / "benchmarks" / "CHAOS.md"
START, END = "<!-- written by make cost -->\n", "<!-- end of what make cost writes -->\n"
HEAD = (
    "| kind | inputs | answers by status | other 5xx | resets | given up, ended | most CPU | per MB | most memory "
    "| /health, worst |\n|---|---|---|---|---|---|---|---|---|---|\n"
)
LARGE = 200_000  # bytes: below it, a cost per MB says more of the constant part


@dataclass
class Row:
    statuses: Counter[int] = field(default_factory=Counter)
    failed: int = 0  # 5xx that tell no shortage
    ended: int = 0
    cpu: float = 0
    cpu_per_mb: float = 0
    memory: float = 0
    health: float = 0

    def add(self, cost: Cost) -> None:
        self.statuses[cost.status] += 1
        self.failed += cost.status in (500, 501, 502) or (cost.status == 503 and not cost.retry_after)
        self.ended += cost.ended and cost.status != NO_ANSWER
        self.cpu = max(self.cpu, cost.cpu)
        if cost.size > LARGE:
            self.cpu_per_mb = max(self.cpu_per_mb, cost.cpu / cost.size * 1e6)
        self.memory = max(self.memory, cost.memory)
        self.health = max(self.health, cost.health)

    def cells(self) -> list[str]:
        answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items()) if status > 0)
        return [
            f"{sum(self.statuses.values()):,}",
            answers,
            f"{self.failed}",
            f"{self.statuses[RESET]}",
            f"{self.statuses[NO_ANSWER] + self.ended}",
            f"{self.cpu:.2f} s",
            f"{self.cpu_per_mb:.2f} s",
            f"{self.memory:.0f} MB",
            f"{self.health * 1000:.0f} ms",
        ]


class Table:
    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.lines: list[str] = []  # of the requests that have a name

    def add(self, kind: str, cost: Cost, name: str | None = None) -> None:
        self._rows.setdefault(kind, Row()).add(cost)
        if name is not None:
            figures = f"{cost.status}\t{cost.cpu:.2f} s\t{cost.memory:.0f} MB\t{cost.health * 1000:.0f} ms"
            self.lines.append(f"{kind}\t{name}\t{cost.size}\t{figures}\n")

    def __str__(self) -> str:
        return HEAD + "".join(f"| {' | '.join([kind, *row.cells()])} |\n" for kind, row in self._rows.items())

    def write(self, how: str) -> None:
        """Into benchmarks/CHAOS.md, between its two marks."""
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}"
        before, _, rest = FILE.read_text().partition(START)
        FILE.write_text(f"{before}{START}\nLast run: {how}; {machine}.\n\n{self}\n{END}{rest.partition(END)[2]}")
