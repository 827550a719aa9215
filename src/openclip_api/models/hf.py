"""A text tower from Hugging Face inside an OpenCLIP model: an encoder, then open_clip's pooler and projection.

Source: open_clip/hf_model.py, HFTextEncoder (3.3.0). The encoder's checkpoint keys start with "text.transformer.",
the projection's with "text.proj.".
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.config import ModelConfig, Section, read_json
from ..checkpoints.weights import Weights
from ..errors import CorruptCheckpoint, UnsupportedModel, shown
from . import layers
from .flags import one_of, read_flags, typed
from .layers import Node
from .m2m_100 import M2M100Config, m2m_100_encoder
from .packed_texts import PackedTexts, pack
from .roberta import BertConfig, RobertaConfig, roberta_encoder, roberta_pooler
from .text_tower import ModelInputs, TextTower, TokenIds

EncoderConfig = RobertaConfig | M2M100Config


def _roberta(vocab_size: int, width: int, layers: int, heads: int) -> RobertaConfig:
    """514 positions, one token type, 1e-5: transformers' convert_roberta_original_pytorch_checkpoint_to_pytorch.py."""
    return RobertaConfig(vocab_size, width, layers, heads, 4 * width, 514, 1, 1e-5, 1, "gelu")


def _nllb(layers: int, ffn_dim: int) -> M2M100Config:
    """fairseq2's models/nllb/archs.py, nllb_dense_600m and nllb_dense_1b; the rest as transformers' M2M100Config."""
    return M2M100Config(256206, 1024, layers, 16, ffn_dim, True, 1, "relu")


def _bert(vocab_size: int, width: int = 768, layers: int = 12, heads: int = 12) -> BertConfig:
    """512 positions, two token types, 1e-12: google-research/bert, bert_config.json of each release."""
    return BertConfig(vocab_size, width, layers, heads, 4 * width, 512, 2, 1e-12, 0, "gelu")


XLM_BASE = _roberta(250002, width=768, layers=12, heads=12)
XLM_LARGE = _roberta(250002, width=1024, layers=24, heads=16)
ROBERTA_BASE = _roberta(50265, width=768, layers=12, heads=12)
BIOMED = _bert(30522)

# open_clip_config.json gives a name alone. These are from the config.json of the hub's repository of that name; some
# repositories have two names, an old one and today's.
ENCODERS: Mapping[str, EncoderConfig] = {
    "roberta-base": ROBERTA_BASE,
    "FacebookAI/roberta-base": ROBERTA_BASE,
    "xlm-roberta-base": XLM_BASE,
    "FacebookAI/xlm-roberta-base": XLM_BASE,
    "xlm-roberta-large": XLM_LARGE,
    "FacebookAI/xlm-roberta-large": XLM_LARGE,
    "facebook/nllb-200-distilled-600M": _nllb(layers=12, ffn_dim=4096),
    "facebook/nllb-200-distilled-1.3B": _nllb(layers=24, ffn_dim=8192),
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract": BIOMED,
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract": BIOMED,
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext": BIOMED,
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext": BIOMED,
    **{
        f"{owner}{name}": config
        for owner in ("", "google-bert/")
        for name, config in {
            "bert-base-uncased": _bert(30522),
            "bert-base-cased": _bert(28996),
            "bert-base-chinese": _bert(21128),
            "bert-base-multilingual-cased": _bert(119547),
            "bert-base-multilingual-uncased": _bert(105879),
            "bert-large-uncased": _bert(30522, 1024, 24, 16),
            "bert-large-cased": _bert(28996, 1024, 24, 16),
        }.items()
    },
}

MODEL_TYPES: Mapping[str, type[EncoderConfig]] = {
    "bert": BertConfig,
    "roberta": RobertaConfig,
    "xlm-roberta": RobertaConfig,
    "m2m_100": M2M100Config,
}


@dataclass(frozen=True)
class HFTextConfig:
    """text_cfg of a tower from transformers, with open_clip's defaults (open_clip/model.py, CLIPTextCfg)."""

    hf_model_name: str
    hf_proj_type: str | None = "mlp"
    hf_pooler_type: str | None = "mean_pooler"
    context_length: int = 77
    width: int | None = None  # open_clip reads the encoder's own
    hf_config: dict[str, Any] | None = None  # of transformers' layout, where the encoder has no repository of its own
    # read by the tokenizer
    hf_tokenizer_name: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None


def hf_text_tower(model: ModelConfig, w: Weights) -> TextTower:
    """`w` holds all keys: the tower's start with "text."."""
    assert model.hf_model_name is not None
    section, w, encoder = model.text, w.at("text."), encoder_of(model)
    config, pooler = read_flags(section, HFTextConfig, "text_cfg"), _pooler(section, encoder)
    packed = PackedTexts.parameters()
    x = _encoded(packed, encoder, w.at("transformer."), config.context_length)  # [1, T, W]
    x = _pooled(x, packed, encoder, pooler, w.at("transformer."))  # [B, W]
    projection = section.get("hf_proj_type", "mlp")
    if projection == "altclip" and isinstance(encoder, RobertaConfig):
        x = _altclip(x, encoder, model.embed_dim, w.at("proj."))
    else:
        x = _projected(x, projection, encoder.width, model.embed_dim, w.at("proj."))

    def counts(ids: TokenIds) -> NDArray[np.bool_]:
        """[B, context_length]: padding is masked, so it is not computed. A text always has a first token."""
        counted: NDArray[np.bool_] = ids != encoder.pad_token_id
        counted[:, 0] = True
        return counted

    def model_inputs(ids: TokenIds) -> ModelInputs:
        counted = counts(ids)
        return pack(ids, counted, encoder.positions(counted), "first")

    return TextTower(packed.graph(x), config.context_length, model_inputs, lambda ids: counts(ids).sum(axis=1))


