"""CoCa's two encoders against open_clip, small and random: the registered names' flags, and each flag alone."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints import registry

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images

NAMES = ("coca_ViT-B-32", "coca_ViT-L-14", "coca_base")


def shrunk(name: str) -> dict[str, Any]:
    """Two layers and a tenth of the width; heads, queries, patches and every other flag as they are."""
    config = copy.deepcopy(registry.architecture(name).as_written)
    config["vision_cfg"] |= {"width": 128, "layers": 2, "image_size": 2 * config["vision_cfg"]["patch_size"]}
    config["text_cfg"] |= {"width": 16 * config["text_cfg"]["heads"], "layers": 2}
    config["multimodal_cfg"] |= {"width": 64, "layers": 1, "heads": 2, "attn_pooler_heads": 2}
    return config | {"embed_dim": 96}


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    config = shrunk("coca_ViT-B-32")
    return {key: value | sections.get(key, {}) if isinstance(value, dict) else value for key, value in config.items()}


CASES: dict[str, dict[str, Any]] = {
    **{name: shrunk(name) for name in NAMES},
    "quick_gelu": changed() | {"quick_gelu": True},
    "pool_as_wide_as_the_tower": changed() | {"embed_dim": 128},  # torch then keeps q, k and v in one tensor
    "pool_queries_heads": changed(vision_cfg={"attn_pooler_queries": 5, "attn_pooler_heads": 4}),
    "no_causal_mask": changed(text_cfg={"no_causal_mask": True}),
    "pad_id": changed(text_cfg={"pad_id": 7}),
    "context_12": changed(text_cfg={"context_length": 12}, multimodal_cfg={"context_length": 12}),
}


@dataclass(frozen=True)
class Saved:
    name: str
    folder: Path
    image_vectors: np.ndarray
    text_vectors: np.ndarray


@pytest.fixture(scope="module", params=[*CASES, "bf16_weights"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    config = CASES.get(request.param, CASES[NAMES[0]])
    dtype = torch.bfloat16 if request.param == "bf16_weights" else torch.float32
    folder = save_random_model(tmp_path_factory.mktemp("model"), config, dtype=dtype)
    reference = Reference(folder)
    images, texts = reference.embed_images(batch_of_images()), reference.embed_texts(TEXTS)
    return Saved(request.param, folder, images, texts)


# "!" at a word's start, where nothing joins it, has the id 0, which the mask takes for padding.
TEXTS = [*BATCH_OF_TEXTS, "a !\u2030 b", "!\u2030" * 3, "a " * 73, "a " * 74]


def test_vectors(saved: Saved, precision: str, agree: Agree) -> None:
    """One by one, and all at once: texts of all lengths then share a batch."""
    images = batch_of_images()
    with closing(
        load(f"local-dir:{saved.folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"{saved.name} / image", ours.embed_images(images), saved.image_vectors)
        agree(f"{saved.name} / text", ours.embed_texts(TEXTS), saved.text_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree(f"{saved.name} / image", singles, saved.image_vectors[:8])
        singles = np.concatenate([ours.embed_texts([text]) for text in TEXTS])
        agree(f"{saved.name} / text", singles, saved.text_vectors)


def test_padding_inside_a_text_is_met() -> None:
    """Else the texts above would not tell the mask from one that only cuts the end off."""
    ids = open_clip.SimpleTokenizer(context_length=76)(TEXTS).numpy()
    last = np.array([np.flatnonzero(row).max() for row in ids])
    assert any((row[:end] == 0).any() for row, end in zip(ids, last, strict=True))
    assert {74, 75} <= set(last.tolist())


def test_all_of_the_table_s_names_are_proven() -> None:
    assert {name for name in open_clip.list_models() if registry.architecture(name).has_text_decoder} == {
        *NAMES,
        "coca_roberta-ViT-B-32",
    }
    pairs = [pair for pair in registry.all_pretrained() if pair.config.has_text_decoder]
    assert {pair.name for pair in pairs} == {"coca_ViT-B-32", "coca_ViT-L-14"}
    assert len(pairs) == 4
