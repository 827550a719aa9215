"""Which shape a batch of texts is computed in."""

from __future__ import annotations

from pathlib import Path


class LastShape:
    """Stays with the last batch's shape where that is larger, as long as less than `spare` tokens in all were computed
    for nothing since it was chosen. What staying costs is then never more than twice the best that could be done,
    whatever comes next: the rule of renting skis or buying them (Karlin et al. 1988, Algorithmica 3).

    free: up to so many tokens a pass takes no longer than with one.
    """

    def __init__(self, spare: int, free: int = 1) -> None:
        self._spare = spare
        self._free = free
        self._wasted = 0
        self._rows = 0
        self._length = 0

    def at_least(self, rows: int, length: int) -> tuple[int, int]:
        """The rows and tokens to compute for a batch that needs so many."""
        self._wasted += self._cost(self._rows, self._length) - self._cost(rows, length)
        if rows > self._rows or length > self._length or self._wasted > self._spare:
            self._rows, self._length, self._wasted = rows, max(length, self._free // rows), 0
        return self._rows, self._length

    def _cost(self, rows: int, length: int) -> int:
        return max(rows * length, self._free)


def text_shape(precision: str) -> LastShape:
    """For this CPU. A batch of another shape than the last one takes 1.5 to 2 ms more on two cores, since OpenVINO
    prepares all layers anew; in that time ViT-B-32 computes some 10 tokens, or 40 where AMX multiplies (an Intel Xeon).
    AMX's tiles have 16 rows, filled or not.
    """
    if precision == "fp32" or not has_amx():
        return LastShape(spare=10)
    return LastShape(spare=40, free=16)


def has_amx() -> bool:
    """Whether the CPU has matrix tiles; only Linux tells."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "amx_tile" in flags.read_text()
