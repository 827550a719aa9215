"""A number that the workers of a server count together."""

from __future__ import annotations

from collections.abc import MutableSequence


class Count:
    """Each worker changes its own part, and reads the sum of all. A server without workers has the only part.

    parts: one for each worker, in memory that all of them see. mine: the place of this worker's.
    """

    def __init__(self, parts: MutableSequence[int] | memoryview[int] | None = None, mine: int = 0) -> None:
        self._parts = [0] if parts is None else parts
        self._mine = mine

    @property
    def own(self) -> int:
        return self._parts[self._mine]

    @property
    def total(self) -> int:
        return sum(self._parts)

    def add(self, number: int) -> None:
        self._parts[self._mine] += number
