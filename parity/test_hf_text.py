"""Text towers from Hugging Face against open_clip, small and random: each encoder, pooler and projection."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers

from openclip_api import load
from openclip_api.checkpoints import registry
from openclip_api.models.hf import ENCODERS, encoder_config
from openclip_api.models.m2m_100 import M2M100Config
from openclip_api.models.roberta import BertConfig, RobertaConfig

from . import random_tokenizers
from .conftest import MOST_DISTANCE, Agree, worst
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, photographs

ROBERTA: dict[str, Any] = {
    "vocab_size": 400, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 176,
    "max_position_embeddings": 90, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1,
    "hidden_act": "gelu",
}  # fmt: skip
NLLB: dict[str, Any] = {
    "vocab_size": 400, "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 176,
    "decoder_layers": 1, "scale_embedding": True, "pad_token_id": 1, "activation_function": "relu",
}  # fmt: skip
BERT = ROBERTA | {"max_position_embeddings": 77, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
# The encoders of the table: transformers' class, its config, and a tokenizer of the same class.
KINDS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "roberta": (transformers.RobertaConfig, ROBERTA, "roberta"),
    "xlm-roberta": (transformers.XLMRobertaConfig, ROBERTA, "xlm_roberta"),
    "m2m_100": (transformers.M2M100Config, NLLB, "nllb"),
    "bert": (transformers.BertConfig, BERT, "wordpiece"),
}
# What others counted in the published models (RoBERTas: 124,645,632, 278,043,648 and 559,890,432), less the pooler
# that open_clip leaves out. Counts say nothing of heads and epsilons: those rest on the sources named in hf.py.
PARAMETERS = {
    "roberta-base": 124_055_040,
    "xlm-roberta-base": 277_453_056,
    "xlm-roberta-large": 558_840_832,
    "facebook/nllb-200-distilled-600M": 615_073_792,
    "facebook/nllb-200-distilled-1.3B": 1_370_638_336,
    # Less the pooler, of width² + width: 109,482,240 and 108,310,272 with it, and so on.
    "bert-base-uncased": 108_891_648,
    "bert-base-cased": 107_719_680,
    "bert-base-chinese": 101_677_056,
    "bert-base-multilingual-cased": 177_262_848,
    "bert-base-multilingual-uncased": 166_765_824,
    "bert-large-uncased": 334_092_288,
    "bert-large-cased": 332_529_664,
}


@dataclass(frozen=True)
class Case:
    kind: str = "roberta"
    text: Mapping[str, Any] = field(default_factory=dict)
    vision: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32


def registered(name: str) -> Case:
    """A registered model's flags, with an encoder of the same class; a ViT stands in for an image tower from timm."""
    config = copy.deepcopy(registry.architecture(name).as_written)
    text, vision = config.pop("text_cfg"), config.pop("vision_cfg")
    kind = {"roberta-base": "roberta", "xlm-roberta-base": "xlm-roberta", "xlm-roberta-large": "xlm-roberta"}
    vision = vision | {"width": 2 * vision.get("head_width", 64), "layers": 2}
    vision = {} if "timm_model_name" in vision else vision
    return Case(kind.get(text["hf_model_name"], "m2m_100"), text, vision, top=config | {"embed_dim": 48})


NAMES = ("roberta-ViT-B-32", "xlm-roberta-base-ViT-B-32", "xlm-roberta-large-ViT-H-14", "nllb-clip-base",
         "nllb-clip-base-siglip", "nllb-clip-large", "nllb-clip-large-siglip")  # fmt: skip
