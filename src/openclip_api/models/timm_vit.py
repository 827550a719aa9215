"""timm's plain vision transformers: SigLIP and SigLIP 2, MobileCLIP-B and MobileCLIP2-L-14.

Source: timm/models/vision_transformer.py, VisionTransformer, and vision_transformer_hybrid.py, ConvStem (1.0.31);
Zhai et al. 2023, arXiv:2303.15343; Tschannen et al. 2025, arXiv:2502.14786; Vasu et al. 2023, arXiv:2311.17049.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openvino.opset13 as op

from ..checkpoints.config import ModelConfig
from ..checkpoints.weights import Weights
from ..errors import CorruptCheckpoint
from . import layers
from .convolutions import BATCH_NORM_EPS, to_tokens
from .flags import one_of, read_flags
from .layers import Activation, Node, constant, gelu, gelu_tanh
from .positions import image_positions
from .timm import TimmConfig
from .timm_layers import attention, attention_pool, first_token, head, mlp, patch_embed, with_class_token

STEM = ((4, 0.25), (2, 0.25), (2, 1.0))  # vit_base_mci_224's convolutions: patch, and part of the width


@dataclass(frozen=True)
class TimmVitVariant:
    """What timm's function for a name says and no tensor shows. With pool "token" there is a class token."""

    heads: int
    activation: Activation = gelu
    pool: str = "map"
    eps: float = 1e-6
    pre_norm: bool = False
    conv_stem: bool = False
    projected: bool = False  # by open_clip's own Linear or MLP behind it


VARIANTS = {
    "vit_base_patch32_siglip_256": TimmVitVariant(12, gelu_tanh),
    "vit_base_patch16_siglip_224": TimmVitVariant(12),
    "vit_base_patch16_siglip_256": TimmVitVariant(12),
    "vit_base_patch16_siglip_384": TimmVitVariant(12),
    "vit_base_patch16_siglip_512": TimmVitVariant(12),
    "vit_large_patch16_siglip_256": TimmVitVariant(16),
    "vit_large_patch16_siglip_384": TimmVitVariant(16),
    "vit_large_patch16_siglip_512": TimmVitVariant(16, gelu_tanh),
    "vit_so400m_patch14_siglip_224": TimmVitVariant(16),
    "vit_so400m_patch14_siglip_378": TimmVitVariant(16),
    "vit_so400m_patch14_siglip_384": TimmVitVariant(16),
    "vit_so400m_patch16_siglip_256": TimmVitVariant(16, gelu_tanh),
    "vit_so400m_patch16_siglip_384": TimmVitVariant(16, gelu_tanh),
    "vit_so400m_patch16_siglip_512": TimmVitVariant(16, gelu_tanh),
    "vit_giantopt_patch16_siglip_256": TimmVitVariant(16, gelu_tanh),
    "vit_giantopt_patch16_siglip_384": TimmVitVariant(16, gelu_tanh),
    "vit_large_patch14_clip_224": TimmVitVariant(16, pool="token", eps=1e-5, pre_norm=True),
    "vit_base_patch16_224": TimmVitVariant(12, pool="token", projected=True),
    "vit_base_mci_224": TimmVitVariant(12, pool="token", conv_stem=True),
}


def timm_vit(pixels: Node, config: TimmConfig, w: Weights, size: int, classes: int) -> Node:
    """A timm.Trunk: pixels float32 [B, 3, size, size] → [B, classes], or [B, W] where classes is 0."""
    variant = VARIANTS[config.timm_model_name]
    # open_clip/timm_model.py, TimmModel: before a projection "" leaves timm's own pooling
    pools, projections = (
        ((variant.pool, ""), ("linear", "mlp")) if variant.projected else ((variant.pool,), ("none", "", None))
    )
    one_of(config.timm_pool, pools, "vision_cfg.timm_pool")
    one_of(config.timm_proj, projections, "vision_cfg.timm_proj")
    return _tower(pixels, variant, w, size, classes)


@dataclass(frozen=True)
class SiglipConfig:
    """vision_cfg of a SigLIP in transformers' layout: in numbers what a name of timm's stands for."""

    siglip: bool
    image_size: Any
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str
    eps: float


