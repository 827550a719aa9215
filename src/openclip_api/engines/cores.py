"""How many cores this process may use: what its affinity and its container's CPU quota allow, not what the machine has.

Sources: Linux's Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cpu.cfs_quota_us).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """At least 1. A part of a core counts as one. root: where the files of Linux are read."""
    return max(1, min([_by_affinity(), *(math.ceil(quota) for quota in _quotas(root))]))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Of this process's control group and all above it, in cores. A group without a quota gives none."""
    groups = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:  # version 2
                yield from _each(groups, path, "cpu.max")
            elif "cpu" in controllers.split(","):  # version 1
                yield from _each(groups / "cpu", path, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _each(top: Path, path: str, *names: str) -> Iterator[float]:
    """A container may see the path that its group has outside: what is not there is passed over."""
    group = top / path.lstrip("/")
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # "max" is no number, and the topmost group has no such file
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                yield int(quota) / int(period)
        if folder == top:
            break
