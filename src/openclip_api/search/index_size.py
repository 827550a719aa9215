"""How large an IVF-PQ index is, and how far a search looks into it."""

from __future__ import annotations

from collections.abc import Iterable


def sub_vectors(dimensions: int) -> int:
    """Into how many parts product quantization cuts a vector: each of eight numbers, or of the next divisor above."""
    if dimensions < 8:
        return 1
    return next(dimensions // size for size in range(8, dimensions + 1) if dimensions % size == 0)


def search_widths(partitions: int) -> Iterable[tuple[int, int]]:
    """Wider and wider: how many partitions to search, and how many times k candidates to compare exactly."""
    probes = 8
    while probes < partitions:
        yield probes, 10
        yield probes, 50
        probes *= 2
    yield partitions, 50
    yield partitions, 200
