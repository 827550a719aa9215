"""timm's ConvNeXt: pixels → pooled features.

Source: timm/models/convnext.py, ConvNeXt (1.0.31); Liu et al. 2022, arXiv:2201.03545.
"""

from __future__ import annotations

import openvino.opset13 as op

from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import convolutions, layers
from .flags import one_of
from .layers import Node, constant
from .timm import TimmConfig

# LayerNorm's epsilon by timm's name: the entrypoints of timm/models/convnext.py. Depths and widths are read from the
# checkpoint's shapes. All have GELU (erf) and an expansion of four.
EPS = {
    "convnext_tiny": 1e-6,
    "convnext_small": 1e-6,
    "convnext_base": 1e-6,
    "convnext_large": 1e-6,
    "convnext_xlarge": 1e-6,
    "convnext_xxlarge": 1e-5,
}
STAGES = 4
EXPANSION = 4


def convnext(pixels: Node, config: TimmConfig, w: Weights, size: int, classes: int) -> Node:
    """A timm.Trunk: pixels float32 [B, 3, size, size] → [B, F]."""
    if classes:
        raise UnsupportedModel(f"vision_cfg.timm_proj {config.timm_proj!r}: ConvNeXt's own classifier is not built")
    # With an empty pool ("") timm's own counts, the average, provided that open_clip adds the projection.
    one_of(config.timm_pool, ("avg",) if config.timm_proj == "none" else ("avg", ""), "vision_cfg.timm_pool")
    eps = EPS[config.timm_model_name]

    width = w["stem.0.weight"].shape[0]
    x = convolutions.conv(pixels, w.at("stem.0."), 3, width, 4, stride=4)  # [B, W, size / 4, size / 4]
    x = convolutions.layer_norm_2d(x, w.at("stem.1."), width, eps)
    for stage in range(STAGES):
        below = w.at(f"stages.{stage}.")
        if stage > 0:
            x, width = _downsample(x, below.at("downsample."), width, eps)  # half the size
        for i in range(below.count("blocks.{}.conv_dw.weight")):
            x = _block(x, below.at(f"blocks.{i}."), width, eps)
    return layers.layer_norm(convolutions.mean_over_map(x), w.at("head.norm."), width, eps)


def _downsample(x: Node, w: Weights, width: int, eps: float) -> tuple[Node, int]:
    wider = w["1.weight"].shape[0]
    x = convolutions.layer_norm_2d(x, w.at("0."), width, eps)
    return convolutions.conv(x, w.at("1."), width, wider, 2, stride=2), wider


def _block(x: Node, w: Weights, width: int, eps: float) -> Node:
    """ConvNeXtBlock: a depthwise convolution, then an MLP on each position."""
    y = convolutions.conv(x, w.at("conv_dw."), width, width, 7, padding=3, groups=width)
    y = convolutions.to_tokens(y)  # [B, H * W, C]
    y = layers.layer_norm(y, w.at("norm."), width, eps)
    y = layers.gelu(layers.linear(y, w.at("mlp.fc1."), width, EXPANSION * width))
    y = layers.linear(y, w.at("mlp.fc2."), EXPANSION * width, width)
    y = op.multiply(y, constant(w.tensor("gamma", width)))
    return op.add(x, convolutions.to_map(y, like=x))
