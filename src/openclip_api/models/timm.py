"""An image tower from timm inside an OpenCLIP model: a trunk chosen by timm's name for it, then open_clip's head.

Source: open_clip/timm_model.py, TimmModel (3.3.0). The trunk's checkpoint keys start with "visual.trunk.",
the head's with "visual.head.".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel
from . import convnext, eva, fastvit, layers, timm_vit, vitamin
from .flags import one_of, read_flags
from .layers import Node
from .timm_config import TimmConfig

# pixels float32 [B, 3, size, size] → pooled features [B, F]; `classes` is the width of the trunk's own last Linear,
# which timm_proj null asks for, or 0 where the trunk ends before it.
Trunk: TypeAlias = Callable[[Node, TimmConfig, Weights, int, int], Node]


def timm_tower(pixels: Node, section: Mapping[str, Any], w: Weights, *, size: int, embed_dim: int) -> Node:
    """pixels float32 [B, 3, size, size], normalised → [B, E]. `w` holds the keys below "visual."."""
    trunk = _trunk(section["timm_model_name"])
    # Where a null elsewhere means the default, here it asks for the trunk's own last Linear.
    config = read_flags(section, TimmConfig, "vision_cfg", timm_proj=section.get("timm_proj", "linear"))
    one_of(config.timm_proj, ("linear", "mlp", "none", "", None), "vision_cfg.timm_proj")
    features = trunk(pixels, config, w.at("trunk."), size, 0 if config.timm_proj else embed_dim)
    return _head(features, config, w.at("head."), embed_dim)


def timm_architecture(name: str) -> str:
    """The file that builds timm's model of this name. Raises UnsupportedModel."""
    return _trunk(name).__module__.rpartition(".")[2]


def _trunk(name: str) -> Trunk:
    if name in timm_vit.FACTS:
        return timm_vit.timm_vit
    if name in eva.FACTS:
        return eva.eva
    if name in vitamin.SIZES:
        return vitamin.vitamin
    if name in convnext.EPS:
        return convnext.convnext
    if name in fastvit.VARIANTS:
        return fastvit.fastvit
    raise UnsupportedModel(f"vision_cfg.timm_model_name {name!r} is not supported yet")


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
