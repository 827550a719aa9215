"""The layers that timm's vision transformers share. Source: timm 1.0.31, each layer names its class.

Width and depth are read from the checkpoint's tensors. What no tensor shows is in each architecture's VARIANTS.
"""

from __future__ import annotations

import openvino.opset13 as op

from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import layers
from .layers import Activation, Node, constant, integers


def patch_embed(pixels: Node, w: Weights, *, size: int, width: int, bias: bool) -> tuple[Node, int]:
    """layers/patch_embed.py, PatchEmbed: [B, 3, size, size] → [B, grid², W] and grid. Pixels beyond it go."""
    patch = w["proj.weight"].shape[-1]
    x = layers.patch_embedding(pixels, w.tensor("proj.weight", width, 3, patch, patch), size)  # [B, grid², W]
    return (op.add(x, constant(w.tensor("proj.bias", width))) if bias else x), size // patch


def with_class_token(x: Node, w: Weights, width: int) -> Node:
    """[B, T, W] → [B, 1 + T, W]."""
    repeats = op.concat([layers.batch_size(x), integers(1, 1)], 0)
    return op.concat([op.tile(constant(w.tensor("cls_token", 1, 1, width)), repeats), x], 1)


def attention(x: Node, w: Weights, width: int, heads: int) -> Node:
    """layers/attention.py, Attention: [B, T, W] → [B, T, W]."""
    q, k, v = layers.linears(x, w.at("qkv."), width, width, 3)  # 3 × [B, T, W]
    split_evenly(width, heads)
    attended = layers.attention(q, k, v, heads)
    return layers.linear(attended, w.at("proj."), width, width)


def mlp(x: Node, w: Weights, width: int, activation: Activation) -> Node:
    """layers/mlp.py, Mlp."""
    hidden = w["fc1.weight"].shape[0]
    return layers.linear(activation(layers.linear(x, w.at("fc1."), width, hidden)), w.at("fc2."), hidden, width)


def attention_pool(x: Node, w: Weights, *, width: int, heads: int, activation: Activation, eps: float) -> Node:
    """layers/attention_pool.py, AttentionPoolLatent: [B, T, W] → [B, W], what one learned query finds."""
    q = layers.linear(constant(w.tensor("latent", 1, 1, width)), w.at("q."), width, width)  # [1, 1, W]
    q = op.tile(q, op.concat([layers.batch_size(x), integers(1, 1)], 0))  # [B, 1, W]
    k, v = layers.linears(x, w.at("kv."), width, width, 2)  # 2 × [B, T, W]
    attended = layers.attention(q, k, v, heads)
    y = layers.linear(attended, w.at("proj."), width, width)  # [B, 1, W]
    y = op.add(y, mlp(layers.layer_norm(y, w.at("norm."), width, eps), w.at("mlp."), width, activation))
    return layers.reshape(y, 0, width)


def first_token(x: Node) -> Node:
    """[B, T, W] → [B, W]."""
    return op.gather(x, op.constant(0), op.constant(1))


def head(x: Node, w: Weights, width: int, classes: int) -> Node:
    """The trunk's own last Linear, [B, W] → [B, classes], where there is one."""
    return layers.linear(x, w.at("head."), width, classes) if classes else x


def split_evenly(width: int, heads: int) -> int:
    """A head's width."""
    if width % heads:
        raise UnsupportedModel(f"the image tower's width {width} is no multiple of its {heads} heads")
    return width // heads