def encoder_of(model: ModelConfig) -> EncoderConfig:
    """The encoder of a model whose text tower has one. Raises UnsupportedModel, CorruptCheckpoint."""
    written = model.text.get("hf_config")
    return _typed_config(written, "text_config") if written else encoder_config(str(model.hf_model_name))


def encoder_config(name: str) -> EncoderConfig:
    """Of a known name, or from the config.json of a folder, which transformers takes in place of a name.

    Raises UnsupportedModel.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    path = Path(name) / "config.json"
    if not _is_file(path):
        close = difflib.get_close_matches(name, ENCODERS, n=3, cutoff=0.5) or [*ENCODERS][:3]
        raise UnsupportedModel(
            f"text_cfg.hf_model_name {shown(name)}: expected a folder with a config.json, "
            f"or one of {len(ENCODERS)} names such as {', '.join(close)}"
        )
    return _typed_config(read_json(path), str(path))


def _typed_config(written: Any, path: str) -> EncoderConfig:
    if not isinstance(written, dict):
        raise CorruptCheckpoint(f"{path} is not a JSON object")
    kind = MODEL_TYPES[one_of(written.get("model_type"), tuple(MODEL_TYPES), f"{path}: model_type")]
    missing = [field.name for field in fields(kind) if field.name not in written]
    if missing:
        raise UnsupportedModel(f"{path} has no {missing[0]!r}")
    config = typed(kind, {field.name: written[field.name] for field in fields(kind)}, path)
    if config.pad_token_id >= config.vocab_size:
        raise CorruptCheckpoint(
            f"{path}: pad_token_id {config.pad_token_id} is not below vocab_size {config.vocab_size}"
        )
    return config


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for a file
        return False


def _pooler(section: Section, encoder: EncoderConfig) -> str:
    """Where the config says null: open_clip/hf_configs.py, arch_dict. BERT's is cls_pooler there, but without the dense
    layer, which only a config that names it gets (open_clip/hf_model.py, HFTextEncoder, uses_transformer_pooler)."""
    usual = "mean_pooler" if type(encoder) is RobertaConfig else "cls_last_hidden_state_pooler"
    pooler: str = section.get("hf_pooler_type", "mean_pooler") or usual
    one_of(pooler, ("mean_pooler", "cls_pooler", "cls_last_hidden_state_pooler"), "text_cfg.hf_pooler_type")
    return pooler


def _encoded(packed: PackedTexts, encoder: EncoderConfig, w: Weights, context_length: int) -> Node:
    """[1, T, W]."""
    if isinstance(encoder, RobertaConfig):
        if context_length > encoder.max_tokens:
            raise CorruptCheckpoint(
                f"text_cfg.context_length {context_length}: the encoder has positions for {encoder.max_tokens} tokens"
            )
        return roberta_encoder(packed, encoder, w)
    return m2m_100_encoder(packed, encoder, w, context_length)


def _pooled(x: Node, packed: PackedTexts, encoder: EncoderConfig, pooler: str, w: Weights) -> Node:
    """[1, T, W] → [B, W]."""
    if pooler == "mean_pooler":
        return packed.mean(x)
    x = packed.pooled(x)
    return roberta_pooler(x, encoder, w) if pooler == "cls_pooler" and isinstance(encoder, RobertaConfig) else x


def _projected(x: Node, kind: str | None, width: int, embed_dim: int, w: Weights) -> Node:
    """[B, W] → [B, E]."""
    one_of(kind, ("mlp", "linear", None) if width == embed_dim else ("mlp", "linear"), "text_cfg.hf_proj_type")
    if kind == "mlp":
        hidden = (width + embed_dim) // 2
        x = layers.gelu(layers.linear(x, w.at("0."), width, hidden, bias=False))
        return layers.linear(x, w.at("2."), hidden, embed_dim, bias=False)
    return layers.linear(x, w, width, embed_dim, bias=False) if kind else x


def _altclip(x: Node, encoder: RobertaConfig, embed_dim: int, w: Weights) -> Node:
    """transformers/models/altclip/modeling_altclip.py, AltCLIPTextModel and AltCLIPModel.get_text_features (5.24.0)."""
    width, inner = encoder.width, w["transformation.weight"].shape[0]
    x = layers.layer_norm(x, w.at("norm."), width, encoder.layer_norm_eps)
    x = layers.linear(x, w.at("transformation."), width, inner)
    return layers.linear(x, w.at("projection."), inner, embed_dim, bias=False)
