"""What kinds of towers there are, and which of them a model's config asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from ..checkpoints.config import ModelConfig, as_whole_number
from ..checkpoints.weights import Weights
from ..errors import UnsupportedModel, shown
from . import convnext, eva, fastvit, timm_vit, vitamin
from .hf import EncoderConfig, encoder_of, hf_text_tower
from .layers import Node
from .m2m_100 import M2M100Config
from .modified_resnet import modified_resnet
from .roberta import BertConfig, RobertaConfig
from .text_tower import TextTower
from .text_transformer import TextConfig, text_transformer
from .timm import timm_tower
from .vision_transformer import vision_transformer


@dataclass(frozen=True)
class ImageArchitecture:
    """name: as `openclip-api models` prints it.

    cuts_patches: whether the tower starts by cutting the image into patches, as transformers do. Convolutions see finer
    differences: a small random FastViT lost 0.002 of the cosine to scaled JPEGs, transformers lost 0.0001.
    build: pixels float32 [B, 3, size, size], normalised, and the keys below "visual." → [B, embed_dim].
    """

    name: str
    cuts_patches: bool
    build: Callable[[Node, ModelConfig, Weights], Node]


@dataclass(frozen=True)
class TextArchitecture:
    """name: as `openclip-api models` prints it. build: takes all keys of the checkpoint."""

    name: str
    build: Callable[[ModelConfig, Weights], TextTower]


VISION_TRANSFORMER = ImageArchitecture("vision_transformer", True, vision_transformer)
SIGLIP = ImageArchitecture("siglip", True, timm_vit.siglip)
MODIFIED_RESNET = ImageArchitecture("modified_resnet", False, modified_resnet)

# Each architecture of timm, and the names that timm gives to its sizes.
TIMM: tuple[tuple[Collection[str], ImageArchitecture], ...] = (
    (timm_vit.VARIANTS, ImageArchitecture("timm_vit", True, partial(timm_tower, timm_vit.timm_vit))),
    (eva.VARIANTS, ImageArchitecture("eva", True, partial(timm_tower, eva.eva))),
    (vitamin.VARIANTS, ImageArchitecture("vitamin", False, partial(timm_tower, vitamin.vitamin))),
    (convnext.EPS, ImageArchitecture("convnext", False, partial(timm_tower, convnext.convnext))),
    (fastvit.VARIANTS, ImageArchitecture("fastvit", False, partial(timm_tower, fastvit.fastvit))),
)

TEXT_TRANSFORMER = TextArchitecture("text_transformer", text_transformer)
HF: dict[type[EncoderConfig], TextArchitecture] = {
    BertConfig: TextArchitecture("bert", hf_text_tower),
    RobertaConfig: TextArchitecture("roberta", hf_text_tower),
    M2M100Config: TextArchitecture("m2m_100", hf_text_tower),
}


def image_architecture(config: ModelConfig) -> ImageArchitecture:
    """Raises UnsupportedModel."""
    if config.timm_model_name is not None:
        for names, architecture in TIMM:
            if config.timm_model_name in names:
                return architecture
        raise UnsupportedModel(f"vision_cfg.timm_model_name {shown(config.timm_model_name)} is not supported yet")
    if config.vision.get("siglip"):
        return SIGLIP
    return MODIFIED_RESNET if isinstance(config.vision.get("layers"), list) else VISION_TRANSFORMER


def text_architecture(config: ModelConfig) -> TextArchitecture:
    """Raises UnsupportedModel."""
    if config.hf_model_name is None:
        return TEXT_TRANSFORMER
    return HF[type(encoder_of(config))]


def vocab_size(config: ModelConfig) -> int | None:
    """How many token ids the text tower has a vector for; None for a tower that has no graph here."""
    if config.hf_model_name is None:
        size = config.text.get("vocab_size")
        return TextConfig.vocab_size if size is None else as_whole_number(size)
    try:
        return encoder_of(config).vocab_size
    except UnsupportedModel:  # it runs on torch
        return None


def describe_towers(config: ModelConfig) -> str:
    """The names of both towers: "timm_vit + text_transformer (CoCa)". Their flags are not checked.

    Raises UnsupportedModel for a tower that has no graph here.
    """
    towers = f"{image_architecture(config).name} + {text_architecture(config).name}"
    return towers + (" (CoCa)" if config.has_text_decoder else "")
