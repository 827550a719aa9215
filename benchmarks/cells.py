"""What a run measured, by load, number of clients and system."""

from __future__ import annotations

Cell = tuple[str, int]  # load, clients


def by_cell(rows: list[dict], field: str) -> dict[Cell, dict[str, list[float]]]:
    """What each system reached in each round."""
    cells: dict[Cell, dict[str, list[float]]] = {}
    for row in rows:
        cells.setdefault((row["load"], row["clients"]), {}).setdefault(row["system"], []).append(row[field])
    return cells


def ratios(cell: dict[str, list[float]], a: str, b: str) -> list[float]:
    """Round by round."""
    return [x / y for x, y in zip(cell.get(a, []), cell.get(b, []), strict=False) if y]


def tails(rows: list[dict], load: str, system: str) -> list[float]:
    """With one client, round by round: how many times the median answer time the 99th percentile is."""
    wanted = (load, 1, system)
    return [r["p99_ms"] / r["p50_ms"] for r in rows if (r["load"], r["clients"], r["system"]) == wanted]
