"""Freed memory goes back to the system, so that a burst of large requests does not stay on the machine's bill.

glibc keeps what is freed, in an arena for each thread: as the middle of a heap that something small still ends, and as
the heap's end, which it lets grow to twice the largest block that was ever freed. 100 refused images of 20 MB by 8
clients left 186 MB more than before; bodies of 30 MB of JSON left 57 MB in each thread that had parsed one.

malloc_trim gives back what is free in the middle of all heaps, and at the end of the first. The ends of the others have
a bound, and blocks of LARGE bytes and more are none of a heap's.
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
LARGE = 4_000_000  # bytes; a batch's pixels are fewer
HEAP_END = 8_000_000  # bytes that a heap may keep at its end
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


async def give_back_freed_memory(byte_budget: ByteBudget) -> None:
    """Goes on until it is cancelled. Does nothing where the C library is not glibc."""
    trim = malloc_trim()
    if trim is not None:
        bound_heaps()
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


def bound_heaps() -> None:
    """For a process whose C library is glibc."""
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, LARGE)
    library.mallopt(M_TRIM_THRESHOLD, HEAP_END)
