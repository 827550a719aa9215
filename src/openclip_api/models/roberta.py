"""BERT's, RoBERTa's and XLM-RoBERTa's encoder: token ids → a vector per token.

Source: transformers/models/roberta/modeling_roberta.py, RobertaModel (5.23.0; modeling_xlm_roberta.py is the
same); Liu et al. 2019, arXiv:1907.11692. bert/modeling_bert.py, BertModel (5.24.0) differs in where positions begin;
Devlin et al. 2018, arXiv:1810.04805.
"""

from __future__ import annotations

from dataclasses import dataclass

import openvino.opset13 as op

from ..checkpoints.weights import Weights
from . import layers
from .flags import one_of
from .layers import Node


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


@dataclass(frozen=True)
class BertConfig(RobertaConfig):
    """Positions are 0, 1, 2 …, whether a token or padding stands there."""

    @property
    def max_tokens(self) -> int:
        return self.max_position_embeddings


def roberta_encoder(ids: Node, padding_mask: Node, config: RobertaConfig, w: Weights) -> Node:
    """ids int32 [B, T], padding_mask bool [B, T], false for padding → [B, T, W]."""
    one_of(config.hidden_act, ("gelu",), "hidden_act")
    x = _embeddings(ids, padding_mask, config, w.at("embeddings."))
    mask = layers.attention_mask(padding_mask)
    for i in range(config.num_hidden_layers):
        x = _layer(x, mask, config, w.at(f"encoder.layer.{i}."))
    return x


def roberta_pooler(x: Node, config: RobertaConfig, w: Weights) -> Node:
    """[B, T, W] → [B, W]: RobertaPooler or BertPooler, which only cls_pooler asks for."""
    first = op.gather(x, op.constant(0), op.constant(1))
    return op.tanh(layers.linear(first, w.at("pooler.dense."), config.width, config.width))


def _embeddings(ids: Node, padding_mask: Node, config: RobertaConfig, w: Weights) -> Node:
    """All tokens are of type 0."""
    width = config.width
    if isinstance(config, BertConfig):
        length = op.squeeze(op.gather(op.shape_of(ids), layers.integers(1), layers.integers(0)), layers.integers(0))
        positions = op.range(op.constant(0), length, op.constant(1), "i64")  # [T]
    else:
        positions = layers.token_positions(padding_mask, config.pad_token_id)  # [B, T]
    x = layers.embedding(ids, w.at("word_embeddings."), config.vocab_size, width)
    x = op.add(x, layers.embedding(op.constant(0), w.at("token_type_embeddings."), config.type_vocab_size, width))
    x = op.add(x, layers.embedding(positions, w.at("position_embeddings."), config.max_position_embeddings, width))
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
