"""All texts of a batch laid end to end, in one dimension of tokens: each text costs its own tokens, and no padding.

        a cat, dogs     ids        49406 320 2368 49407   49406 3255 49407   0 0
                        positions  0     1   2    3       0     1    2       0 0
                        texts      0     0   0    0       1     1    1      -1 -1
                        pooled_at                 3                  6

The filler at the end rounds the number of tokens up, as few numbers need few kernels. It is a text of its own: no other
sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as op
from numpy.typing import NDArray

from . import layers
from .layers import Node, integers
from .text_tower import ModelInputs, TokenIds

FILLER = {"ids": 0, "positions": 0, "texts": -1, "keys": True}  # of the inputs [T]


@dataclass(frozen=True)
class PackedTexts:
    """The graph's inputs: ids, positions and texts int32 [T]; pooled_at int32 [B], where a token of each text is."""

    ids: Node
    positions: Node
    texts: Node
    pooled_at: Node

    @classmethod
    def parameters(cls) -> PackedTexts:
        return cls(*(layers.parameter(name, [-1], np.int32) for name in ("ids", "positions", "texts", "pooled_at")))

    def mask(self, causal: bool) -> Node:
        """bool [1, 1, T, T]: each token sees those of its own text; causal: none that come after it."""
        seen = op.equal(op.unsqueeze(self.texts, integers(1)), op.unsqueeze(self.texts, integers(0)))
        if causal:
            at = self.positions
            seen = op.logical_and(seen, op.greater_equal(op.unsqueeze(at, integers(1)), op.unsqueeze(at, integers(0))))
        return op.unsqueeze(seen, integers(0, 1))

    def pooled(self, x: Node) -> Node:
        """[1, T, W] → [B, W]."""
        return op.gather(op.squeeze(x, integers(0)), self.pooled_at, op.constant(0))

    def mean(self, x: Node) -> Node:
        """[1, T, W] → [B, W]: the mean of each text's tokens."""
        own_text = op.gather(self.texts, self.pooled_at, op.constant(0))  # [B]
        is_own = op.equal(op.unsqueeze(own_text, integers(1)), op.unsqueeze(self.texts, integers(0)))
        is_own = op.convert(is_own, "f32")  # [B, T]
        total = op.matmul(is_own, op.squeeze(x, integers(0)), False, False)
        return op.divide(total, op.reduce_sum(is_own, integers(1), True))

    def graph(self, embeddings: Node, *others: Node) -> ov.Model:
        """others: more inputs."""
        return ov.Model([embeddings], [self.ids, self.positions, self.texts, self.pooled_at, *others], "text")


def pack(ids: TokenIds, counts: NDArray[np.bool_], positions: NDArray[np.integer], pooled: str) -> ModelInputs:
    """All [B, S], positions also [S]. counts: whether a token is computed, at least one in each text. pooled: whether
    the "first" or the "last" of them is pooled."""
    texts, _ = counts.nonzero()
    ends = counts.sum(axis=1).cumsum()
    pooled_at = ends - 1 if pooled == "last" else np.concatenate([[0], ends[:-1]])
    inputs = {
        "ids": ids[counts],
        "positions": np.broadcast_to(positions, counts.shape)[counts],
        "texts": texts,
        "pooled_at": pooled_at,
    }
    return {name: values.astype(np.int32) for name, values in inputs.items()}


def filled(inputs: ModelInputs, tokens: int) -> ModelInputs:
    """[T] → [tokens]."""
    whole = dict(inputs)
    for name in FILLER.keys() & inputs.keys():
        whole[name] = np.full(tokens, FILLER[name], inputs[name].dtype)
        whole[name][: len(inputs[name])] = inputs[name]
    return whole
