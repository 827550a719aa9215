"""The encoder of M2M-100, which is NLLB's: token ids → a vector per token.

Source: transformers/models/m2m_100/modeling_m2m_100.py, M2M100Encoder (5.23.0); NLLB Team 2022, arXiv:2207.04672.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.weights import Weights
from . import layers
from .flags import one_of
from .layers import Node
from .packed_texts import PackedTexts

EPS = 1e-5  # torch.nn.LayerNorm's own: M2M100EncoderLayer gives it none


@dataclass(frozen=True)
class M2M100Config:
    """What config.json beside the Hugging Face model calls the same."""

    vocab_size: int
    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    scale_embedding: bool
    pad_token_id: int
    activation_function: str

    @property
    def width(self) -> int:
        return self.d_model

    def positions(self, counts: NDArray[np.bool_]) -> NDArray[np.integer]:
        """counts [B, S]: whether a token is no padding → [B, S]; that of padding is never asked for."""
        return self.pad_token_id + counts.cumsum(axis=1)


def m2m_100_encoder(packed: PackedTexts, config: M2M100Config, w: Weights, context_length: int) -> Node:
    """[1, T, W]."""
    one_of(config.activation_function, ("relu",), "activation_function")
    x = layers.embedding(packed.ids, w.at("embed_tokens."), config.vocab_size, config.width)
    if config.scale_embedding:
        x = op.multiply(x, op.constant(np.float32(math.sqrt(config.width))))
    positions = op.constant(sinusoids(config.pad_token_id + 1 + context_length, config.width))
    x = op.add(x, op.gather(positions, packed.positions, op.constant(0)))
    x = op.unsqueeze(x, layers.integers(0))
    mask = packed.mask(causal=False)
    for i in range(config.encoder_layers):
        x = _layer(x, mask, config, w.at(f"layers.{i}."))
    return layers.layer_norm(x, w.at("layer_norm."), config.width, EPS)


def sinusoids(count: int, width: int) -> NDArray[np.float32]:
    """M2M100SinusoidalPositionalEmbedding.get_embedding: first all sines, then all cosines."""
    half = width // 2
    frequencies = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000) / (half - 1)))
    angles = np.arange(count, dtype=np.float32)[:, None] * frequencies
    table = np.zeros((count, width), np.float32)  # an odd width leaves one column at zero
    table[:, : 2 * half] = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    return table


def _layer(x: Node, mask: Node, config: M2M100Config, w: Weights) -> Node:
    """M2M100EncoderLayer: LayerNorm comes before each branch."""
    width, hidden = config.width, config.encoder_ffn_dim
    y = layers.layer_norm(x, w.at("self_attn_layer_norm."), width, EPS)
    q, k, v = (layers.linear(y, w.at(f"self_attn.{name}_proj."), width, width) for name in "qkv")
    heads = config.encoder_attention_heads
    attended = layers.attention(q, k, v, heads, mask=mask)
    x = op.add(x, layers.linear(attended, w.at("self_attn.out_proj."), width, width))
    y = layers.layer_norm(x, w.at("final_layer_norm."), width, EPS)
    y = op.relu(layers.linear(y, w.at("fc1."), width, hidden))
    return op.add(x, layers.linear(y, w.at("fc2."), hidden, width))
