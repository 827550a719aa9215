"""OpenCLIP's native vision transformer: pixels → image embedding.

Source: open_clip/transformer.py, VisionTransformer (3.3.0); Dosovitskiy et al. 2020, arXiv:2010.11929.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from ..checkpoints.weights import Weights
from . import layers
from .flags import norm_eps, one_of
from .layers import Activation, Node, constant, integers


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
    act_kwargs: dict[str, Any] | None = None
    norm_kwargs: dict[str, Any] | None = None


def vision_transformer(
    pixels: Node, config: VisionConfig, w: Weights, *, size: int, embed_dim: int, activation: Activation
) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, E]."""
    width, patch, eps = config.width, config.patch_size, norm_eps(config.norm_kwargs, "vision_cfg")
    one_of(config.pool_type, ("tok", "avg"), "vision_cfg.pool_type")
    # A sine-cosine position table is stored in the checkpoint like a learned one.
    one_of(config.pos_embed_type, ("learnable", "sin_cos_2d"), "vision_cfg.pos_embed_type")

    x = _embed(pixels, w, size // patch, patch, width)  # [B, T, W]
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
    x = _pool(x, config, w, eps)  # [B, W]
    return op.matmul(x, constant(w.tensor("proj", width, embed_dim)), False, False)


def _embed(pixels: Node, w: Weights, grid: int, patch: int, width: int) -> Node:
    """[B, 3, size, size] → [B, 1 + grid², W]: the class token, then the patches, with their positions."""
    kernel = constant(w.tensor("conv1.weight", width, 3, patch, patch))
    x = op.convolution(pixels, kernel, [patch, patch], [0, 0], [0, 0], [1, 1])  # [B, W, grid, grid]
    x = layers.transpose(layers.reshape(x, 0, width, -1), 0, 2, 1)  # [B, grid², W]
    class_token = layers.reshape(constant(w.tensor("class_embedding", width)), 1, 1, width)
    repeats = op.concat([layers.batch_size(pixels), integers(1, 1)], 0)
    x = op.concat([op.tile(class_token, repeats), x], 1)
    return op.add(x, constant(w.tensor("positional_embedding", grid * grid + 1, width)))


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


def normalised(pixels: Node, mean: tuple[float, ...], std: tuple[float, ...]) -> Node:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W], (x / 255 - mean) / std per channel."""
    x = op.convert(pixels, ov.Type.f32)
    x = op.divide(x, op.constant(np.float32(255)))
    x = op.subtract(x, op.constant(np.array(mean, np.float32)))
    x = op.divide(x, op.constant(np.array(std, np.float32)))
    return layers.transpose(x, 0, 3, 1, 2)
