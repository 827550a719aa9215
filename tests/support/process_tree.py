"""Processor time and memory of a process and its descendants, from Linux's /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Of the process, its descendants, and those that have ended."""
    return sum(map(_cpu_seconds, family(pid)))


def machine_seconds() -> float:
    """Processor time that all cores have spent on something."""
    user, nice, system, _, _, *others = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(map(int, (user, nice, system, *others))) / TICKS


def coreless_seconds(pid: int) -> dict[str, float]:
    """How long each of its threads has stood ready to run; empty where the kernel does not count it."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found[thread.parent.name] = int(thread.read_text().split()[1]) / 1e9
    return found


def resident_mb(pid: int) -> float:
    return sum(_memory(process, "VmRSS:") for process in family(pid))


def peak_mb(pid: int) -> float:
    """The most since forget_peaks: of each process its own, whenever it was."""
    return sum(_memory(process, "VmHWM:") for process in family(pid))


def forget_peaks(pid: int) -> None:
    for process in family(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")


def family(pid: int) -> list[int]:
    """The process and its descendants: a server's workers, and their decoders."""
    return [pid, *(descendant for child in children(pid) for descendant in family(child))]


def decoders(pid: int) -> list[int]:
    found = []
    for process in family(pid):
        with contextlib.suppress(OSError):
            if b"decoder_processes" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS  # utime, stime, cutime, cstime


def _memory(pid: int, field: str) -> float:
    try:
        _, _, found = Path(f"/proc/{pid}/status").read_text().partition(field)
    except OSError:
        return 0.0
    return int(found.split()[0]) / 1024 if found else 0.0
