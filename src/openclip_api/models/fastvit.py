"""timm's FastViT as MobileCLIP has it (MCi0 to MCi4): pixels → pooled features.

Checkpoints hold the branches that the network was trained with. All branches of a layer are convolutions of the same
input, so their sum is one convolution ("reparameterisation"). It is computed here while the graph is built.

Source: timm/models/fastvit.py, FastVit (1.0.31); Vasu et al. 2023, arXiv:2303.14189; MobileCLIP, arXiv:2311.17049.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino.opset13 as op

from ..checkpoints.weights import Weights
from . import convolutions, layers
from .convolutions import Kernel, float64
from .flags import one_of
from .layers import Node, constant, integers
from .timm import TimmConfig


@dataclass(frozen=True)
class FastVitVariant:
    """What timm's name stands for. Depths and widths are in the shapes of the checkpoint."""

    stages: int
    attention_stages: tuple[int, ...]  # with a position encoding, then attention; the others have RepMixer
    squeeze_stages: tuple[int, ...]  # begin with squeeze-and-excitation
    mlp_ratio: int
    layer_norm: bool  # before attention; without it BatchNorm
    stem_scale: bool  # the stem's convolutions have a 1x1 branch


# The entrypoints of timm/models/fastvit.py; all have GELU (erf) and heads of 32.
SMALL = FastVitVariant(4, (3,), (2, 3), mlp_ratio=3, layer_norm=False, stem_scale=True)
LARGE = FastVitVariant(5, (3, 4), (), mlp_ratio=4, layer_norm=True, stem_scale=False)
VARIANTS = {
    "fastvit_mci0": SMALL,
    "fastvit_mci1": SMALL,
    "fastvit_mci2": SMALL,
    "fastvit_mci3": LARGE,
    "fastvit_mci4": LARGE,
}
HEAD_WIDTH = 32
LAYER_NORM_EPS = 1e-5


def fastvit(pixels: Node, config: TimmConfig, w: Weights, size: int, classes: int) -> Node:
    """A timm.Trunk: pixels float32 [B, 3, size, size] → [B, F], or [B, classes]."""
    one_of(config.timm_pool, ("avg",), "vision_cfg.timm_pool")
    variant = VARIANTS[config.timm_model_name]
    x, width = _stem(pixels, w.at("stem."), variant.stem_scale)  # [B, W, size / 4, size / 4]
    for stage in range(variant.stages):
        below = w.at(f"stages.{stage}.")
        if stage > 0:
            x = _downsample(x, below.at("downsample.proj."), width, stage in variant.squeeze_stages)
            width *= 2  # [B, 2 W, H / 2, H / 2]
        if stage in variant.attention_stages:
            x = _position_encoding(x, below.at("pos_emb.pos_enc."), width)
        for i in range(below.count("blocks.{}.mlp.fc1.weight")):
            block = _attention_block if stage in variant.attention_stages else _mixer_block
            x = block(x, below.at(f"blocks.{i}."), width, variant)
    x = _final_conv(x, w.at("final_conv."), width)  # [B, 2 W, H, H]
    pooled = convolutions.mean_over_map(x)
    return layers.linear(pooled, w.at("head.fc."), 2 * width, classes) if classes else pooled


def _stem(x: Node, w: Weights, scale: bool) -> tuple[Node, int]:
    width = w["0.conv_kxk.0.conv.weight"].shape[0]
    x = layers.gelu(convolutions.apply(x, _mobile_one(w.at("0."), 3, width, 3, scale=scale), stride=2))
    depthwise = _mobile_one(w.at("1."), width, width, 3, groups=width, scale=scale)
    x = layers.gelu(convolutions.apply(x, depthwise, stride=2, groups=width))
    x = layers.gelu(convolutions.apply(x, _mobile_one(w.at("2."), width, width, 1, identity=True)))
    return x, width


def _downsample(x: Node, w: Weights, width: int, squeeze: bool) -> Node:
    """PatchEmbed: [B, W, H, H] → [B, 2 W, H / 2, H / 2]."""
    wider, large, small = 2 * width, w.at("0.large_conv."), w.at("0.small_conv.")
    kernel = _conv_bn(large, width, wider, 7, width) + _conv_bn(small, width, wider, 3, width).padded(7)
    x = convolutions.apply(x, kernel, stride=2, groups=width)
    if squeeze:
        x = _squeeze_excite(x, w.at("0.se."), wider, _rounded(wider / 4, 8))
    x = layers.gelu(x)
    return layers.gelu(convolutions.apply(x, _mobile_one(w.at("1."), wider, wider, 1, identity=True)))