CASES = {
    **{name: registered(name) for name in NAMES},
    "linear": Case(text={"hf_proj_type": "linear"}),
    "no_projection": Case(text={"hf_proj_type": None}, top={"embed_dim": 64}),
    "mlp_of_equal_width": Case(top={"embed_dim": 64}),
    "cls_pooler": Case(text={"hf_pooler_type": "cls_pooler"}),
    "cls_last_hidden_state_pooler": Case("xlm-roberta", {"hf_pooler_type": "cls_last_hidden_state_pooler"}),
    "usual_pooler_roberta": Case(text={"hf_pooler_type": None}),
    "usual_pooler_nllb": Case("m2m_100", {"hf_pooler_type": None}),
    "mean_pooler_nllb": Case("m2m_100"),
    "context_16": Case("xlm-roberta", {"context_length": 16}),
    "context_16_nllb": Case("m2m_100", {"context_length": 16}),
    "eps_large": Case(encoder={"layer_norm_eps": 0.01}),
    "heads_types_positions": Case(
        encoder={"num_attention_heads": 2, "type_vocab_size": 3, "max_position_embeddings": 130}
    ),
    "no_scale_nllb": Case("m2m_100", {"hf_pooler_type": "cls_pooler"}, encoder={"scale_embedding": False}),
    "other_padding_nllb": Case("m2m_100", encoder={"pad_token_id": 17}),  # <pad> then counts like any token
    "bert_mlp": Case("bert", {"hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 60}),
    "bert_usual_pooler": Case("bert", {"hf_pooler_type": None, "hf_proj_type": "linear"}),
    "bert_cls_pooler": Case("bert", {"hf_pooler_type": "cls_pooler"}),
    "bert_mean": Case("bert", {"hf_pooler_type": "mean_pooler"}, encoder={"layer_norm_eps": 0.01}),
    "fp16_weights": Case("m2m_100", dtype=torch.float16),
    "bf16_weights": Case("xlm-roberta", dtype=torch.bfloat16),
}


@dataclass(frozen=True)
class Saved:
    name: str
    folder: Path
    text_vectors: np.ndarray
    image_vectors: np.ndarray


def save(case: Case, folder: Path) -> Path:
    """The encoder's config.json lies in a folder of its own, whose path stands in for the name on the hub."""
    hf_config, values, tokenizer = KINDS[case.kind]
    encoder = folder / "encoder"
    hf_config(**values | case.encoder).save_pretrained(encoder)
    config = {
        "embed_dim": 48,
        "vision_cfg": case.vision or {"image_size": 64, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32},
        "text_cfg": {"hf_tokenizer_name": "any", **case.text, "hf_model_name": str(encoder)},
        **case.top,
    }
    made = getattr(random_tokenizers, tokenizer)(folder / "tokenizer")
    return save_random_model(folder / "model", config, tokenizer=made, dtype=case.dtype)


@pytest.fixture(scope="module", params=CASES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = save(CASES[request.param], tmp_path_factory.mktemp("model"))
    reference = Reference(folder)
    texts, images = reference.embed_texts(BATCH_OF_TEXTS), reference.embed_images(photographs())
    return Saved(request.param, folder, texts, images)


def test_vectors(saved: Saved, precision: str, agree: Agree) -> None:
    """One by one, and all at once: texts of all lengths then share a batch."""
    with closing(
        load(f"local-dir:{saved.folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"{saved.name} / text", ours.embed_texts(BATCH_OF_TEXTS), saved.text_vectors)
        singles = np.concatenate([ours.embed_texts([text]) for text in BATCH_OF_TEXTS])
        agree(f"{saved.name} / text", singles, saved.text_vectors)
        agree(f"{saved.name} / image", ours.embed_images(photographs()), saved.image_vectors)


# A fact of the encoder's config.json and another value, for facts that change no tensor's name or shape.
SWITCHES: dict[str, tuple[str, object]] = {
    "heads_types_positions": ("num_attention_heads", 4),
    "eps_large": ("layer_norm_eps", 1e-5),
    "context_16": ("pad_token_id", 0),
    "usual_pooler_nllb": ("scale_embedding", False),
    "mean_pooler_nllb": ("encoder_attention_heads", 2),
    "other_padding_nllb": ("pad_token_id", 1),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_wrong_fact_would_be_seen(name: str, tmp_path: Path) -> None:
    """The weights and texts above are fit to tell each fact from another."""
    folder = save(CASES[name], tmp_path)
    expected = Reference(folder).embed_texts(BATCH_OF_TEXTS)
    fact, value = SWITCHES[name]
    path = tmp_path / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {fact: value}))
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert worst(ours.embed_texts(BATCH_OF_TEXTS), expected)[1] > 2 * MOST_DISTANCE["fp32"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_table_s_facts_make_the_published_models(name: str) -> None:
    facts = encoder_config(name)
    kinds = {
        RobertaConfig: transformers.RobertaConfig,
        BertConfig: transformers.BertConfig,
        M2M100Config: transformers.M2M100Config,
    }
    kind: Any = kinds[type(facts)]
    values = asdict(facts)
    if isinstance(facts, M2M100Config):
        values |= {"decoder_layers": facts.encoder_layers, "decoder_ffn_dim": facts.encoder_ffn_dim}
    options = {"add_pooling_layer": False} if isinstance(facts, RobertaConfig) else {}
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(kind(**values), **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert kind(**values).to_dict().items() >= asdict(facts).items()


def test_all_of_the_table_s_names_are_known() -> None:
    found = {pair.name: pair.config.as_written["text_cfg"] for pair in registry.all_pretrained()}
    assert {name for name, text in found.items() if "hf_model_name" in text} == set(NAMES)
    assert {found[name]["hf_model_name"] for name in NAMES} <= set(ENCODERS)
    others = {registry.architecture(name).hf_model_name for name in open_clip.list_models()}
    assert others - set(ENCODERS) == {None, "google/mt5-base", "google/mt5-xl"}  # of mt5 nobody published weights


def test_a_repository_s_other_names() -> None:
    """The hub renamed some. BiomedBERT was PubMedBERT, and has the sizes of bert-base-uncased."""
    for name in ENCODERS.keys() - PARAMETERS.keys():
        owner, _, repo = name.partition("/")
        published = "bert-base-uncased" if owner == "microsoft" else repo
        assert ENCODERS[name] == ENCODERS[published]
