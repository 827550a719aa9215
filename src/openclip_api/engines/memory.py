"""How much memory this process may use, and a warning where a model needs more."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from .control_groups import limits

NO_LIMIT = 1 << 60  # version 1 of the control groups writes the largest number of pages for none
SERVER = 150e6  # bytes, before any model
COPIES = 2  # of a model in float32: the weights, and the engine's own order of them, while it compiles

log = logging.getLogger("openclip_api")


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes, by control groups and RLIMIT_AS; None for no limit. root: where the files of Linux are read."""
    found = [number for (number,) in limits(root, "memory", "memory.max", "memory.limit_in_bytes")]
    with suppress(ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        found += [soft] if soft != resource.RLIM_INFINITY else []
    return min((number for number in found if number < NO_LIMIT), default=None)


def free_memory(root: Path = Path("/")) -> float | None:
    """Bytes that the machine has left, or the limit where that is less. None where the system does not tell."""
    found = [limit] if (limit := memory_limit(root)) is not None else []
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    return min(found, default=None)


def needed_memory(parameters: int) -> float:
    """Bytes that a process needs while it starts. parameters: of both towers."""
    return SERVER + COPIES * 4 * parameters


def warn_of_small_memory(parameters: int, root: Path = Path("/")) -> None:
    """A system that is out of memory ends a process without a word, so the log says it before.

    parameters: of both towers.
    """
    needed = needed_memory(parameters)
    limit = memory_limit(root)
    if limit is not None and limit < needed:
        log.warning(
            "openclip-api: the memory limit is %d MB, and this model needs about %d MB while it starts: the system may "
            "end the process. Raise the limit, or choose a smaller model",
            limit / 1e6,
            needed / 1e6,
        )
