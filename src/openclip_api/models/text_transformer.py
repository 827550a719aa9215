"""OpenCLIP's native text transformer: token ids → text embedding.

Source: open_clip/transformer.py, TextTransformer and text_global_pool (3.3.0); Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.weights import Weights
from . import layers
from .flags import norm_eps, one_of
from .layers import Activation, Node, constant, integers


@dataclass(frozen=True)
class TextConfig:
    """text_cfg of a native tower, with open_clip's defaults (open_clip/model.py, CLIPTextCfg)."""

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0
    ls_init_value: float | None = None
    no_causal_mask: bool = False
    pool_type: str = "argmax"
    pad_id: int = 0  # native towers never mask their padding, so no computation reads it
    eos_id: int = 2
    proj_type: str = "linear"
    proj_bias: bool = False
    act_kwargs: dict[str, Any] | None = None
    norm_kwargs: dict[str, Any] | None = None
    # read by the tokenizer
    hf_tokenizer_name: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None

    @property
    def trims(self) -> bool:
        """Whether the tokens after the pooled one cannot change it, so that they need not be computed."""
        return not self.no_causal_mask and self.pool_type in ("argmax", "eos", "first")


def text_transformer(
    ids: Node, pooled_at: Node, config: TextConfig, w: Weights, *, embed_dim: int, activation: Activation
) -> Node:
    """ids int32 [B, T], pooled_at int32 [B] (the position whose token is the text's) → [B, E]."""
    width, eps = config.width, norm_eps(config.norm_kwargs, "text_cfg")
    one_of(config.pool_type, ("argmax", "eos", "first", "last"), "text_cfg.pool_type")
    one_of(config.proj_type, ("linear", "none"), "text_cfg.proj_type")

    table = constant(w.tensor("token_embedding.weight", config.vocab_size, width))
    positions = constant(w.tensor("positional_embedding", config.context_length, width))
    length = op.gather(op.shape_of(ids), integers(1), integers(0))  # [1]
    x = op.gather(table, ids, op.constant(0))  # [B, T, W]
    x = op.add(x, op.slice(positions, integers(0), length, integers(1), integers(0)))
    for i in range(config.layers):
        x = layers.residual_attention_block(
            x,
            w.at(f"transformer.resblocks.{i}."),
            width=width,
            heads=config.heads,
            mlp_width=int(width * config.mlp_ratio),
            activation=activation,
            eps=eps,
            layer_scale=config.ls_init_value is not None,
            causal=not config.no_causal_mask,
        )
    # LayerNorm works token by token, so the pooled token may be picked before it.
    x = op.gather(x, pooled_at, op.constant(1), batch_dims=1)  # [B, W]
    x = layers.layer_norm(x, w.at("ln_final."), width, eps)
    return _project(x, config, w, embed_dim)


def _project(x: Node, config: TextConfig, w: Weights, embed_dim: int) -> Node:
    if config.proj_type == "none":
        return x
    if config.proj_bias:
        return layers.linear(x, w.at("text_projection."), config.width, embed_dim)
    return op.matmul(x, constant(w.tensor("text_projection", config.width, embed_dim)), False, False)


def pooled_positions(ids: NDArray[np.int32], config: TextConfig) -> NDArray[np.int32]:
    """ids [B, context_length] → [B]: the first end-of-text, the first or the last token."""
    if config.pool_type == "argmax":
        return np.asarray(ids.argmax(axis=1), np.int32)
    if config.pool_type == "eos":
        return np.asarray((ids == config.eos_id).argmax(axis=1), np.int32)
    return np.full(len(ids), 0 if config.pool_type == "first" else ids.shape[1] - 1, np.int32)
