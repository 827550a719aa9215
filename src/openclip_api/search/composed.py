"""A query of several signed parts: "beach", plus a picture of a sunset, minus "people".

The query is the sum of the parts' unit vectors, each times its weight. A row's cosine to that sum has the order of the
weighted sum of its cosines to the parts. Source: the multimodal linguistic regularities of Kiros et al., "Unifying
Visual-Semantic Embeddings with Multimodal Neural Language Models", arXiv:1411.2539: the picture of a blue car, minus
"blue", plus "red", is near to pictures of red cars.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InvalidInput
from ..runtime.embedding import Vector, unit_length

MAX_PARTS = 16
MAX_WEIGHT = 100.0
LEAST_LEFT = 1e-3  # of the weights' sum: what is left of parts that cancel out is rounding


def composed(vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """Vectors [E] of any length but 0, and a weight for each, not 0 → [E] of unit length. Raises InvalidInput."""
    units = unit_length(np.stack(vectors).astype(np.float32))
    total = np.asarray(weights, np.float32) @ units
    if np.linalg.norm(total) < LEAST_LEFT * np.abs(weights).sum():
        raise InvalidInput("parts: they cancel each other out, so nothing is left to look for", "parts")
    unit: Vector = unit_length(total[None])[0]
    return unit
