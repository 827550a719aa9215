"""A checkpoint's config and weights → its two towers as OpenVINO models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..checkpoints.checkpoint import PreprocessConfig
from ..checkpoints.weights import Weights
from ..errors import CorruptCheckpoint, UnsupportedModel
from . import layers
from .flags import read_flags
from .modified_resnet import ResNetConfig, modified_resnet
from .text_transformer import TextConfig, pooled_positions, text_transformer
from .timm import timm_tower
from .vision_transformer import VisionConfig, normalised, vision_transformer

# Of model_cfg, what is read here and what speaks of training or loading alone.
TOWERS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
NO_PART_IN_FORWARD = {"custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "output_dict"}

TextFeeds = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Towers:
    """Both graphs.

    image: pixels uint8 [B, size, size, 3] → embeddings float32 [B, embed_dim]
    text:  what `text_feeds` makes of ids int32 [B, context_length] → embeddings float32 [B, embed_dim]
    weights: the memory that both graphs point into; it must live as long as anything compiled from them
    """

    image: ov.Model
    text: ov.Model
    text_feeds: Callable[[NDArray[np.int32]], TextFeeds]
    embed_dim: int
    context_length: int
    weights: Weights


def build_towers(model_cfg: Mapping[str, Any], preprocess: PreprocessConfig, weights: Weights) -> Towers:
    """Raises UnsupportedModel (a flag that is not built), CorruptCheckpoint (tensors missing, unused, misshapen)."""
    unknown = [key for key in model_cfg if key not in TOWERS | NO_PART_IN_FORWARD and model_cfg[key]]
    if unknown:
        raise UnsupportedModel(f"model_cfg.{unknown[0]} is not supported")
    try:
        image = _image_tower(model_cfg, preprocess, weights)
        text, config = _text_tower(model_cfg, weights)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        # a width of "768", or heads that do not divide it: what fails is Python or OpenVINO, somewhere inside
        raise UnsupportedModel(f"the checkpoint's config makes no model: {_first_line(error)}") from error
    unused = list(weights.unused())
    if unused:
        raise CorruptCheckpoint(
            f"{len(unused)} tensors of the checkpoint have no place in its config, first {unused[0]!r}"
        )

    def text_feeds(ids: NDArray[np.int32]) -> TextFeeds:
        pooled_at = pooled_positions(ids, config)
        if config.trims:  # exact, and several times less work than all positions
            ids = np.ascontiguousarray(ids[:, : int(pooled_at.max()) + 1])
        return {"ids": ids, "pooled_at": pooled_at}

    return Towers(image, text, text_feeds, int(model_cfg["embed_dim"]), config.context_length, weights)


def _image_tower(model_cfg: Mapping[str, Any], preprocess: PreprocessConfig, weights: Weights) -> ov.Model:
    size = preprocess.size
    pixels = layers.parameter("pixels", [-1, size, size, 3], np.uint8)
    x = normalised(pixels, preprocess.mean, preprocess.std)
    return ov.Model([_image_embeddings(x, model_cfg, weights.at("visual."), size)], [pixels], "image")


def _image_embeddings(pixels: layers.Node, model_cfg: Mapping[str, Any], w: Weights, size: int) -> layers.Node:
    """pixels float32 [B, 3, size, size] → [B, E]."""
    section, embed_dim = model_cfg["vision_cfg"], model_cfg["embed_dim"]
    if section.get("timm_model_name"):
        return timm_tower(pixels, section, w, size=size, embed_dim=embed_dim)
    if isinstance(section.get("layers"), list):
        resnet = read_flags(section, ResNetConfig, "vision_cfg")
        return modified_resnet(pixels, resnet, w, size=size, embed_dim=embed_dim)
    config = read_flags(section, VisionConfig, "vision_cfg")
    activation = _activation(model_cfg, config.act_kwargs, "vision_cfg")
    return vision_transformer(pixels, config, w, size=size, embed_dim=embed_dim, activation=activation)


def _text_tower(model_cfg: Mapping[str, Any], weights: Weights) -> tuple[ov.Model, TextConfig]:
    section = model_cfg["text_cfg"]
    if section.get("hf_model_name"):
        raise UnsupportedModel(f"text_cfg.hf_model_name {section['hf_model_name']!r} is not supported yet")
    config = read_flags(section, TextConfig, "text_cfg")
    ids = layers.parameter("ids", [-1, -1 if config.trims else config.context_length], np.int32)
    pooled_at = layers.parameter("pooled_at", [-1], np.int32)
    # Class CLIP keeps the text tower's tensors at the top, CustomTextCLIP below "text.".
    prefix = "text." if "text.token_embedding.weight" in weights else ""
    embeddings = text_transformer(
        ids,
        pooled_at,
        config,
        weights.at(prefix),
        embed_dim=model_cfg["embed_dim"],
        activation=_activation(model_cfg, config.act_kwargs, "text_cfg"),
    )
    return ov.Model([embeddings], [ids, pooled_at], "text"), config


def _activation(model_cfg: Mapping[str, Any], act_kwargs: Mapping[str, Any] | None, where: str) -> layers.Activation:
    """open_clip/model.py, _build_vision_tower and _build_text_tower."""
    kwargs = dict(act_kwargs or {})
    approximate = kwargs.pop("approximate", "none")
    if kwargs or approximate not in ("none", "tanh") or (model_cfg.get("quick_gelu") and act_kwargs):
        raise UnsupportedModel(f"{where}.act_kwargs {dict(act_kwargs or {})!r} is not supported")
    if model_cfg.get("quick_gelu"):
        return layers.quick_gelu
    return layers.gelu_tanh if approximate == "tanh" else layers.gelu


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