def siglip(pixels: Node, model: ModelConfig, w: Weights) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, W]. `w` holds the keys below "visual."."""
    config, trunk = read_flags(model.vision, SiglipConfig, "vision_cfg"), w.at("trunk.")
    activation = one_of(config.activation, ("none", "tanh"), "vision_cfg.activation")
    trunk.tensor("norm.weight", config.width)
    trunk.tensor("patch_embed.proj.weight", config.width, 3, config.patch_size, config.patch_size)
    for mlp_of in ("attn_pool", *(f"blocks.{i}" for i in range(config.layers))):
        trunk.tensor(f"{mlp_of}.mlp.fc1.weight", config.mlp_width, config.width)
    if (found := trunk.count("blocks.{}.norm1.weight")) != config.layers:
        raise CorruptCheckpoint(f"the image tower has {found} layers, its config asks for {config.layers}")
    variant = TimmVitVariant(config.heads, gelu_tanh if activation == "tanh" else gelu, eps=config.eps)
    return _tower(pixels, variant, trunk, model.image_size, 0)


def _tower(pixels: Node, variant: TimmVitVariant, w: Weights, size: int, classes: int) -> Node:
    width = w["norm.weight"].shape[0]
    x = _embed(pixels, w, variant, size, width)  # [B, T, W]
    if variant.pre_norm:
        x = layers.layer_norm(x, w.at("norm_pre."), width, variant.eps)
    for i in range(w.count("blocks.{}.norm1.weight")):
        x = _block(x, w.at(f"blocks.{i}."), variant, width)
    if variant.pool == "token":  # LayerNorm works token by token, so the token is picked before it
        x = layers.layer_norm(first_token(x), w.at("norm."), width, variant.eps)
    else:
        x = layers.layer_norm(x, w.at("norm."), width, variant.eps)
        x = attention_pool(
            x, w.at("attn_pool."), width=width, heads=variant.heads, activation=variant.activation, eps=variant.eps
        )
    return head(x, w, width, classes)


def _embed(pixels: Node, w: Weights, variant: TimmVitVariant, size: int, width: int) -> Node:
    """[B, 3, size, size] → [B, T, W], with positions. After a conv stem the class token has none."""
    if variant.conv_stem:
        x, grid = _conv_stem(pixels, w.at("patch_embed.backbone."), size, width)
        x = op.add(x, image_positions(w, "pos_embed", grid, width, tokens_before=0))
        return with_class_token(x, w, width)
    x, grid = patch_embed(pixels, w.at("patch_embed."), size=size, width=width, bias=not variant.pre_norm)
    tokens_before = int(variant.pool == "token")
    if tokens_before:
        x = with_class_token(x, w, width)
    return op.add(x, image_positions(w, "pos_embed", grid, width, tokens_before=tokens_before))


def _conv_stem(x: Node, w: Weights, size: int, width: int) -> tuple[Node, int]:
    """[B, 3, size, size] → [B, grid², W] and grid."""
    channels = 3
    for i, (patch, part) in enumerate(STEM):
        n_in, channels, size = channels, int(width * part), size // patch
        kernel = constant(w.tensor(f"{i}.conv.weight", channels, n_in, patch, patch))
        x = op.convolution(x, kernel, [patch, patch], [0, 0], [0, 0], [1, 1])  # [B, channels, size, size]
        if i + 1 < len(STEM):
            x = layers.gelu(_batch_norm(x, w.at(f"{i}.bn."), channels))
    x = to_tokens(x)  # [B, grid², W]
    return op.add(x, constant(w.tensor(f"{len(STEM) - 1}.conv.bias", width))), size


def _batch_norm(x: Node, w: Weights, channels: int) -> Node:
    parameters = (constant(w.tensor(key, channels)) for key in ("weight", "bias", "running_mean", "running_var"))
    return op.batch_norm_inference(x, *parameters, BATCH_NORM_EPS)


def _block(x: Node, w: Weights, variant: TimmVitVariant, width: int) -> Node:
    """Block: [B, T, W] → [B, T, W]."""
    y = layers.layer_norm(x, w.at("norm1."), width, variant.eps)
    x = op.add(x, attention(y, w.at("attn."), width, variant.heads))
    y = layers.layer_norm(x, w.at("norm2."), width, variant.eps)
    return op.add(x, mlp(y, w.at("mlp."), width, variant.activation))
