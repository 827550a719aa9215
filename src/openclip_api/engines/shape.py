"""Which shape a batch of texts is computed in."""

from __future__ import annotations


class LastShape:
    """Stays with the last batch's shape where that is larger, as long as less than `spare` tokens in all were computed
    for nothing since it was chosen. What staying costs is then never more than twice the best that could be done,
    whatever comes next: the rule of renting skis or buying them (Karlin et al. 1988, Algorithmica 3).
    """

    def __init__(self, spare: int) -> None:
        self._spare = spare
        self._wasted = 0
        self._rows = 0
        self._length = 0

    def at_least(self, rows: int, length: int) -> tuple[int, int]:
        """The rows and tokens to compute for a batch that needs so many."""
        self._wasted += self._rows * self._length - rows * length
        if rows > self._rows or length > self._length or self._wasted > self._spare:
            self._rows, self._length, self._wasted = rows, length, 0
        return self._rows, self._length
