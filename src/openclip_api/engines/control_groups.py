"""Limits that Linux's control groups set: a container's, a service's.

Sources, of Linux's Documentation: admin-guide/cgroup-v2.rst (cpu.max, memory.max), admin-guide/cgroup-v1/memory.rst
(memory.limit_in_bytes), scheduler/sched-bwc.rst (cpu.cfs_quota_us).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def limits(root: Path, controller: str, version_2: str, *version_1: str) -> Iterator[list[int]]:
    """The numbers in a limit's files, for this process's group and each above it. A group without a limit gives none.

    root: where the files of Linux are read. version_1: the files that say in version 1 what version_2 says in one.
    """
    groups = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:  # version 2
                yield from _each(groups, path, version_2)
            elif controller in controllers.split(","):
                yield from _each(groups / controller, path, *version_1)


def _each(top: Path, path: str, *names: str) -> Iterator[list[int]]:
    """A container may see the path that its group has outside: what is not there is passed over."""
    group = top / path.lstrip("/")
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # "max" is no number, and the topmost group has no such file
            yield [int(word) for name in names for word in (folder / name).read_text().split()]
        if folder == top:
            break
