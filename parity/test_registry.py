"""Every native architecture of open_clip's table, with its flags and a tenth of its size."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from openclip_api import load
from openclip_api.checkpoints import registry

from . import random_tokenizers
from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import TEXTS, photographs

# The tokenizers of the table, and the small ones that stand in for them.
TOKENIZERS = {"bert-base-uncased": "wordpiece", "facebook/xlm-v-base": "xlm", "google/mt5-base": "t5"}


def is_native(config: dict[str, Any]) -> bool:
    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = vision.get("timm_model_name") or text.get("hf_model_name") or "multimodal_cfg" in config
    return not foreign and isinstance(vision["layers"], int)


def shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """Two heads' width, two layers; every other flag as it is. A small tokenizer brings a small vocabulary."""
    config = copy.deepcopy(config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    vision |= {"width": 2 * vision.get("head_width", 64), "layers": 2}
    text |= {"width": 64, "heads": 2, "layers": 2}
    if text.get("hf_tokenizer_name"):
        text["vocab_size"] = 400
    return config | {"embed_dim": 64}


def native_models() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, shrunk config and preprocessing of each architecture and each of its pairs."""
    for name in open_clip.list_models():
        if is_native(registry.architecture(name).as_written):
            yield name, shrunk(registry.architecture(name).as_written), {}
    for pair in registry.all_pretrained():
        if is_native(pair.config.as_written):
            yield f"{pair.name}:{pair.tag}", shrunk(pair.config.as_written), pair.preprocess


def distinct() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What is alike once shrunk is computed once, under the name of the first."""
    found: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for name, config, preprocess in native_models():
        whole = merge_preprocess_dict(PreprocessCfg(), preprocess)
        found.setdefault(json.dumps([config, whole], sort_keys=True), (name, config, preprocess))
    return {name: (config, preprocess) for name, config, preprocess in found.values()}


DISTINCT = distinct()


def test_the_table_has_the_native_models() -> None:
    names = [name for name, _, _ in native_models()]
    assert len([name for name in names if ":" not in name]) == 45
    assert len([name for name in names if ":" in name]) == 92


@pytest.fixture(scope="module", params=DISTINCT)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray, np.ndarray]:
    """A folder, and open_clip's vectors from it."""
    folder = tmp_path_factory.mktemp("model")
    config, preprocess = DISTINCT[request.param]
    kind = TOKENIZERS.get(config["text_cfg"].get("hf_tokenizer_name", ""))
    tokenizer = getattr(random_tokenizers, kind)(folder / "tokenizer") if kind else None
    save_random_model(folder, config, preprocess_cfg=preprocess, tokenizer=tokenizer)
    reference = Reference(folder)
    return folder, reference.embed_images(photographs()), reference.embed_texts(TEXTS)


def test_vectors(saved: tuple[Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    folder, image_vectors, text_vectors = saved
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree("registry / image", ours.embed_images(photographs()), image_vectors)
        agree("registry / text", ours.embed_texts(TEXTS), text_vectors)
