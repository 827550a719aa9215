"""How well images and texts fit each other."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...runtime.embedding import ModelInfo

Cosines: TypeAlias = NDArray[np.float32]  # [queries, candidates]


def probabilities(cosines: Cosines, info: ModelInfo) -> NDArray[np.float32]:
    """Scores as the model was trained: a sigmoid for each pair if it has a bias (SigLIP), else a softmax over each row.

    Zhai et al. 2023, arXiv:2303.15343; Radford et al. 2021, arXiv:2103.00020.
    """
    logits = cosines.astype(np.float64) * (info.logit_scale or 1.0)
    if info.logit_bias is not None:
        return np.asarray(1 / (1 + np.exp(-(logits + info.logit_bias))), np.float32)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
