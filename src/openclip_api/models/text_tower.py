"""What every text architecture gives: its graph, and what the graph is fed from a batch of token ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

TokenIds: TypeAlias = NDArray[np.int32]  # [B, context_length]
TextFeeds: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TextTower:
    """graph: what `feeds` makes of ids int32 [B, context_length] → embeddings float32 [B, E]."""

    graph: ov.Model
    feeds: Callable[[TokenIds], TextFeeds]
    context_length: int
