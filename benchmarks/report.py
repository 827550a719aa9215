"""What was measured → RESULTS.md, a table with medians, ranges and ratios, and results.svg."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from cells import Cell, by_cell, ratios, tails
from goals import HEADER, goal_rows
from systems import HERE

OURS = ("ours", "ours fp32", "ours int8")
THEIRS = ("Infinity", "onnxruntime fp32", "onnxruntime int8", "OpenVINO on ONNX", "original")


def write(measured: dict, folder: Path) -> None:
    rates = by_cell(measured["http"], "per_second")
    parts = [
        f"# Results\n\nWritten by `make bench`, {measured['started']} to {measured['ended'][-5:]}. {about_the_run()}",
        "## Goals\n\n" + table(HEADER, goal_rows(measured)),
        "[What stands in the way](FRONT_END.md#goals-that-are-not-reached) of those that are not reached.",
        "## Requests a second\n\nMedian (least to greatest of the rounds); one item in each request.",
        table(["load", "clients", *systems_of(measured)], rate_rows(measured, rates)),
        "## Core-milliseconds an answer\n\nUser and system time of the server: on a busy machine the rates above "
        "depend on who else computes, these hardly.",
        table(["load", "clients", *systems_of(measured)], rate_rows(measured, by_cell(measured["http"], "core_ms"))),
        "## Against the others\n\nOurs divided by theirs, round by round: median (range).",
        table(["load", "clients", *(f"{a} / {b}" for a in OURS for b in THEIRS)], ratio_rows(rates)),
        "## One client\n\nMilliseconds: median answer time, and how many times that the 99th percentile is.",
        table(["load", *systems_of(measured)], latency_rows(measured)),
        "## The engine alone, and the processor alone\n\n" + table(*bare_table(measured, rates)),
        "## Start and memory\n\n" + table(*server_table(measured)),
        growth_line(measured),
        "![requests a second](results.svg)\n",
    ]
    (folder / "RESULTS.md").write_text("\n\n".join(part for part in parts if part))
    plot(rates, folder / "results.svg")


def systems_of(measured: dict) -> list[str]:
    return list(measured["servers"])


def spread(values: list[float], digits: int = 1) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def rate_rows(measured: dict, rates: dict[Cell, dict[str, list[float]]]) -> list[list[str]]:
    names = systems_of(measured)
    return [
        [load, str(clients), *(spread(cell.get(name, [])) for name in names)] for (load, clients), cell in rates.items()
    ]


def ratio_rows(rates: dict[Cell, dict[str, list[float]]]) -> list[list[str]]:
    return [
        [load, str(clients), *(spread(ratios(cell, a, b)) for a in OURS for b in THEIRS)]
        for (load, clients), cell in rates.items()
    ]


def latency_rows(measured: dict) -> list[list[str]]:
    p50 = by_cell([row for row in measured["http"] if row["clients"] == 1], "p50_ms")
    rows = []
    for cell, by_system in p50.items():
        row = [cell[0]]
        for name in systems_of(measured):
            tail = tails(measured["http"], cell[0], name)
            row.append(f"{median(by_system[name]):.1f}, × {median(tail):.1f}" if tail else "")
        rows.append(row)
    return rows


def bare_table(measured: dict, rates: dict[Cell, dict[str, list[float]]]) -> tuple[list[str], list[list[str]]]:
    """The engine in a loop, the served share of it, and the arithmetic it does as a share of a plain GEMM's."""
    rows = []
    for precision in dict.fromkeys(row["precision"] for row in measured["bare"]):
        runs = [row for row in measured["bare"] if row["precision"] == precision]
        for name in dict.fromkeys(key for row in runs for key in row if key not in ("round", "precision")):
            rows.append([precision, name, spread([row[name] for row in runs if name in row], 0)])
    return ["precision", "what", "a second"], rows


def server_table(measured: dict) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, f"{facts['seconds_to_ready']:.1f}", f"{facts['rss_mb']:.0f}", f"{facts['peak_mb']:.0f}"]
        for name, facts in measured["servers"].items()
    ]
    return ["server", "seconds from start to ready", "MB resident after all loads", "MB at most"], rows


def growth_line(measured: dict) -> str:
    growth = measured.get("growth")
    if not growth:
        return ""
    return (
        f"Over {growth['requests']:,} further requests the default server's resident memory went from "
        f"{growth['mb_before']:.1f} to {growth['mb_after']:.1f} MB."
    )


def table(header: list[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def processor() -> tuple[str, list[str]]:
    """Its name and family, and which of the units that matter here it has."""
    text = Path("/proc/cpuinfo").read_text()
    facts = dict(map(str.strip, line.split(":", 1)) for line in text.splitlines() if ":" in line)
    name = f"{facts['model name']}, family {facts['cpu family']}"
    units = ("amx_int8", "amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
    return name, [unit for unit in units if unit in text]


def about_the_run() -> str:
    cpu, units = processor()
    ours = ", ".join(f"{name} {version(name)}" for name in ("openvino", "pillow", "uvicorn"))
    infinity = versions(".venv-infinity", "infinity-emb", "torch", "transformers")
    original = versions(".venv-original", "open-clip-torch", "torch")
    onnx = versions(".venv-onnx", "onnxruntime", "openvino")
    return (
        f"{cpu}, {os.cpu_count()} cores ({', '.join(units)}), {platform.system()} "
        f"{platform.release()}, load average {os.getloadavg()[2]:.1f}, Python {platform.python_version()}. "
        f"ViT-B-32 with random weights everywhere. Ours: {ours}. Infinity: {infinity}. "
        f"Original: {original}. ONNX: {onnx}. "
        "Load by wrk on the same cores."
    )


def versions(venv: str, *names: str) -> str:
    program = f"from importlib.metadata import version; print(*[n + ' ' + version(n) for n in {names!r}], sep=', ')"
    return subprocess.run(
        [str(HERE / venv / "bin/python"), "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def plot(rates: dict[Cell, dict[str, list[float]]], path: Path) -> None:
    """How many times Infinity's rate, with 8 clients."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    cells = {load: cell for (load, clients), cell in rates.items() if clients == 8 and cell.get("Infinity")}
    colours = {"original": "#bbbbbb", "Infinity": "#888888", "Infinity bf16": "#666666"}
    colours |= {"onnxruntime fp32": "#e3c77b", "onnxruntime int8": "#c99a2e", "OpenVINO on ONNX": "#a3cbe0"}
    colours |= dict(zip(OURS, ("#0b6e4f", "#6bbf59", "#08415c"), strict=True))
    _, axes = plt.subplots(figsize=(9, 4.5))
    for place, (name, colour) in enumerate(colours.items()):
        heights = [median(cell.get(name) or [0]) / median(cell["Infinity"]) for cell in cells.values()]
        axes.bar([i + 0.09 * (place - 4) for i in range(len(cells))], heights, 0.09, label=name, color=colour)
    axes.set_xticks(range(len(cells)), [load.replace(" ", "\n", 1) for load in cells])
    axes.set_ylabel("requests a second, Infinity = 1")
    axes.set_title("ViT-B-32, 8 clients")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), HERE)
