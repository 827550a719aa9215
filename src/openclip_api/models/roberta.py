"""BERT's, RoBERTa's and XLM-RoBERTa's encoder: token ids → a vector per token.

Source: transformers/models/roberta/modeling_roberta.py, RobertaModel (5.23.0; modeling_xlm_roberta.py is the
same); Liu et al. 2019, arXiv:1907.11692. bert/modeling_bert.py, BertModel (5.24.0) differs in where positions begin;
Devlin et al. 2018, arXiv:1810.04805.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.weights import Weights
from . import layers
from .flags import one_of
from .layers import Node
from .packed_texts import PackedTexts


@dataclass(frozen=True)
class RobertaConfig:
    """What config.json beside the Hugging Face model calls the same."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    pad_token_id: int
    hidden_act: str

    @property
    def width(self) -> int:
        return self.hidden_size

    @property
    def max_tokens(self) -> int:
        """The first token stands behind the padding's position."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def positions(self, counts: NDArray[np.bool_]) -> NDArray[np.integer]:
        """counts [B, S]: whether a token is no padding → [B, S]; that of padding is never asked for."""
        return self.pad_token_id + counts.cumsum(axis=1)


@dataclass(frozen=True)
class BertConfig(RobertaConfig):
    """Positions are 0, 1, 2 …, whether a token or padding stands there."""

    @property
    def max_tokens(self) -> int:
        return self.max_position_embeddings

    def positions(self, counts: NDArray[np.bool_]) -> NDArray[np.integer]:
        return np.arange(counts.shape[1])


def roberta_encoder(packed: PackedTexts, config: RobertaConfig, w: Weights) -> Node:
    """[1, T, W]."""
    one_of(config.hidden_act, ("gelu",), "hidden_act")
    x = _embeddings(packed, config, w.at("embeddings."))
    mask = packed.mask(causal=False)
    for i in range(config.num_hidden_layers):
        x = _layer(x, mask, config, w.at(f"encoder.layer.{i}."))
    return x


def roberta_pooler(first: Node, config: RobertaConfig, w: Weights) -> Node:
    """[B, W] → [B, W]: RobertaPooler or BertPooler, which only cls_pooler asks for."""
    return op.tanh(layers.linear(first, w.at("pooler.dense."), config.width, config.width))


def _embeddings(packed: PackedTexts, config: RobertaConfig, w: Weights) -> Node:
    """[1, T, W]. All tokens are of type 0."""
    width, positions = config.width, packed.positions
    x = layers.embedding(packed.ids, w.at("word_embeddings."), config.vocab_size, width)
    x = op.add(x, layers.embedding(op.constant(0), w.at("token_type_embeddings."), config.type_vocab_size, width))
    x = op.add(x, layers.embedding(positions, w.at("position_embeddings."), config.max_position_embeddings, width))
    x = op.unsqueeze(x, layers.integers(0))
    return layers.layer_norm(x, w.at("LayerNorm."), width, config.layer_norm_eps)


def _layer(x: Node, mask: Node, config: RobertaConfig, w: Weights) -> Node:
    """RobertaLayer: LayerNorm comes after each sum."""
    width, hidden, eps = config.width, config.intermediate_size, config.layer_norm_eps
    q, k, v = (layers.linear(x, w.at(f"attention.self.{name}."), width, width) for name in ("query", "key", "value"))
    heads = config.num_attention_heads
    attended = layers.attention(q, k, v, heads, mask=mask)
    attended = layers.linear(attended, w.at("attention.output.dense."), width, width)
    x = layers.layer_norm(op.add(x, attended), w.at("attention.output.LayerNorm."), width, eps)
    y = layers.gelu(layers.linear(x, w.at("intermediate.dense."), width, hidden))
    y = layers.linear(y, w.at("output.dense."), hidden, width)
    return layers.layer_norm(op.add(x, y), w.at("output.LayerNorm."), width, eps)
