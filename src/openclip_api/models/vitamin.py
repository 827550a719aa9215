"""timm's ViTamin: two stages of convolutions, then a vision transformer with gated MLPs.

Source: timm/models/vitamin.py, MbConvStages and GeGluMlp, in timm/models/vision_transformer.py, VisionTransformer
(1.0.31); Chen et al. 2024, arXiv:2404.02132.
"""

from __future__ import annotations

from dataclasses import dataclass

import openvino.opset13 as op

from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import layers
from .convolutions import conv, layer_norm_2d, to_tokens
from .flags import one_of
from .layers import Node, integers
from .positions import image_positions
from .timm import TimmConfig
from .timm_layers import attention

EPS = 1e-6  # of every norm
STAGES = (2, 4)  # blocks of each convolutional stage
EXPANSION = 4  # of a convolutional block's channels
MLP_RATIO = 2


@dataclass(frozen=True)
class ViTaminVariant:
    """widths: channels of the two convolutional stages (the stem has the first's), width of the transformer."""

    widths: tuple[int, int, int]
    layers: int
    heads: int
    has_positions: bool = True


# What timm's names stand for: the functions of these names in timm/models/vitamin.py. The pixels in a name
# are those of its position table; the image's own size is the config's.
SMALL = ViTaminVariant((64, 128, 384), layers=14, heads=6)
BASE = ViTaminVariant((128, 256, 768), layers=14, heads=12)
LARGE = ViTaminVariant((160, 320, 1024), layers=31, heads=16)
XLARGE = ViTaminVariant((192, 384, 1152), layers=32, heads=16, has_positions=False)
VARIANTS = {
    "vitamin_small_224": SMALL,
    "vitamin_base_224": BASE,
    **{f"vitamin_{name}_{pixels}": LARGE for name in ("large", "large2") for pixels in (224, 256, 336, 384)},
    **{f"vitamin_xlarge_{pixels}": XLARGE for pixels in (256, 336, 384)},
}


def vitamin(pixels: Node, config: TimmConfig, w: Weights, size: int, classes: int) -> Node:
    """A timm.Trunk: pixels float32 [B, 3, size, size] → [B, W]."""
    one_of(config.timm_pool, ("", "avg"), "vision_cfg.timm_pool")  # timm's own is the average
    if classes or config.timm_proj == "none":
        raise UnsupportedModel(f"vision_cfg.timm_proj {config.timm_proj!r}: expected 'linear', 'mlp' for a ViTamin")
    variant = VARIANTS[config.timm_model_name]
    width = variant.widths[-1]

    x = _convolutions(pixels, w.at("patch_embed.backbone."), variant.widths)  # [B, W, grid, grid]
    x = to_tokens(x)  # [B, T, W]
    if variant.has_positions:
        grid = -(-size // 16)  # four halvings that round up
        x = op.add(x, image_positions(w, "pos_embed", grid, width, tokens_before=0))
    for i in range(variant.layers):
        x = _transformer_block(x, w.at(f"blocks.{i}."), width, variant.heads)
    return layers.layer_norm(op.reduce_mean(x, integers(1), False), w.at("fc_norm."), width, EPS)


def _convolutions(x: Node, w: Weights, widths: tuple[int, int, int]) -> Node:
    """MbConvStages: [B, 3, size, size] → [B, widths[2], size / 16, size / 16]."""
    channels = widths[0]
    x = conv(x, w.at("stem.conv1."), 3, channels, 3, stride=2, padding=1)  # [B, C, size / 2, size / 2]
    x = layers.gelu(layer_norm_2d(x, w.at("stem.norm1."), channels, EPS))
    x = conv(x, w.at("stem.conv2."), channels, channels, 3, padding=1)
    for stage, (blocks, width) in enumerate(zip(STAGES, widths[:2], strict=True)):  # each halves the image
        for i in range(blocks):
            x = _convolution_block(x, w.at(f"stages.{stage}.{i}."), channels, width, stride=1 if i else 2)
            channels = width
    x = layer_norm_2d(x, w.at("pool.norm."), channels, EPS)
    return conv(x, w.at("pool.proj."), channels, widths[-1], 3, stride=2, padding=1)


def _convolution_block(x: Node, w: Weights, n_in: int, n_out: int, stride: int) -> Node:
    """MbConvLNBlock: [B, n_in, H, H] → [B, n_out, H / stride, H / stride]."""
    hidden = EXPANSION * n_out
    y = layer_norm_2d(x, w.at("pre_norm."), n_in, EPS)
    y = layers.gelu(conv(y, w.at("conv1_1x1."), n_in, hidden, 1))
    y = layers.gelu(conv(y, w.at("conv2_kxk."), hidden, hidden, 3, stride=stride, padding=1, groups=hidden))
    y = conv(y, w.at("conv3_1x1."), hidden, n_out, 1)
    if stride == 2:  # Downsample2d
        x = op.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], True)  # the padding does not count
        if n_in != n_out:
            x = conv(x, w.at("shortcut.expand."), n_in, n_out, 1)
    return op.add(y, x)


def _transformer_block(x: Node, w: Weights, width: int, heads: int) -> Node:
    """Block: [B, T, W] → [B, T, W]."""
    x = op.add(x, attention(layers.layer_norm(x, w.at("norm1."), width, EPS), w.at("attn."), width, heads))
    return op.add(x, _gated_mlp(layers.layer_norm(x, w.at("norm2."), width, EPS), w.at("mlp."), width))


def _gated_mlp(x: Node, w: Weights, width: int) -> Node:
    """GeGluMlp, which has a norm of its own after the block's."""
    hidden = MLP_RATIO * width
    x = layers.layer_norm(x, w.at("norm."), width, EPS)
    gate = layers.gelu(layers.linear(x, w.at("w0."), width, hidden))
    return layers.linear(op.multiply(gate, layers.linear(x, w.at("w1."), width, hidden)), w.at("w2."), hidden, width)
