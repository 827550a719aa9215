"""What every text architecture gives: its graph, and what the graph is fed from a batch of token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

TokenIds: TypeAlias = NDArray[np.int32]  # [B, context_length]
TextFeeds: TypeAlias = dict[str, NDArray[Any]]


class Feeds(Protocol):
    """What a text graph is fed. least: how many tokens to keep of each text, even where none needs so many."""

    def __call__(self, ids: TokenIds, least: int = 1) -> TextFeeds: ...


@dataclass(frozen=True)
class TextTower:
    """graph: what `feeds` makes of ids int32 [B, context_length] → embeddings float32 [B, E].

    trims: whether a short text costs less than a long one.
    """

    graph: ov.Model
    feeds: Feeds
    context_length: int
    trims: bool = True


def next_size(n: int) -> int:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 ...: the first of these that holds n.

    OpenVINO prepares kernels and memory for each shape it meets, some 0.7 MB and 10 ms at a time. Batches and lengths
    of these sizes alone keep both bounded, and at most a third of a batch is padding.
    """
    power = 1 << max(n - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and n <= power * 3 // 4 else power


def kept_length(longest: int, least: int, context_length: int) -> int:
    """How many tokens to compute where those after the `longest` say nothing.

    Long texts are rounded less: 40, 48, 56, 64, 80, 96 ... There an eighth more costs more than another shape.
    """
    step = (1 << (longest - 1).bit_length()) // 8
    rounded = next_size(longest) if longest <= 32 else -(-longest // step) * step
    return min(max(rounded, least), context_length)