def _mixer_block(x: Node, w: Weights, width: int, variant: FastVitVariant) -> Node:
    """RepMixerBlock. RepMixer is x + layer_scale * (mixer(x) - norm(x)): one 3x3 kernel for each channel."""
    mixer = w.at("token_mixer.")
    norm = convolutions.identity(width, width, 3).scaled(*convolutions.batch_norm(mixer.at("norm.identity."), width))
    mixed = _mobile_one(mixer.at("mixer."), width, width, 3, groups=width, scale=True, identity=True)
    layer_scale = float64(mixer, "layer_scale.gamma", width, 1, 1)[:, 0, 0]
    kernel = convolutions.identity(width, width, 3) + (mixed - norm).scaled(layer_scale)
    x = convolutions.apply(x, kernel, groups=width)
    return op.add(x, _scaled(_conv_mlp(x, w.at("mlp."), width, variant), w, "layer_scale.gamma", width))


def _attention_block(x: Node, w: Weights, width: int, variant: FastVitVariant) -> Node:
    attended = _attention(x, w, width, variant.layer_norm)
    x = op.add(x, _scaled(attended, w, "layer_scale_1.gamma", width))
    return op.add(x, _scaled(_conv_mlp(x, w.at("mlp."), width, variant), w, "layer_scale_2.gamma", width))


def _attention(x: Node, w: Weights, width: int, layer_norm: bool) -> Node:
    """[B, W, H, H] → [B, W, H, H]: the norm, and attention of all positions to all."""
    tokens = convolutions.to_tokens(x)  # [B, H², W]
    if layer_norm:
        tokens = layers.layer_norm(tokens, w.at("norm."), width, LAYER_NORM_EPS)
    else:
        scale, shift = (part.astype(np.float32) for part in convolutions.batch_norm(w.at("norm."), width))
        tokens = op.add(op.multiply(tokens, op.constant(scale)), op.constant(shift))
    q, k, v = layers.linears(tokens, w.at("token_mixer.qkv."), width, width, 3, bias=False)  # 3 × [B, H², W]
    attended = layers.attention(q, k, v, width // HEAD_WIDTH)  # [B, H², W]
    return convolutions.to_map(layers.linear(attended, w.at("token_mixer.proj."), width, width), like=x)


def _conv_mlp(x: Node, w: Weights, width: int, variant: FastVitVariant) -> Node:
    hidden = variant.mlp_ratio * width
    x = convolutions.apply(x, _conv_bn(w.at("conv."), width, width, 7, width), groups=width)
    x = layers.gelu(convolutions.conv(x, w.at("fc1."), width, hidden, 1))
    return convolutions.conv(x, w.at("fc2."), hidden, width, 1)


def _position_encoding(x: Node, w: Weights, width: int) -> Node:
    """RepConditionalPosEnc: a depthwise convolution is added to its input."""
    kernel = Kernel(float64(w, "weight", width, 1, 7, 7), float64(w, "bias", width))
    return convolutions.apply(x, kernel + convolutions.identity(width, width, 7), groups=width)


def _final_conv(x: Node, w: Weights, width: int) -> Node:
    """[B, W, H, H] → [B, 2 W, H, H]."""
    wider = 2 * width
    x = convolutions.apply(x, _mobile_one(w, width, wider, 3, groups=width, scale=True), groups=width)
    return layers.gelu(_squeeze_excite(x, w.at("se."), wider, _rounded(wider / 16, 1)))


def _mobile_one(
    w: Weights, n_in: int, n_out: int, size: int, *, groups: int = 1, scale: bool = False, identity: bool = False
) -> Kernel:
    """MobileOneBlock's branches: a convolution, the same at 1x1 (scale), a bare BatchNorm (identity)."""
    kernel = _conv_bn(w.at("conv_kxk.0."), n_in, n_out, size, groups)
    if scale:
        kernel += _conv_bn(w.at("conv_scale."), n_in, n_out, 1, groups).padded(size)
    if identity:
        unchanged = convolutions.identity(n_out, groups, size)
        kernel += unchanged.scaled(*convolutions.batch_norm(w.at("identity."), n_out))
    return kernel


def _conv_bn(w: Weights, n_in: int, n_out: int, size: int, groups: int) -> Kernel:
    return convolutions.conv_bn(w.at("conv."), w.at("bn."), n_in, n_out, size, groups)


def _squeeze_excite(x: Node, w: Weights, width: int, reduced: int) -> Node:
    """timm/layers/squeeze_excite.py, SEModule: each channel is weighed by what the whole map holds."""
    gate = op.reduce_mean(x, integers(2, 3), True)  # [B, W, 1, 1]
    gate = op.relu(convolutions.conv(gate, w.at("fc1."), width, reduced, 1))
    return op.multiply(x, op.sigmoid(convolutions.conv(gate, w.at("fc2."), reduced, width, 1)))


def _rounded(value: float, divisor: int) -> int:
    """timm/layers/helpers.py, make_divisible with round_limit=0: the nearest multiple, and one at least."""
    return max(divisor, int(value + divisor / 2) // divisor * divisor)


def _scaled(y: Node, w: Weights, key: str, width: int) -> Node:
    return op.multiply(y, constant(w.tensor(key, width, 1, 1)))
