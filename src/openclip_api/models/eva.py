"""timm's EVA: the towers of EVA-CLIP (EVA01 and EVA02) and of Perception Encoder (PE-Core).

Source: timm/models/eva.py, Eva (1.0.31); Fang et al. 2022, arXiv:2211.07636; Fang et al. 2023, arXiv:2303.11331;
Sun et al. 2023, arXiv:2303.15389; Bolya et al. 2025, arXiv:2504.13181.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import openvino.opset13 as op

from ..checkpoints.weights import Weights
from . import layers
from .flags import one_of
from .layers import Node, constant, integers
from .positions import image_positions
from .timm import TimmConfig
from .timm_layers import attention_pool, first_token, head, mlp, patch_embed, split_evenly, with_class_token

TEMPERATURE = 10000.0  # of the rotary embedding: timm/layers/pos_embed_sincos.py, freq_bands
POOL_HEADS = 8  # attn_pool_num_heads of every PE-Core

# [B, heads, T, head_width] → the same, with the rotary embedding of each token's position
RotaryEmbedding: TypeAlias = Callable[[Node], Node]


@dataclass(frozen=True)
class Rotary:
    """A rotary embedding's positions. They start at `offset`, and are scaled as if the image had grid x grid patches.

    columns_first: the first half of the angles is for columns, not for rows, as in PE-Core.
    """

    grid: int
    offset: float = 0.0
    columns_first: bool = False


@dataclass(frozen=True)
class EvaVariant:
    """What timm's function for a name says and no tensor shows.

    qkv: "fused" is one layer with a bias; "no key bias" is one layer without a bias for the keys; "apart" is three
    layers, the keys' without a bias.
    inner_norms: norms inside attention and MLP, and a SwiGLU instead of a GELU.
    post_norm: the blocks' norms come after attention and MLP, not before.
    """

    heads: int
    qkv: str = "no key bias"
    eps: float = 1e-6
    pool: str = "token"
    rotary: Rotary | None = None
    class_token: bool = True
    inner_norms: bool = False
    pre_norm: bool = False
    post_norm: bool = False


def _eva02(heads: int) -> EvaVariant:
    return EvaVariant(heads, "apart", rotary=Rotary(16), inner_norms=True)


def _pe_core(heads: int, rotary: Rotary, class_token: bool = True) -> EvaVariant:
    return EvaVariant(heads, "fused", eps=1e-5, pool="map", rotary=rotary, class_token=class_token, pre_norm=True)


VARIANTS = {
    "eva_giant_patch14_224": EvaVariant(16),
    "eva02_base_patch16_clip_224": _eva02(12),
    "eva02_large_patch14_clip_224": _eva02(16),
    "eva02_large_patch14_clip_336": _eva02(16),
    "eva02_enormous_patch14_clip_224": EvaVariant(16, post_norm=True),
    "vit_pe_core_tiny_patch16_384": _pe_core(3, Rotary(24, 1.0, True)),
    "vit_pe_core_small_patch16_384": _pe_core(6, Rotary(24, 1.0, True)),
    "vit_pe_core_base_patch16_224": _pe_core(12, Rotary(14, 1.0, True)),
    "vit_pe_core_large_patch14_336": _pe_core(16, Rotary(24, 1.0, True)),
    "vit_pe_core_gigantic_patch14_448": _pe_core(16, Rotary(32, 0.0, True), class_token=False),
}


def eva(pixels: Node, config: TimmConfig, w: Weights, size: int, classes: int) -> Node:
    """A timm.Trunk: pixels float32 [B, 3, size, size] → [B, classes], or [B, W] where classes is 0."""
    variant, width = VARIANTS[config.timm_model_name], w["norm.weight"].shape[0]
    one_of(config.timm_pool, (variant.pool,), "vision_cfg.timm_pool")
    one_of(config.timm_proj, ("none", "", None), "vision_cfg.timm_proj")

    x, grid = patch_embed(pixels, w.at("patch_embed."), size=size, width=width, bias=not variant.pre_norm)
    if variant.class_token:
        x = with_class_token(x, w, width)
    x = op.add(x, image_positions(w, "pos_embed", grid, width, tokens_before=int(variant.class_token)))  # [B, T, W]
    if variant.pre_norm:
        x = layers.layer_norm(x, w.at("norm_pre."), width, variant.eps)
    rotary = _rotary_embedding(variant, grid, split_evenly(width, variant.heads))
    for i in range(w.count("blocks.{}.norm1.weight")):
        x = _block(x, w.at(f"blocks.{i}."), variant, width, rotary)
    if variant.pool == "token":  # LayerNorm works token by token, so the token is picked before it
        x = layers.layer_norm(first_token(x), w.at("norm."), width, variant.eps)
    else:  # the class token is pooled too
        x = layers.layer_norm(x, w.at("norm."), width, variant.eps)
        pool = w.at("attn_pool.")
        x = attention_pool(x, pool, width=width, heads=POOL_HEADS, activation=layers.gelu, eps=variant.eps)
    return head(x, w, width, classes)


def _block(x: Node, w: Weights, variant: EvaVariant, width: int, rotary: RotaryEmbedding) -> Node:
    """EvaBlock and EvaBlockPostNorm: [B, T, W] → [B, T, W]."""

    def attention(y: Node) -> Node:
        return _attention(y, w.at("attn."), variant, width, rotary)

    def feed_forward(y: Node) -> Node:
        if variant.inner_norms:
            return _swiglu(y, w.at("mlp."), width, variant.eps)
        return mlp(y, w.at("mlp."), width, layers.gelu)

    def norm(y: Node, key: str) -> Node:
        return layers.layer_norm(y, w.at(key), width, variant.eps)

    if variant.post_norm:
        x = op.add(x, norm(attention(x), "norm1."))
        return op.add(x, norm(feed_forward(x), "norm2."))
    x = op.add(x, attention(norm(x, "norm1.")))
    return op.add(x, feed_forward(norm(x, "norm2.")))


def _attention(x: Node, w: Weights, variant: EvaVariant, width: int, rotary: RotaryEmbedding) -> Node:
    """EvaAttention; PE-Core's is layers/attention.py, AttentionRope."""
    parts = _queries_keys_values(x, w, variant.qkv, width)  # 3 × [B, T, W]
    q, k, v = (layers.split_heads(part, variant.heads, width // variant.heads) for part in parts)
    y = layers.merge_heads(op.scaled_dot_product_attention(rotary(q), rotary(k), v))  # [B, T, W]
    if variant.inner_norms:
        y = layers.layer_norm(y, w.at("norm."), width, variant.eps)
    return layers.linear(y, w.at("proj."), width, width)


def _queries_keys_values(x: Node, w: Weights, qkv: str, width: int) -> list[Node]:
    if qkv == "apart":
        return [layers.linear(x, w.at(f"{name}_proj."), width, width, name != "k") for name in "qkv"]
    if qkv == "fused":
        return layers.linears(x, w.at("qkv."), width, width, 3)
    q, k, v = layers.linears(x, w.at("qkv."), width, width, 3, bias=False)
    return [op.add(q, constant(w.tensor("q_bias", width))), k, op.add(v, constant(w.tensor("v_bias", width)))]


def _swiglu(x: Node, w: Weights, width: int, eps: float) -> Node:
    """timm/layers/mlp.py, SwiGLU with a norm."""
    hidden = w["fc1_g.weight"].shape[0]
    gate = op.swish(layers.linear(x, w.at("fc1_g."), width, hidden))
    x = op.multiply(gate, layers.linear(x, w.at("fc1_x."), width, hidden))
    return layers.linear(layers.layer_norm(x, w.at("norm."), hidden, eps), w.at("fc2."), hidden, width)


def _rotary_embedding(variant: EvaVariant, grid: int, head_width: int) -> RotaryEmbedding:
    """timm/layers/pos_embed_sincos.py, RotaryEmbeddingCat and apply_rot_embed_cat.

    Neighbours x[2i], x[2i + 1] of a head are rotated by the angle a: x * cos(a) + (-x[2i + 1], x[2i]) * sin(a).
    """
    if variant.rotary is None:
        return lambda x: x
    bands = TEMPERATURE ** -(np.arange(head_width // 4) / (head_width // 4))
    positions = (np.arange(grid) + variant.rotary.offset) / grid * variant.rotary.grid
    rows, columns = np.meshgrid(positions, positions, indexing="ij")
    axes = (columns, rows) if variant.rotary.columns_first else (rows, columns)
    angles = np.concatenate([axis.reshape(-1, 1) * bands for axis in axes], axis=1)  # [grid², head_width / 2]
    if variant.class_token:  # it has no position and is not rotated
        angles = np.pad(angles, ((1, 0), (0, 0)))
    angles = angles.repeat(2, axis=1)  # [T, head_width]
    signs = np.tile([-1.0, 1.0], head_width // 2)
    cosines, sines = (
        op.constant(np.cos(angles).astype(np.float32)),
        op.constant((np.sin(angles) * signs).astype(np.float32)),
    )
    neighbours = integers(*(i ^ 1 for i in range(head_width)))
    return lambda x: op.add(op.multiply(x, cosines), op.multiply(op.gather(x, neighbours, op.constant(3)), sines))
