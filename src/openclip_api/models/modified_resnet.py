"""OpenCLIP's ResNet: pixels → image embedding.

A ResNet with three convolutions in its stem, average pools where others have strides, and attention as its last pool.
Source: open_clip/modified_resnet.py, ModifiedResNet (3.3.0); Radford et al. 2021, arXiv:2103.00020, section 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openvino.opset13 as op

from ..checkpoints.config import ModelConfig
from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import convolutions, layers
from .flags import read_flags
from .layers import Node, constant, integers

EXPANSION = 4  # a bottleneck's output is this much wider than its middle


@dataclass(frozen=True)
class ResNetConfig:
    """vision_cfg whose `layers` is a list, with open_clip's defaults (open_clip/model.py, CLIPVisionCfg)."""

    layers: list[int]
    image_size: Any = 224
    width: int = 64
    head_width: int = 64
    patch_size: Any = None  # configs have it, and open_clip's ResNet does not read it


def modified_resnet(pixels: Node, model: ModelConfig, w: Weights) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, E]. `w` holds the keys below "visual."."""
    config = read_flags(model.vision, ResNetConfig, "vision_cfg")
    if len(config.layers) != 4:
        raise UnsupportedModel(f"vision_cfg.layers {config.layers!r}: expected the depths of four stages")
    width = config.width
    x = _stem(pixels, w, width)  # [B, width, size / 4, size / 4]
    n_in = width
    for stage, depth in enumerate(config.layers):
        middle = width * 2**stage
        for i in range(depth):
            stride = 2 if stage > 0 and i == 0 else 1
            x = _bottleneck(x, w.at(f"layer{stage + 1}.{i}."), n_in, middle, stride)
            n_in = middle * EXPANSION
    # [B, 32 * width, size / 32, size / 32]
    heads = n_in // config.head_width
    return _attention_pool(x, w.at("attnpool."), (model.image_size // 32) ** 2, n_in, heads, model.embed_dim)


def _stem(x: Node, w: Weights, width: int) -> Node:
    x = op.relu(_conv_bn(x, w, "conv1", "bn1", 3, width // 2, 3, stride=2))
    x = op.relu(_conv_bn(x, w, "conv2", "bn2", width // 2, width // 2, 3))
    x = op.relu(_conv_bn(x, w, "conv3", "bn3", width // 2, width, 3))
    return _average_pool(x, 2)


def _bottleneck(x: Node, w: Weights, n_in: int, middle: int, stride: int) -> Node:
    """[B, n_in, H, W] → [B, 4 * middle, H / stride, W / stride]."""
    n_out = middle * EXPANSION
    y = op.relu(_conv_bn(x, w, "conv1", "bn1", n_in, middle, 1))
    y = op.relu(_conv_bn(y, w, "conv2", "bn2", middle, middle, 3))
    y = _conv_bn(_average_pool(y, stride), w, "conv3", "bn3", middle, n_out, 1)
    if stride > 1 or n_in != n_out:
        x = _conv_bn(_average_pool(x, stride), w, "downsample.0", "downsample.1", n_in, n_out, 1)
    return op.relu(op.add(y, x))


def _conv_bn(x: Node, w: Weights, conv: str, bn: str, n_in: int, n_out: int, size: int, stride: int = 1) -> Node:
    kernel = convolutions.conv_bn(w.at(f"{conv}."), w.at(f"{bn}."), n_in, n_out, size)
    return convolutions.apply(x, kernel, stride)


def _average_pool(x: Node, stride: int) -> Node:
    if stride == 1:
        return x
    return op.avg_pool(x, [stride] * 2, [0, 0], [0, 0], [stride] * 2, True, "floor", "explicit")


def _attention_pool(x: Node, w: Weights, positions: int, width: int, heads: int, embed_dim: int) -> Node:
    """AttentionPool2d: [B, W, H, H] → [B, E]. The only query is the mean of all positions, which is a key too."""
    x = convolutions.to_tokens(x)  # [B, H², W]
    mean = op.reduce_mean(x, integers(1), True)  # [B, 1, W]
    x = op.concat([mean, x], 1)  # [B, 1 + H², W]
    x = op.add(x, constant(w.tensor("positional_embedding", positions + 1, width)))
    first = op.slice(x, integers(0), integers(1), integers(1), integers(1))  # [B, 1, W]
    q, k, v = (
        layers.linear(tokens, w.at(f"{name}_proj."), width, width)
        for name, tokens in (("q", first), ("k", x), ("v", x))
    )
    attended = layers.attention(q, k, v, heads)  # [B, 1, W]
    return layers.linear(layers.reshape(attended, -1, width), w.at("c_proj."), width, embed_dim)
