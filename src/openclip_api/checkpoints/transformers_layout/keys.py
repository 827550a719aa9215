"""transformers' names of tensors → open_clip's.

Source: transformers/models/clip/modeling_clip.py, siglip/modeling_siglip.py, chinese_clip/modeling_chinese_clip.py and
altclip/modeling_altclip.py (5.24.0); metaclip_2's are clip's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptCheckpoint
from ..config import ModelConfig
from ..weights import PART, Weights, as_float32

Tensor: TypeAlias = NDArray[np.generic]

TOWERS = ("vision_model.", "text_model.")
MISSING = {"vision_model.": "image tower", "text_model.": "text tower"}

NATIVE = {"layer_norm1.": "ln_1.", "layer_norm2.": "ln_2.", "self_attn.out_proj.": "attn.out_proj.",
          "mlp.fc1.": "mlp.c_fc.", "mlp.fc2.": "mlp.c_proj."}  # fmt: skip
TIMM = {"layer_norm1.": "norm1.", "layer_norm2.": "norm2.", "self_attn.out_proj.": "attn.proj.",
        "mlp.fc1.": "mlp.fc1.", "mlp.fc2.": "mlp.fc2."}  # fmt: skip

CLIP_IMAGE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.": "visual.ln_pre.",
    "vision_model.post_layernorm.": "visual.ln_post.",
}
SIGLIP_IMAGE = {
    "vision_model.embeddings.patch_embedding.": "visual.trunk.patch_embed.proj.",
    "vision_model.post_layernorm.": "visual.trunk.norm.",
    "vision_model.head.probe": "visual.trunk.attn_pool.latent",
    "vision_model.head.attention.out_proj.": "visual.trunk.attn_pool.proj.",
    "vision_model.head.layernorm.": "visual.trunk.attn_pool.norm.",
    "vision_model.head.mlp.": "visual.trunk.attn_pool.mlp.",
}
CLIP_TEXT = {"text_model.embeddings.token_embedding.": "token_embedding.", "text_model.final_layer_norm.": "ln_final."}
SIGLIP_TEXT = {old: f"text.{new}" for old, new in CLIP_TEXT.items()} | {"text_model.head.": "text.text_projection."}
BERT_TEXT = {
    "text_model.embeddings.": "text.transformer.embeddings.",
    "text_model.encoder.layer.": "text.transformer.encoder.layer.",
    "text_projection.weight": "text.proj.weight",
}
ALT_TEXT = {
    "text_model.roberta.embeddings.": "text.transformer.embeddings.",
    "text_model.roberta.encoder.layer.": "text.transformer.encoder.layer.",
    "text_model.roberta.encoder.layers.": "text.transformer.encoder.layer.",
    "text_model.pre_LN.": "text.proj.norm.",
    "text_model.transformation.": "text.proj.transformation.",
    "text_projection.weight": "text.proj.projection.weight",
}
# Poolers of earlier versions, which no forward pass of these models reads.
NEVER_READ = ("text_model.pooler.", "text_model.roberta.pooler.")

LAYER = re.compile(r"(text_model\.encoder\.layers|vision_model\.encoder\.layers?)\.\d+\.")
PROJECTIONS = ("self_attn.q", "self_attn.k", "self_attn.v")


def open_clip_tensors(weights: Weights, config: ModelConfig) -> Weights:
    """The tensors of a model of transformers by open_clip's names; any other's as they are.

    No tensor is copied, besides two small ones that are turned: queries, keys and values stay apart, as `Weights.parts`
    takes them. A tensor with no place in these models keeps its name, so that whoever builds the towers refuses it.

    Raises CorruptCheckpoint for a file with one tower.
    """
    names = weights.names()
    if not _has(names, TOWERS) or _has(names, "visual."):
        return weights
    refuse_half(weights)
    return Weights(_renamed(weights, names, config), f"{weights.source} (by open_clip's names)")


def refuse_half(weights: Weights) -> None:
    """Raises CorruptCheckpoint for tensors by transformers' names that are one tower's."""
    names = weights.names()
    for tower in TOWERS:
        if not _has(names, tower):
            raise CorruptCheckpoint(f"{weights.source} has no {MISSING[tower]} ({tower}*): both towers are needed")


def joined(weights: Weights) -> Weights:
    """The tensors as open_clip's file has them, with queries, keys and values in one: copies of those."""
    names = weights.names()
    parts = sorted({name.rpartition(PART)[0] for name in names if PART in name})
    whole = {name: weights[name] for name in names if PART not in name}
    in_one = {name: np.concatenate(_of_one_type([weights[f"{name}{PART}{i}"] for i in range(3)])) for name in parts}
    return Weights(whole | in_one, weights.source)


