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

    needed_length: how many tokens of each text must be computed so that no text of this batch loses one that counts.
    model_inputs: the graph's inputs for a batch, with so many tokens of each text: at least `needed_length` and at
    most `context_length`.
    trims_texts: whether a batch of short texts needs fewer tokens than one of long texts.
    """

    graph: ov.Model
    context_length: int
    needed_length: Callable[[TokenIds], int]
    model_inputs: Callable[[TokenIds, int], ModelInputs]
    trims_texts: bool = True
