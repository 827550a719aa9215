"""Of a checkpoint that does not fit its config: all the tensors that it lacks, not only the first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .weights import PART, MissingTensor, Weights

MOST_MISSING = 1000  # tensors, and numbers in each: beyond them the first is told alone
MOST_NUMBERS = 1 << 28


class Filled(Weights):
    """Has every tensor that is asked for with its shape: what the checkpoint lacks is zeros, and is written down.

    Nothing writes the zeros, so they take no memory.
    """

    def __init__(
        self, weights: Weights, prefix: str = "", used: set[str] | None = None, missing: dict[str, None] | None = None
    ) -> None:
        super().__init__(weights.tensors(), weights.source, prefix, used)
        self.missing: dict[str, None] = {} if missing is None else missing

    def at(self, prefix: str) -> Filled:
        return Filled(self, self._prefix + prefix, self._used, self.missing)

    def __getitem__(self, key: str) -> NDArray[np.generic]:
        if key not in self:
            self.missing[self._prefix + key] = None
        return super().__getitem__(key)

    def tensor(self, key: str, *shape: int) -> NDArray[np.generic]:
        if key in self:
            return super().tensor(key, *shape)
        self.missing[self._prefix + key] = None
        if len(self.missing) > MOST_MISSING or math.prod(shape) > MOST_NUMBERS:
            raise MissingTensor
        return np.zeros(shape, np.float32)


def some(names: Iterable[str]) -> str:
    """The first three of them, and how many there are."""
    names = list(names)
    first = ", ".join(repr(name.partition(PART)[0]) for name in islice(names, 3))
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first
