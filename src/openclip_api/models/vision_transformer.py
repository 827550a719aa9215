"""OpenCLIP's native vision transformer: pixels → image embedding.

Source: open_clip/transformer.py, VisionTransformer (3.3.0); Dosovitskiy et al. 2020, arXiv:2010.11929.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino.opset13 as op

from ..checkpoints.config import ModelConfig
from ..checkpoints.weights import Weights
from . import layers
from .flags import activation_of, norm_eps, one_of, read_flags
from .layers import Node, constant, integers
from .positions import image_positions


@dataclass(frozen=True)
class VisionConfig:
    """vision_cfg of a native tower, with open_clip's defaults (open_clip/model.py, CLIPVisionCfg)."""

    image_size: Any = 224
    patch_size: int = 16
    width: int = 768
    layers: int = 12
    head_width: int = 64
    mlp_ratio: float = 4.0
    ls_init_value: float | None = None
    no_ln_pre: bool = False
    pool_type: str = "tok"
    final_ln_after_pool: bool = False
    pos_embed_type: str = "learnable"
    attentional_pool: Any = False  # open_clip also knows names here, of poolers that are not built
    attn_pooler_queries: int = 256
    attn_pooler_heads: int = 8
    act_kwargs: dict[str, Any] | None = None
    norm_kwargs: dict[str, Any] | None = None


def vision_transformer(pixels: Node, model: ModelConfig, w: Weights) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, E]. `w` holds the keys below "visual."."""
    config, embed_dim = read_flags(model.vision, VisionConfig, "vision_cfg"), model.embed_dim
    activation = activation_of(model.quick_gelu, config.act_kwargs, "vision_cfg")
    width, patch, eps = config.width, config.patch_size, norm_eps(config.norm_kwargs, "vision_cfg")
    one_of(config.attentional_pool, (False, True), "vision_cfg.attentional_pool")
    one_of(config.pool_type, ("tok",) if config.attentional_pool else ("tok", "avg"), "vision_cfg.pool_type")
    # A sine-cosine position table is stored in the checkpoint like a learned one.
    one_of(config.pos_embed_type, ("learnable", "sin_cos_2d"), "vision_cfg.pos_embed_type")

    x = _embed(pixels, w, model.image_size, patch, width)  # [B, T, W]
    if not config.no_ln_pre:
        x = layers.layer_norm(x, w.at("ln_pre."), width, eps)
    for i in range(config.layers):
        x = layers.residual_attention_block(
            x,
            w.at(f"transformer.resblocks.{i}."),
            width=width,
            heads=width // config.head_width,
            mlp_width=int(width * config.mlp_ratio),
            activation=activation,
            eps=eps,
            layer_scale=config.ls_init_value is not None,
            causal=False,
        )
    if config.attentional_pool:
        x = attentional_pool(x, config, w.at("attn_pool."), embed_dim, eps)  # [B, E]
        x = layers.layer_norm(x, w.at("ln_post."), embed_dim, eps)
        return op.matmul(x, constant(w.tensor("proj", embed_dim, embed_dim)), False, False)
    x = _pool(x, config, w, eps)  # [B, W]
    return op.matmul(x, constant(w.tensor("proj", width, embed_dim)), False, False)


def _embed(pixels: Node, w: Weights, size: int, patch: int, width: int) -> Node:
    """[B, 3, size, size] → [B, 1 + grid², W]: the class token, then the patches, with their positions."""
    x = layers.patch_embedding(pixels, w.tensor("conv1.weight", width, 3, patch, patch), size)  # [B, grid², W]
    class_token = layers.reshape(constant(w.tensor("class_embedding", width)), 1, 1, width)
    repeats = op.concat([layers.batch_size(pixels), integers(1, 1)], 0)
    x = op.concat([op.tile(class_token, repeats), x], 1)
    return op.add(x, image_positions(w, "positional_embedding", size // patch, width, tokens_before=1))


def _pool(x: Node, config: VisionConfig, w: Weights, eps: float) -> Node:
    """[B, T, W] → [B, W]. LayerNorm works token by token, so a token may be picked before it."""

    def ln_post(y: Node) -> Node:
        return layers.layer_norm(y, w.at("ln_post."), config.width, eps)

    if config.pool_type == "tok":
        return ln_post(op.gather(x, op.constant(0), op.constant(1)))
    patches = op.slice(x, integers(1), integers(np.iinfo(np.int32).max), integers(1), integers(1))
    if config.final_ln_after_pool:
        return ln_post(op.reduce_mean(patches, integers(1), False))
    return op.reduce_mean(ln_post(patches), integers(1), False)


def attentional_pool(x: Node, config: VisionConfig, w: Weights, embed_dim: int, eps: float) -> Node:
    """[B, T, W] → [B, E]: what CoCa's first query finds. Its other queries are for the text decoder.

    open_clip/transformer.py, AttentionalPooler (3.3.0); Yu et al. 2022, arXiv:2205.01917.
    """
    width, heads = config.width, config.attn_pooler_heads
    first = w.tensor("query", config.attn_pooler_queries, embed_dim)[:1]
    query = layers.layer_norm(constant(first), w.at("ln_q."), embed_dim, eps)  # [1, E]
    context = layers.layer_norm(x, w.at("ln_k."), width, eps)
    if width == embed_dim:  # torch.nn.MultiheadAttention then keeps the three in one
        weights = np.split(w.tensor("attn.in_proj_weight", 3 * embed_dim, embed_dim), 3)
    else:
        widths = {"q": embed_dim, "k": width, "v": width}
        weights = [w.tensor(f"attn.{name}_proj_weight", embed_dim, n) for name, n in widths.items()]
    biases = np.split(w.tensor("attn.in_proj_bias", 3 * embed_dim), 3)
    q, k, v = (
        op.add(op.matmul(y, constant(weight), False, True), constant(bias))
        for y, weight, bias in zip((query, context, context), weights, biases, strict=True)
    )
    q = op.tile(layers.reshape(q, 1, 1, embed_dim), op.concat([layers.batch_size(x), integers(1, 1)], 0))  # [B, 1, E]
    pooled = layers.attention(q, k, v, heads)
    pooled = layers.linear(pooled, w.at("attn.out_proj."), embed_dim, embed_dim)
    return op.squeeze(pooled, integers(1))
