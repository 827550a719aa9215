"""Which shape a batch is computed in: how many rows, and for texts how many tokens.

OpenVINO prepares kernels and memory for each shape it meets, some 0.7 MB and 10 ms at a time, and never gives them
back. So batches and texts are padded to a few sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def batch_rows(items: int) -> int:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 ...: the first of these that holds so many items.

    At most a third of a batch is padding.
    """
    power = 1 << max(items - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and items <= power * 3 // 4 else power


def text_length(needed: int, context_length: int) -> int:
    """Up to 32 tokens the sizes of `batch_rows`, then 40, 48, 56, 64, 80, 96 ...; at most the whole context.

    Long texts are rounded less: there an eighth more tokens costs more than another shape.
    """
    if needed <= 32:
        return min(batch_rows(needed), context_length)
    step = (1 << (needed - 1).bit_length()) // 8
    return min(-(-needed // step) * step, context_length)


def padded(batch: NDArray[Number], rows: int) -> NDArray[Number]:
    """[B, ...] → [rows, ...]: the last item is repeated."""
    missing = rows - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


class TextShapes:
    """Chooses the shape of each batch of texts. Both another shape than the last one and padding cost time.

    It stays with the last shape where that is larger, until more than `padding_budget` tokens were computed in vain
    since that shape was chosen. The budget is what a change of shape costs, in tokens. Then the total cost is at most
    twice the best possible, whatever comes next: the ski-rental problem (Karlin et al. 1988, Algorithmica 3).

    free_tokens: a pass with so many tokens takes no longer than one with a single token.
    """

    def __init__(self, context_length: int, padding_budget: int, free_tokens: int = 1) -> None:
        self._context_length = context_length
        self._padding_budget = padding_budget
        self._free_tokens = free_tokens
        self._padding = 0  # tokens computed in vain since the shape was chosen
        self._rows = 0
        self._length = 0

    def choose(self, texts: int, needed_length: int) -> tuple[int, int]:
        """Rows and tokens to compute for so many texts, of which the longest needs so many tokens."""
        rows, length = batch_rows(texts), text_length(needed_length, self._context_length)
        self._padding += self._cost(self._rows, self._length) - self._cost(rows, length)
        if rows > self._rows or length > self._length or self._padding > self._padding_budget:
            self._rows, self._length, self._padding = rows, max(length, self._free_tokens // rows), 0
        return self._rows, min(self._length, self._context_length)

    def _cost(self, rows: int, length: int) -> int:
        return max(rows * length, self._free_tokens)


def text_shapes(precision: str, context_length: int) -> TextShapes:
    """For this CPU.

    On two cores a batch of another shape takes 1.5 to 2 ms more, since OpenVINO prepares all layers anew. In that time
    ViT-B-32 computes some 10 tokens, or 40 on an Intel Xeon with AMX, whose tiles have 16 rows, filled or not.
    """
    if precision == "fp32" or not has_amx():
        return TextShapes(context_length, padding_budget=10)
    return TextShapes(context_length, padding_budget=40, free_tokens=16)


def has_amx() -> bool:
    """Whether the CPU has matrix tiles. Only Linux tells."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "amx_tile" in flags.read_text()
