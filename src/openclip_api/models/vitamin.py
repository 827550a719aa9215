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
from .flags import one_of
from .layers import Node, constant, integers
from .timm_config import TimmConfig

EPS = 1e-6  # of every norm
STAGES = (2, 4)  # blocks of each convolutional stage
EXPANSION = 4  # of a convolutional block's channels
MLP_RATIO = 2


@dataclass(frozen=True)
class Size:
    """widths: channels of the two convolutional stages (the stem has the first's), width of the transformer."""

    widths: tuple[int, int, int]
    layers: int
    heads: int
    has_positions: bool = True


# What timm's names stand for: the functions of these names in timm/models/vitamin.py. The pixels in a name
# are those of its position table; the image's own size is the config's.
SMALL = Size((64, 128, 384), layers=14, heads=6)
BASE = Size((128, 256, 768), layers=14, heads=12)
LARGE = Size((160, 320, 1024), layers=31, heads=16)
XLARGE = Size((192, 384, 1152), layers=32, heads=16, has_positions=False)
SIZES = {
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
    facts = SIZES[config.timm_model_name]
    width = facts.widths[-1]

    x = _convolutions(pixels, w.at("patch_embed.backbone."), facts.widths)  # [B, W, grid, grid]
    x = layers.transpose(layers.reshape(x, 0, width, -1), 0, 2, 1)  # [B, T, W]
    if facts.has_positions:
        grid = -(-size // 16)  # four halvings that round up
        x = op.add(x, constant(w.tensor("pos_embed", 1, grid * grid, width)))
    for i in range(facts.layers):
        x = _transformer_block(x, w.at(f"blocks.{i}."), width, facts.heads)
    return layers.layer_norm(op.reduce_mean(x, integers(1), False), w.at("fc_norm."), width, EPS)


def _convolutions(x: Node, w: Weights, widths: tuple[int, int, int]) -> Node:
    """MbConvStages: [B, 3, size, size] → [B, widths[2], size / 16, size / 16]."""
    channels = widths[0]
    x = _convolution(x, w.at("stem.conv1."), 3, channels, kernel=3, stride=2)  # [B, C, size / 2, size / 2]
    x = layers.gelu(_channel_norm(x, w.at("stem.norm1."), channels))
    x = _convolution(x, w.at("stem.conv2."), channels, channels, kernel=3)
    for stage, (blocks, width) in enumerate(zip(STAGES, widths[:2], strict=True)):  # each halves the image
        for i in range(blocks):
            x = _convolution_block(x, w.at(f"stages.{stage}.{i}."), channels, width, stride=1 if i else 2)
            channels = width
    x = _channel_norm(x, w.at("pool.norm."), channels)
    return _convolution(x, w.at("pool.proj."), channels, widths[-1], kernel=3, stride=2)


def _convolution_block(x: Node, w: Weights, n_in: int, n_out: int, stride: int) -> Node:
    """MbConvLNBlock: [B, n_in, H, H] → [B, n_out, H / stride, H / stride]."""
    hidden = EXPANSION * n_out
    y = _channel_norm(x, w.at("pre_norm."), n_in)
    y = layers.gelu(_convolution(y, w.at("conv1_1x1."), n_in, hidden))
    y = layers.gelu(_depthwise_convolution(y, w.at("conv2_kxk."), hidden, stride))
    y = _convolution(y, w.at("conv3_1x1."), hidden, n_out)
    if stride == 2:  # Downsample2d
        x = op.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], True)  # the padding does not count
        if n_in != n_out:
            x = _convolution(x, w.at("shortcut.expand."), n_in, n_out)
    return op.add(y, x)


def _transformer_block(x: Node, w: Weights, width: int, heads: int) -> Node:
    """Block: [B, T, W] → [B, T, W]."""
    x = op.add(x, _attention(layers.layer_norm(x, w.at("norm1."), width, EPS), w.at("attn."), width, heads))
    return op.add(x, _gated_mlp(layers.layer_norm(x, w.at("norm2."), width, EPS), w.at("mlp."), width))


def _attention(x: Node, w: Weights, width: int, heads: int) -> Node:
    qkv = op.split(layers.linear(x, w.at("qkv."), width, 3 * width), op.constant(2), 3)  # 3 × [B, T, W]
    q, k, v = (layers.split_heads(part, heads, width // heads) for part in qkv.outputs())
    attended = op.scaled_dot_product_attention(q, k, v, causal=False)
    return layers.linear(layers.merge_heads(attended), w.at("proj."), width, width)


def _gated_mlp(x: Node, w: Weights, width: int) -> Node:
    """GeGluMlp, which has a norm of its own after the block's."""
    hidden = MLP_RATIO * width
    x = layers.layer_norm(x, w.at("norm."), width, EPS)
    gate = layers.gelu(layers.linear(x, w.at("w0."), width, hidden))
    return layers.linear(op.multiply(gate, layers.linear(x, w.at("w1."), width, hidden)), w.at("w2."), hidden, width)


def _convolution(x: Node, w: Weights, n_in: int, n_out: int, *, kernel: int = 1, stride: int = 1) -> Node:
    padding = [kernel // 2] * 2
    weight = constant(w.tensor("weight", n_out, n_in, kernel, kernel))
    return _with_bias(op.convolution(x, weight, [stride] * 2, padding, padding, [1, 1]), w, n_out)


def _depthwise_convolution(x: Node, w: Weights, channels: int, stride: int) -> Node:
    weight = layers.reshape(constant(w.tensor("weight", channels, 1, 3, 3)), channels, 1, 1, 3, 3)
    return _with_bias(op.group_convolution(x, weight, [stride] * 2, [1, 1], [1, 1], [1, 1]), w, channels)


def _with_bias(x: Node, w: Weights, channels: int) -> Node:
    return op.add(x, layers.reshape(constant(w.tensor("bias", channels)), 1, channels, 1, 1))


def _channel_norm(x: Node, w: Weights, channels: int) -> Node:
    """timm's LayerNorm2d: over the channels of [B, C, H, H]."""
    x = layers.layer_norm(layers.transpose(x, 0, 2, 3, 1), w, channels, EPS)
    return layers.transpose(x, 0, 3, 1, 2)
