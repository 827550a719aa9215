"""Both towers against open_clip, small and random, for every flag of the native models."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openclip_api import load

from . import random_tokenizers
from .conftest import MOST_DISTANCE, Agree, worst
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, TEXTS, batch_of_images, photographs

BASE: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 64, "layers": 2, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}


@dataclass(frozen=True)
class Case:
    """Flags set on top of BASE: top level, vision_cfg, text_cfg; and how the folder is written."""

    top: Mapping[str, Any] = field(default_factory=dict)
    vision: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None  # a function of random_tokenizers
    saved: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        config = copy.deepcopy(BASE) | dict(self.top)
        config["vision_cfg"] |= self.vision
        config["text_cfg"] |= self.text
        return config


CLIPA_VISION = {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
CLIPA_TEXT = {"context_length": 32, "no_causal_mask": True, "pool_type": "last", "vocab_size": 400,
              "hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": {"strip_sep_token": True}}  # fmt: skip
CUSTOM = {"custom_text": True}
TANH = {"act_kwargs": {"approximate": "tanh"}}

CASES = {
    "plain": Case(),
    "quick_gelu": Case(top={"quick_gelu": True}),
    **{f"head_width_{width}": Case(vision={"head_width": width, "width": 2 * width}) for width in (80, 88, 104, 112)},
    "mlp_ratio_4.9231": Case(vision={"width": 104, "head_width": 104, "mlp_ratio": 4.9231}, text={"mlp_ratio": 2.7}),
    "mlp_ratio_8.5715": Case(vision={"width": 112, "head_width": 112, "mlp_ratio": 8.5715}),
    "mlp_ratio_4.3637": Case(vision={"width": 88, "head_width": 88, "mlp_ratio": 4.3637}),
    "layer_scale": Case(vision={"ls_init_value": 1e-4}, text={"ls_init_value": 1e-4}),
    "no_ln_pre": Case(vision={"no_ln_pre": True}),
    "pool_avg": Case(vision={"pool_type": "avg"}),
    "pool_avg_ln_after": Case(vision={"pool_type": "avg", "final_ln_after_pool": True}),
    "pool_tok_ln_after": Case(vision={"final_ln_after_pool": True}),
    "sin_cos_2d": Case(vision={"pos_embed_type": "sin_cos_2d"}),
    "patch_32": Case(vision={"patch_size": 32, "image_size": 96}),
    "patch_14": Case(vision={"patch_size": 14, "image_size": 70}),
    "size_between_patches": Case(vision={"patch_size": 16, "image_size": 75}),
    "patch_dropout": Case(vision={"patch_dropout": 0.5}),
    "context_32": Case(text={"context_length": 32}),
    "text_pool_last": Case(text={"pool_type": "last"}),
    "text_pool_first": Case(  # of a tokenizer without start-of-text, else all vectors are the same
        text={"pool_type": "first", "vocab_size": 400, "hf_tokenizer_name": "google/mt5-base"}, tokenizer="t5"
    ),
    **{
        f"text_pool_{pool}_no_causal_mask": Case(text={"pool_type": pool, "no_causal_mask": True})
        for pool in ("argmax", "first", "last")
    },
    "proj_bias": Case(text={"proj_bias": True}),
    "proj_none": Case(text={"proj_type": "none", "width": 48}),
    "norm_eps": Case(vision={"norm_kwargs": {"eps": 1e-6}}, text={"norm_kwargs": {"eps": 1e-6}}),
    "norm_eps_large": Case(vision={"norm_kwargs": {"eps": 0.01}}, text={"norm_kwargs": {"eps": 0.01}}),
    "act_tanh": Case(vision=TANH, text=TANH),
    "custom_text": Case(top=CUSTOM),
    "custom_text_quick_gelu": Case(top=CUSTOM | {"quick_gelu": True}),
    "mobileclip_text": Case(top=CUSTOM, text={"no_causal_mask": True}),
    "siglip_text": Case(
        top=CUSTOM | {"init_logit_bias": -10.0},
        text={"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "norm_kwargs": {"eps": 1e-6}, **TANH},
    ),
    "nonscalar_logit_scale": Case(top={"nonscalar_logit_scale": True}),
    "fp16_weights": Case(saved={"dtype": torch.float16}),
    "bf16_weights": Case(saved={"dtype": torch.bfloat16}),
    "bf16_weights_all_flags": Case(
        CUSTOM, CLIPA_VISION | {"ls_init_value": 1e-4}, {"proj_bias": True}, saved={"dtype": torch.bfloat16}
    ),
    "module_prefix": Case(saved={"key_prefix": "module."}),
    "module_prefix_custom_text": Case(top=CUSTOM, saved={"key_prefix": "module."}),
    "clipa": Case(
        {}, CLIPA_VISION, CLIPA_TEXT, {"interpolation": "bilinear", "resize_mode": "squash"}, tokenizer="wordpiece"
    ),
    "worldwide": Case(
        text={"pool_type": "eos", "eos_id": 2, "vocab_size": 400, "hf_tokenizer_name": "facebook/xlm-v-base"},
        preprocess={"resize_mode": "squash"},
        tokenizer="xlm",
    ),
    "worldwide_mt5": Case(
        text={"pool_type": "eos", "eos_id": 1, "vocab_size": 400, "hf_tokenizer_name": "google/mt5-base",
              "tokenizer_kwargs": {"clean": "canonicalize"}},
        tokenizer="t5",
    ),
    "eos_no_causal_mask": Case(
        text={"pool_type": "eos", "no_causal_mask": True, "vocab_size": 400,
              "hf_tokenizer_name": "facebook/xlm-v-base"},
        tokenizer="xlm",
    ),
    "siglip_pixels": Case(preprocess={"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}),
    "mobileclip_pixels": Case(preprocess={"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"}),
    "longest_pixels": Case(preprocess={"resize_mode": "longest", "fill_color": 127}),
}  # fmt: skip


@dataclass(frozen=True)
class Saved:
    name: str
    folder: Path
    image_vectors: np.ndarray  # open_clip's, of batch_of_images()
    text_vectors: np.ndarray  # open_clip's, of BATCH_OF_TEXTS


@pytest.fixture(scope="module", params=CASES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = save(CASES[request.param], tmp_path_factory.mktemp("model"))
    reference = Reference(folder)
    images, texts = reference.embed_images(batch_of_images()), reference.embed_texts(BATCH_OF_TEXTS)
    return Saved(request.param, folder, images, texts)


def save(case: Case, folder: Path) -> Path:
    tokenizer = getattr(random_tokenizers, case.tokenizer)(folder / "tokenizer") if case.tokenizer else None
    preprocess = dict(case.preprocess)
    return save_random_model(folder, case.config(), preprocess_cfg=preprocess, tokenizer=tokenizer, **case.saved)


def test_vectors(saved: Saved, precision: str, agree: Agree) -> None:
    """One by one, and all at once: texts of all lengths then share a batch."""
    images, texts = batch_of_images(), BATCH_OF_TEXTS
    with closing(
        load(f"local-dir:{saved.folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"{saved.name} / image", ours.embed_images(images), saved.image_vectors)
        agree(f"{saved.name} / text", ours.embed_texts(texts), saved.text_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree(f"{saved.name} / image", singles, saved.image_vectors[:8])
        singles = np.concatenate([ours.embed_texts([text]) for text in texts[:18]])
        agree(f"{saved.name} / text", singles, saved.text_vectors[:18])


# A flag and the value that switches it off, for flags that change no tensor's name or shape.
SWITCHES = {
    "quick_gelu": ("quick_gelu", False, "images"),
    "head_width_80": ("vision_cfg.head_width", 160, "images"),
    "pool_avg": ("vision_cfg.pool_type", "tok", "images"),
    "pool_avg_ln_after": ("vision_cfg.final_ln_after_pool", False, "images"),
    "norm_eps_large": ("vision_cfg.norm_kwargs", None, "images"),
    "act_tanh": ("vision_cfg.act_kwargs", None, "images"),
    "text_pool_first_no_causal_mask": ("text_cfg.no_causal_mask", False, "texts"),
    "text_pool_last": ("text_cfg.pool_type", "argmax", "texts"),
    "worldwide": ("text_cfg.eos_id", 7, "texts"),
    "clipa": ("text_cfg.tokenizer_kwargs", None, "texts"),
    "siglip_text": ("text_cfg.act_kwargs", None, "texts"),
    "siglip_pixels": ("preprocess_cfg.resize_mode", "shortest", "images"),
    "mobileclip_pixels": ("preprocess_cfg.interpolation", "bicubic", "images"),
    "longest_pixels": ("preprocess_cfg.fill_color", 0, "images"),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_flag_that_is_ignored_would_be_seen(name: str, tmp_path: Path) -> None:
    """The weights and inputs above are fit to tell each flag from its absence."""
    where, off, kind = SWITCHES[name]
    folder = save(CASES[name], tmp_path)
    expected = _embed(Reference(folder), kind)
    _switch(folder / "open_clip_config.json", where, off)
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        _, distance = worst(_embed(ours, kind), expected)
    assert distance > 2 * MOST_DISTANCE["fp32"]


def _embed(model: Any, kind: str) -> np.ndarray:
    return model.embed_images(photographs()) if kind == "images" else model.embed_texts(TEXTS)


def _switch(path: Path, where: str, value: object) -> None:
    config = json.loads(path.read_text())
    *sections, flag = where.split(".")
    section = config if sections == ["preprocess_cfg"] else config["model_cfg"]
    for name in sections:
        section = section[name]
    section[flag] = value
    path.write_text(json.dumps(config))
