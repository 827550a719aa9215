"""What every text architecture gives: a graph, and what the graph needs of a batch of token ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

TokenIds: TypeAlias = NDArray[np.int32]  # [B, context_length]
ModelInputs: TypeAlias = dict[str, NDArray[np.generic]]  # by the names of the graph's inputs


@dataclass(frozen=True)
class TextTower:
    """graph: model inputs → embeddings float32 [B, E].

    model_inputs: the graph's inputs for a batch.
    lengths: how many tokens each text of a batch costs, where the graph takes packed texts (packed_texts.py). None
    where each text costs its whole context, as all tokens see each other or the last one is pooled.
    """

    graph: ov.Model
    context_length: int
    model_inputs: Callable[[TokenIds], ModelInputs]
    lengths: Callable[[TokenIds], NDArray[np.integer]] | None = None
