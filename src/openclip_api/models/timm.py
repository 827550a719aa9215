"""An image tower from timm inside an OpenCLIP model: a trunk, then open_clip's head.

Source: open_clip/timm_model.py, TimmModel (3.3.0). The trunk's checkpoint keys start with "visual.trunk.",
the head's with "visual.head.".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..checkpoints.config import ModelConfig
from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import layers
from .flags import one_of, read_flags
from .layers import Node


@dataclass(frozen=True)
class TimmConfig:
    """vision_cfg of a timm tower. timm's name tells what the config does not: heads, activation, pooling head."""

    timm_model_name: str
    image_size: Any = 224
    timm_pool: str = "avg"
    timm_proj: str | None = "linear"
    timm_proj_bias: bool = False


# pixels float32 [B, 3, size, size] → pooled features [B, F]. The last two arguments are the size, and the width of the
# trunk's own last Linear, which timm_proj null asks for: 0 where the trunk ends before it.
Trunk: TypeAlias = Callable[[Node, TimmConfig, Weights, int, int], Node]


def timm_tower(trunk: Trunk, pixels: Node, model: ModelConfig, w: Weights) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, E]. `w` holds the keys below "visual."."""
    # For other flags null means the default. For this one it asks for the trunk's own last Linear.
    config = read_flags(model.vision, TimmConfig, "vision_cfg", timm_proj=model.vision.get("timm_proj", "linear"))
    one_of(config.timm_proj, ("linear", "mlp", "none", "", None), "vision_cfg.timm_proj")
    classes = 0 if config.timm_proj else model.embed_dim
    features = trunk(pixels, config, w.at("trunk."), model.image_size, classes)
    return _head(features, config, w.at("head."), model.embed_dim)


def _head(x: Node, config: TimmConfig, w: Weights, embed_dim: int) -> Node:
    """[B, F] → [B, E]."""
    width, bias = x.get_output_partial_shape(0)[1].get_length(), config.timm_proj_bias
    if config.timm_proj == "linear":
        return layers.linear(x, w.at("proj."), width, embed_dim, bias)
    if config.timm_proj == "mlp":  # timm/layers/mlp.py, Mlp: GELU (erf), no dropout at inference
        x = layers.gelu(layers.linear(x, w.at("mlp.fc1."), width, 2 * embed_dim))
        return layers.linear(x, w.at("mlp.fc2."), 2 * embed_dim, embed_dim, bias)
    if width != embed_dim:
        raise UnsupportedModel(
            f"embed_dim {embed_dim}: the image tower, which ends without a projection, gives {width}"
        )
    return x
