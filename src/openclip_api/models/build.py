"""A checkpoint's config and weights → its two towers as OpenVINO graphs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
import openvino.opset13 as op

from ..checkpoints.config import ModelConfig, PreprocessConfig
from ..checkpoints.lacking import Filled, some
from ..checkpoints.weights import LOGITS, MissingTensor, Weights
from ..errors import CorruptCheckpoint, OpenClipApiError, StartupError, UnsupportedModel, first_line
from . import layers
from .architecture import image_architecture, text_architecture
from .text_tower import TextTower

WHOLE = "give the whole model with the config that it was trained with"


@dataclass(frozen=True)
class Towers:
    """image: pixels uint8 [B, size, size, 3] → embeddings float32 [B, embed_dim].

    weights: the memory that both graphs point into. It must live as long as anything compiled from them.
    """

    image: ov.Model
    text: TextTower
    weights: Weights


def build_towers(config: ModelConfig, preprocess: PreprocessConfig, weights: Weights) -> Towers:
    """Raises UnsupportedModel (a flag that is not built), CorruptCheckpoint (tensors missing, unused, misshapen)."""
    try:
        return _build(config, preprocess, weights)
    except MissingTensor as error:
        _refuse_half(weights)
        raise CorruptCheckpoint(f"{_what_is_missing(config, preprocess, weights)}: {WHOLE}") from error
    except (CorruptCheckpoint, UnsupportedModel) as error:
        if not config.source or weights.source in str(error):
            raise
        raise type(error)(f"{config.source}: {error}") from error


def fits(config: ModelConfig, weights: Weights) -> bool:
    """Whether the towers of a config take these tensors, all of them. Ends at the first that it does not."""
    try:
        _build(config, PreprocessConfig(size=config.image_size), Weights(weights.tensors()))
    except StartupError:
        return False
    return True


def _refuse_half(weights: Weights) -> None:
    """Raises CorruptCheckpoint for one tower alone."""
    names = weights.names()
    image = [name for name in names if name.startswith("visual.")]
    text = [name for name in names if not name.startswith("visual.") and name not in LOGITS]
    if not image or not text:
        missing = "image tower (visual.*)" if not image else "text tower"
        raise CorruptCheckpoint(f"{weights.source} has no {missing}, only {len(names)} other tensors: {WHOLE}")


def _what_is_missing(config: ModelConfig, preprocess: PreprocessConfig, weights: Weights) -> str:
    filled, unused = Filled(weights), list[str]()
    with suppress(OpenClipApiError):
        _towers(config, preprocess, filled)
        unused = list(filled.unused())
    missing = f"{weights.source} has no tensor {some(filled.missing)}, which its config asks for"
    return f"{missing}, and {len(unused)} that have no place in it: {some(unused)}" if unused else missing


def _build(config: ModelConfig, preprocess: PreprocessConfig, weights: Weights) -> Towers:
    towers = _towers(config, preprocess, weights)
    unused = list(weights.unused())
    if unused:
        raise CorruptCheckpoint(
            f"{weights.source}: {len(unused)} tensors have no place in its config, {some(unused)}: {WHOLE}"
        )
    return towers


def _towers(config: ModelConfig, preprocess: PreprocessConfig, weights: Weights) -> Towers:
    if config.unknown_flags:
        raise UnsupportedModel(f"model_cfg.{config.unknown_flags[0][:80]} is not supported")
    if config.has_text_decoder:
        weights.leave_out("text_decoder.")  # it writes captions: no embedding passes through it
    try:
        image = _image_tower(config, preprocess, weights.at("visual."))
        text = text_architecture(config).build(config, weights)
    except OpenClipApiError:
        raise
    except Exception as error:  # what no check above has foreseen fails somewhere inside Python or OpenVINO
        raise UnsupportedModel(f"the checkpoint's config makes no model: {first_line(error)}") from error
    if config.has_text_decoder:  # open_clip/coca_model.py: encode_image and encode_text normalise by default
        image, text = _unit_length(image), replace(text, graph=_unit_length(text.graph))
    return Towers(image, text, weights)


def _image_tower(config: ModelConfig, preprocess: PreprocessConfig, w: Weights) -> ov.Model:
    size = config.image_size
    pixels = layers.parameter("pixels", [-1, size, size, 3], np.uint8)
    x = _normalised(pixels, preprocess.mean, preprocess.std)
    return ov.Model([image_architecture(config).build(x, config, w)], [pixels], "image")


def _normalised(pixels: layers.Node, mean: tuple[float, ...], std: tuple[float, ...]) -> layers.Node:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W], (x / 255 - mean) / std per channel."""
    x = op.convert(pixels, ov.Type.f32)
    x = op.divide(x, op.constant(np.float32(255)))
    x = op.subtract(x, op.constant(np.array(mean, np.float32)))
    x = op.divide(x, op.constant(np.array(std, np.float32)))
    return layers.transpose(x, 0, 3, 1, 2)


def _unit_length(tower: ov.Model) -> ov.Model:
    """The tower with embeddings of length 1."""
    embeddings = tower.get_results()[0].input_value(0)
    return ov.Model([layers.unit_length(embeddings)], tower.get_parameters(), tower.get_name())
