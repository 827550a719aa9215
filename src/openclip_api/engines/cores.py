"""How many cores this process may use: what affinity and a container's CPU quota allow, not what the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from .control_groups import limits


def available_cores(root: Path = Path("/")) -> int:
    """At least 1. A part of a core counts as one. root: where the files of Linux are read."""
    return max(1, min([_by_affinity(), *(math.ceil(quota) for quota in _quotas(root))]))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Cores: microseconds of processor time in a period, by the period."""
    for numbers in limits(root, "cpu", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"):
        if len(numbers) == 2 and min(numbers) > 0:
            yield numbers[0] / numbers[1]
