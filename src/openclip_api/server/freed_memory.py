"""Freed memory goes back to the system, so that a burst of large images does not stay on the machine's bill.

glibc keeps what is freed: as the middle of a heap that something small still ends, and in an arena for each thread. 100
refused images of 20 MB by 8 clients left 186 MB more than before. With MALLOC_ARENA_MAX=2 that was 197 MB, with
M_MMAP_THRESHOLD at 1 MB 91 MB, with both 83 MB: less, at a price for all that OpenVINO allocates. malloc_trim gives
back all that is free, wherever it lies: nothing was left.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import Callable
from functools import partial

from .byte_budget import ByteBudget

SECONDS = 2
WORTH_IT = 10_000_000  # bytes of bodies since the last time: texts and small images change little


async def give_back_freed_memory(byte_budget: ByteBudget) -> None:
    """Goes on until it is cancelled. Does nothing where the C library is not glibc."""
    trim = malloc_trim()
    while trim is not None:
        await asyncio.sleep(SECONDS)
        if byte_budget.freed >= WORTH_IT:
            byte_budget.freed = 0
            await asyncio.to_thread(trim)


def malloc_trim() -> Callable[[], object] | None:
    """What gives all freed memory back at once; None where the C library is not glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return partial(ctypes.CDLL(None).malloc_trim, 0)
    return None