def _has(names: list[str], start: str | tuple[str, ...]) -> bool:
    return any(name.startswith(start) for name in names)


def _renamed(w: Weights, names: list[str], config: ModelConfig) -> dict[str, Tensor]:
    """open_clip's name → the tensor."""
    table = _table(names)
    tensors: dict[str, Tensor] = {}
    for name in names:
        if name.startswith(NEVER_READ):
            continue
        if LAYER.match(name):
            renamed = {_in_layer(name, table): w[name]}
        else:
            renamed = _outside_layers(name, w[name], table, config.tokenizer.context_length)
        if twice := tensors.keys() & renamed.keys():
            raise CorruptCheckpoint(f"{w.source} has two tensors that are {min(twice)!r} by open_clip's names")
        tensors |= renamed
    return tensors


def _table(names: list[str]) -> dict[str, str]:
    """The beginnings of names that these tensors have, and what becomes of them; longer ones first."""
    siglip = "vision_model.head.probe" in names
    image, blocks = (SIGLIP_IMAGE, "visual.trunk.blocks.") if siglip else (CLIP_IMAGE, "visual.transformer.resblocks.")
    text = SIGLIP_TEXT if siglip else CLIP_TEXT
    if _has(names, "text_model.roberta."):
        text = ALT_TEXT
    elif "text_model.embeddings.word_embeddings.weight" in names:
        text = BERT_TEXT
    # AltCLIP's is "layer" since 5.0, with which transformers renames the text tower's and meets the image tower's too.
    layers = {"vision_model.encoder.layers.": blocks, "vision_model.encoder.layer.": blocks}
    if text in (CLIP_TEXT, SIGLIP_TEXT):
        layers["text_model.encoder.layers."] = ("text." if siglip else "") + "transformer.resblocks."
    table = image | text | layers
    return {old: table[old] for old in sorted(table, key=len, reverse=True)}


def _start_replaced(name: str, table: Mapping[str, str]) -> str:
    return next((new + name[len(old) :] for old, new in table.items() if name.startswith(old)), name)


def _in_layer(name: str, table: Mapping[str, str]) -> str:
    name = _start_replaced(name, table)
    timm = name.startswith("visual.trunk.")
    stem, projection, kind = name.rpartition("_proj.")
    if projection and stem.endswith(PROJECTIONS):
        stem, number = stem.removesuffix(stem[-1]), "qkv".index(stem[-1])
        joined_name = stem.replace("self_attn.", "attn.qkv." if timm else "attn.in_proj_")
        return f"{joined_name}{kind}{PART}{number}"
    for old, new in (TIMM if timm else NATIVE).items():
        name = name.replace(old, new)
    return name


def _outside_layers(name: str, tensor: Tensor, table: Mapping[str, str], length: int) -> dict[str, Tensor]:
    if tensor.ndim == 0:
        return {_start_replaced(name, table): tensor}
    head, _, kind = name.partition("vision_model.head.attention.in_proj_")
    if not head and kind:  # torch.nn.MultiheadAttention has the rows of the query first, timm's pooling has them apart
        width = len(tensor) // 3
        pool = "visual.trunk.attn_pool."
        return {f"{pool}q.{kind}": tensor[:width], f"{pool}kv.{kind}": tensor[width:]}
    match name:
        case "visual_projection.weight":
            return {"visual.proj": np.ascontiguousarray(tensor.T)}
        case "text_projection.weight" if name not in table:
            return {"text_projection": np.ascontiguousarray(tensor.T)}
        case "text_model.embeddings.position_embedding.weight" if "text_model.final_layer_norm." in table:
            # A tokenizer that cuts texts shorter leaves the last positions without a use.
            prefix = table["text_model.final_layer_norm."].removesuffix("ln_final.")
            return {f"{prefix}positional_embedding": tensor[:length]}
        case "vision_model.embeddings.position_embedding.weight" if name not in table:
            return {"visual.trunk.pos_embed": tensor[None]}
    return {_start_replaced(name, table): tensor}


def _of_one_type(parts: list[Tensor]) -> list[Tensor]:
    return parts if len({part.dtype for part in parts}) == 1 else [as_float32(part) for part in parts]
