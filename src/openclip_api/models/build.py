"""A checkpoint's config and weights → its two towers as OpenVINO models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openvino as ov

from ..checkpoints.checkpoint import PreprocessConfig
from ..checkpoints.weights import Weights
from ..errors import CorruptCheckpoint, UnsupportedModel
from . import layers
from .flags import read_flags
from .hf import hf_architecture, hf_text_tower
from .modified_resnet import ResNetConfig, modified_resnet
from .text_tower import Feeds, TextTower
from .text_transformer import text_tower
from .timm import timm_architecture, timm_tower
from .vision_transformer import VisionConfig, normalised, vision_transformer

# Of model_cfg, what is read here and what speaks of training or loading alone.
TOWERS = {"embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu"}
NO_PART_IN_FORWARD = {"custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "output_dict"}


@dataclass(frozen=True)
class Towers:
    """Both graphs.

    image: pixels uint8 [B, size, size, 3] → embeddings float32 [B, embed_dim]
    text:  what `text_feeds` makes of ids int32 [B, context_length] → embeddings float32 [B, embed_dim]
    trims_texts: whether a short text costs less than a long one
    weights: the memory that both graphs point into; it must live as long as anything compiled from them
    """

    image: ov.Model
    text: ov.Model
    text_feeds: Feeds
    trims_texts: bool
    embed_dim: int
    context_length: int
    weights: Weights


def build_towers(model_cfg: Mapping[str, Any], preprocess: PreprocessConfig, weights: Weights) -> Towers:
    """Raises UnsupportedModel (a flag that is not built), CorruptCheckpoint (tensors missing, unused, misshapen)."""
    unknown = [key for key in model_cfg if key not in TOWERS | NO_PART_IN_FORWARD and model_cfg[key]]
    if unknown:
        raise UnsupportedModel(f"model_cfg.{unknown[0]} is not supported")
    if model_cfg.get("multimodal_cfg"):
        weights.leave_out("text_decoder.")  # writes captions; no embedding passes through it
    try:
        image = _image_tower(model_cfg, preprocess, weights)
        text = _text_tower(model_cfg, weights)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        # a width of "768", or heads that do not divide it: what fails is Python or OpenVINO, somewhere inside
        raise UnsupportedModel(f"the checkpoint's config makes no model: {_first_line(error)}") from error
    unused = list(weights.unused())
    if unused:
        raise CorruptCheckpoint(
            f"{len(unused)} tensors of the checkpoint have no place in its config, first {unused[0]!r}"
        )
    if model_cfg.get("multimodal_cfg"):  # open_clip/coca_model.py: encode_image and encode_text normalise by default
        image, text = _unit_length(image), replace(text, graph=_unit_length(text.graph))
    return Towers(image, text.graph, text.feeds, text.trims, int(model_cfg["embed_dim"]), text.context_length, weights)


def architecture_of(model_cfg: Mapping[str, Any]) -> str:
    """What its two towers are, by the files of this folder: "timm_vit + text_transformer".

    Raises UnsupportedModel for towers that have no graph here; their flags are checked by build_towers.
    """
    vision, text = model_cfg["vision_cfg"], model_cfg["text_cfg"]
    image_tower = "vision_transformer"
    if vision.get("timm_model_name"):
        image_tower = timm_architecture(vision["timm_model_name"])
    elif isinstance(vision.get("layers"), list):
        image_tower = "modified_resnet"
    text_tower = hf_architecture(text["hf_model_name"]) if text.get("hf_model_name") else "text_transformer"
    return f"{image_tower} + {text_tower}" + (" (CoCa)" if model_cfg.get("multimodal_cfg") else "")


def _unit_length(tower: ov.Model) -> ov.Model:
    """The tower with embeddings of length 1."""
    embeddings = tower.get_results()[0].input_value(0)
    return ov.Model([layers.unit_length(embeddings)], tower.get_parameters(), tower.get_name())


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


def _text_tower(model_cfg: Mapping[str, Any], weights: Weights) -> TextTower:
    section, embed_dim = model_cfg["text_cfg"], model_cfg["embed_dim"]
    if section.get("hf_model_name"):
        return hf_text_tower(section, weights.at("text."), embed_dim=embed_dim)
    # Class CLIP keeps the text tower's tensors at the top, CustomTextCLIP below "text.".
    prefix = "text." if "text.token_embedding.weight" in weights else ""
    activation = _activation(model_cfg, section.get("act_kwargs"), "text_cfg")
    return text_tower(section, weights.at(prefix), embed_dim=embed_dim, activation=activation)


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
