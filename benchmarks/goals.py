"""What we wanted to reach, what was reached before, and what a run of run.py measured: a table of RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import StatisticsError, median

from bare import ALIKE, MIXED, TOKENS
from cells import by_cell, ratios, tails
from front_end import CACHED, DECODED, JPEGS, SHORT
from systems import TWO_WORKERS

HEADER = ["figure", "before", "goal", "now", "reached"]
GFLOP_OF_A_TOKEN, GFLOP_OF_AN_IMAGE = 0.076, 8.8  # of ViT-B-32


class Run:
    """Medians over the rounds of one run."""

    def __init__(self, measured: dict) -> None:
        self._measured = measured
        self.front_end: dict[str, float] = measured.get("front_end", {})

    def of(self, field: str, load: str, clients: int, system: str = "ours") -> float:
        return median(self._cell(field, load, clients).get(system, []))

    def ratio(self, ours: str, load: str, clients: int, other: str = "Infinity") -> float:
        return median(ratios(self._cell("per_second", load, clients), ours, other))

    def tail(self) -> float:
        return median(tails(self._measured["http"], "short texts", "ours"))

    def bare(self, what: str, precision: str = "bf16") -> float:
        return median(row[what] for row in self._measured["bare"] if row["precision"] == precision and what in row)

    def served(self, load: str, what: str, precision: str = "bf16") -> float:
        """Percent of the engine's own rate in batches of eight that eight clients get."""
        system = "ours" if precision == "bf16" else f"ours {precision}"
        return 100 * self.of("per_second", load, 8, system) / self.bare(f"{what} in batches of 8", precision)

    def _cell(self, field: str, load: str, clients: int) -> dict[str, list[float]]:
        return by_cell(self._measured["http"], field).get((load, clients), {})


@dataclass(frozen=True)
class Goal:
    """before: as it was written down when the goals were set, on two cores; AMX or Zen 4 where it says so."""

    figure: str
    before: str
    wanted: float
    measure: Callable[[Run], float]
    is_most: bool = False  # lower is better
    digits: int = 0

    def row(self, run: Run) -> list[str]:
        sign = "≤" if self.is_most else "≥"
        try:
            value = self.measure(run)
        except (StatisticsError, KeyError):  # a run of some systems or loads only
            return [self.figure, self.before, f"{sign} {self.wanted:g}", "", ""]
        reached = value <= self.wanted if self.is_most else value >= self.wanted
        return [
            self.figure,
            self.before,
            f"{sign} {self.wanted:g}",
            f"{value:.{self.digits}f}",
            "yes" if reached else "no",
        ]


def texts_work(run: Run) -> float:
    """Percent of the arithmetic that images reach."""
    images = run.of("per_second", "images 451 x 300", 8) * GFLOP_OF_AN_IMAGE
    return 100 * run.of("per_second", "short texts", 8) * run.bare(TOKENS) * GFLOP_OF_A_TOKEN / images


GOALS = (
    Goal("a cached text, core-ms", "0.68", 0.35, lambda run: run.front_end[CACHED], is_most=True, digits=2),
    Goal("one client, a short text, core-ms", "9 to 10", 6, lambda run: run.of("core_ms", "short texts", 1),
         is_most=True, digits=1),
    Goal("one client, short texts, p99 / p50", "1.9 to 4.8", 1.4, Run.tail, is_most=True, digits=1),
    Goal("one client, a short text: milliseconds beyond the engine's", "2.0", 0.7,
         lambda run: run.of("p50_ms", "short texts", 1) - 1000 / run.bare("short texts in batches of 1"),
         is_most=True, digits=1),
    Goal("short texts, 8 clients, % of the engine in eights", "45 (AMX)", 75,
         lambda run: run.served("short texts", "short texts")),
    Goal("images, 8 clients, % of the engine in eights; with AMX 88 is enough", "74 (AMX), 88 (Zen 4)", 94,
         lambda run: run.served("images 451 x 300", "images")),
    Goal("the same in int8", "82 (Zen 4)", 90, lambda run: run.served("images 451 x 300", "images", "int8")),
    Goal("short texts in int8 / Infinity, 1 client", "7.6", 10, lambda run: run.ratio("ours int8", "short texts", 1),
         digits=1),
    Goal("short texts in int8 / Infinity, 8 clients", "7.5", 10, lambda run: run.ratio("ours int8", "short texts", 8),
         digits=1),
    Goal("short texts / Infinity, 32 clients", "4.1", 6, lambda run: run.ratio("ours", "short texts", 32), digits=1),
    Goal("long texts / Infinity, 8 clients", "3.0", 4, lambda run: run.ratio("ours", "long texts", 8), digits=1),
    Goal("long texts in fp32 / Infinity, 8 clients", "0.6 to 1.1", 1.5,
         lambda run: run.ratio("ours fp32", "long texts", 8), digits=1),
    Goal("short and long texts in a batch, % of equal lengths", "40 to 50", 95,
         lambda run: 100 * run.bare(MIXED) / run.bare(ALIKE)),
    Goal("arithmetic of short texts, % of that of images, 8 clients", "62", 80, texts_work),
    Goal("the engine's arithmetic on images, % of a matrix product's", "60 (AMX)", 75,
         lambda run: 100 * run.bare("images in batches of 8") * GFLOP_OF_AN_IMAGE / run.bare("GEMM, GFLOP/s")),
    Goal("two processes of one thread / one of two, images", "0.56", 1,
         lambda run: run.ratio(TWO_WORKERS, "images 451 x 300", 8, "ours"), digits=2),
    Goal("the same, short texts", "0.68", 1.15,
         lambda run: run.ratio(TWO_WORKERS, "short texts", 8, "ours"), digits=2),
    Goal("the front end alone, short texts a second and core", "", 2500, lambda run: 1000 / run.front_end[SHORT]),
    Goal("the front end alone, JPEGs, % of decoding alone", "", 85,
         lambda run: 100 * run.front_end[DECODED] / run.front_end[JPEGS]),
)  # fmt: skip


def goal_rows(measured: dict) -> list[list[str]]:
    run = Run(measured)
    return [goal.row(run) for goal in GOALS]
