"""Which cores each worker gets: side by side, and inside one NUMA node where they fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..engines.cores import available_cores

CPUS = "sys/devices/system/cpu"
NODES = "sys/devices/system/node"


class Core(NamedTuple):
    node: int
    cpus: tuple[int, ...]  # one, or several that are hyperthreads of each other


class Share(NamedTuple):
    threads: int
    cpus: tuple[int, ...]  # to run on; empty: on any


def shares(workers: int, root: Path = Path("/")) -> list[Share]:
    """One for each worker. Where a quota allows fewer cores than affinity does, any may be used: another server with
    such a quota would pin its threads to the same ones. root: where the files of Linux are read."""
    cores = physical_cores(root)
    allowed = available_cores(root)
    if workers > len(cores) or allowed < sum(len(core.cpus) for core in cores):
        return [Share(max(1, allowed // workers), ())] * workers
    return divided(cores, workers)


def physical_cores(root: Path = Path("/")) -> list[Core]:
    """Those that affinity allows. Empty where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    nodes = _nodes(root)
    cores: dict[int, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = _numbers(root / CPUS / f"cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(min(siblings, default=cpu), []).append(cpu)
    return [Core(nodes.get(cpus[0], 0), tuple(cpus)) for cpus in cores.values()]


def divided(cores: Sequence[Core], workers: int) -> list[Share]:
    """At most as many workers as cores. All compute on equally many; what is left of a node widens shares there."""
    each = len(cores) // workers
    blocks: list[list[Core]] = []
    left: list[Core] = []
    for node in sorted({core.node for core in cores}):
        of_node = [core for core in cores if core.node == node]
        whole = len(of_node) // each
        blocks += [of_node[number * each : (number + 1) * each] for number in range(whole)]
        left += of_node[whole * each :]
    spare = [core for block in blocks[workers:] for core in block] + left
    del blocks[workers:]
    while len(blocks) < workers:
        blocks.append(spare[:each])
        del spare[:each]
    for core in spare:
        beside = [block for block in blocks if block[0].node == core.node]
        if beside:
            min(beside, key=len).append(core)
    return [Share(each, tuple(sorted(cpu for core in block for cpu in core.cpus))) for block in blocks]


def _nodes(root: Path) -> Mapping[int, int]:
    """CPU → node."""
    folders = sorted((root / NODES).glob("node[0-9]*"))
    return {cpu: int(folder.name[4:]) for folder in folders for cpu in _numbers(folder / "cpulist")}


def _numbers(path: Path) -> list[int]:
    """Of a list such as 0-3,8. Empty where there is none."""
    found: list[int] = []
    with suppress(OSError, ValueError):
        for part in path.read_text().strip().split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    return found
