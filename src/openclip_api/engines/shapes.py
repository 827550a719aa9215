"""Which shape a batch is computed in: how many rows, or for packed texts how many tokens.

OpenVINO prepares kernels and memory for each shape it meets, some 0.7 MB and 10 ms at a time, and never gives them
back. So batches are padded to a few sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)

# Of packed texts in one pass. Attention compares each token with all of the pass, those of other texts too: at 256
# tokens that is a twelfth of the work in ViT-B-32, at 384 a quarter of the built-in model's time.
MOST_TOKENS = 256


def batch_rows(items: int) -> int:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 ...: the first of these that holds so many items.

    At most a third of a batch is padding.
    """
    power = 1 << max(items - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and items <= power * 3 // 4 else power


def batch_tokens(tokens: int) -> int:
    """8, 16, 24 ... 64, 72 ... 128, 144 ... 256, 288 ...: the first of these that holds so many tokens."""
    step = max(8, (1 << (tokens - 1).bit_length()) // 16)
    return -(-tokens // step) * step


def padded(batch: NDArray[Number], rows: int) -> NDArray[Number]:
    """[B, ...] → [rows, ...]: the last item is repeated."""
    missing = rows - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


def passes(lengths: Iterable[int]) -> Iterator[tuple[slice, int]]:
    """Texts of so many tokens each → which of them share a pass, in their order, and the sum of their tokens."""
    begin, total = 0, 0
    for end, length in enumerate(lengths):
        if end > begin and total + length > MOST_TOKENS:
            yield slice(begin, end), total
            begin, total = end, 0
        total += length
    yield slice(begin, None), total
