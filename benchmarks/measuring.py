"""One load on one server: wrk asks, and the server's processor time is read before and after."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loads import Load, bodies_file
from systems import Running

HERE = Path(__file__).parent
CACHE = HERE / ".cache"


def warm_up(server: Running, loads: Sequence[Load]) -> None:
    for load in loads:
        measure(server, load, max(load.clients), 2, 0)


def measure(server: Running, load: Load, clients: int, seconds: float, round_: int) -> dict:
    """One run of wrk: requests a second, median and 99th percentile of the answer times, core-milliseconds an answer
    (those that were under way when time was up are finished and counted there)."""
    bodies = bodies_file(CACHE / "bodies", load, server.system.protocol)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(HERE / "load.lua"),
               server.url + server.system.path, "--", str(bodies), str(round_ * 7919)]  # fmt: skip
    before = server.cpu_seconds()
    output = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    server.wait_until_idle()  # what it was still asked when time was up must not run into the next one's
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    if result.pop("failed"):
        raise SystemExit(f"{server.system.name} answers {load.name} with errors: see its log in {CACHE}")
    return {
        "round": round_, "load": load.name, "clients": clients, "system": server.system.name,
        "per_second": result["requests"] / result["seconds"],
        "core_ms": 1e3 * (server.cpu_seconds() - before) / (result["requests"] + clients), **result,
    }  # fmt: skip
