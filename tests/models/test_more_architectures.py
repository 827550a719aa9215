"""The golden models of other architectures than the native ones: every tensor is needed, padding is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

from ..golden import MODELS
from ..support.model_folders import built

NAMES = ("coca", "nllb", "roberta")


def config_of(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((MODELS[name] / "open_clip_config.json").read_text())["model_cfg"]
    return config


def tensors_of(name: str) -> Mapping[str, np.ndarray]:
    return load_file(MODELS[name] / "open_clip_model.safetensors")


TOWER_TENSORS = [
    (name, key)
    for name in NAMES
    for key in tensors_of(name)
    if not key.startswith(("logit_scale", "text_decoder.", "visual.transformer", "text.transformer.resblocks"))
]


@pytest.mark.parametrize(("name", "key"), TOWER_TENSORS)
def test_each_tensor_is_needed_whole(name: str, key: str, tmp_path: Path) -> None:
    """Left out, of another shape, or there twice under two names."""
    tensors = tensors_of(name)
    without = {other: tensor for other, tensor in tensors.items() if other != key}
    with pytest.raises(CorruptCheckpoint, match="the checkpoint has no tensor"):
        built(tmp_path, config_of(name), without)
    with pytest.raises(CorruptCheckpoint, match=key):
        built(tmp_path, config_of(name), {**without, key: tensors[key][..., :-1].copy()})
    with pytest.raises(CorruptCheckpoint, match=f"{key}_copy"):
        built(tmp_path, config_of(name), {**tensors, f"{key}_copy": tensors[key]})


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_left_out_and_not_missed(name: str, tmp_path: Path) -> None:
    towers = built(tmp_path, config_of(name), tensors_of(name))
    padding = 0 if name == "coca" else 1
    ids = np.random.RandomState(0).randint(2, 400, (3, towers.context_length)).astype(np.int32)
    for row, end in zip(ids, (4, 11, 7), strict=True):
        row[end:] = padding
    assert towers.text_feeds(ids)["ids"].shape[1] == 12
    engine = OpenVinoEngine(towers, "fp32")
    together = engine.encode_texts(ids)
    np.testing.assert_allclose(together, np.concatenate([engine.encode_texts(row[None]) for row in ids]), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    if name != "coca":
        whole = OpenVinoEngine(replace(towers, text_feeds=lambda ids, least=1: {"ids": ids}), "fp32").encode_texts(ids)
        np.testing.assert_allclose(together, whole, atol=1e-5)


def test_what_writes_captions_is_no_part_of_the_towers(tmp_path: Path) -> None:
    tensors = tensors_of("coca")
    assert any(key.startswith("text_decoder.") for key in tensors)
    built(tmp_path, config_of("coca"), {key: tensors[key] for key in tensors if not key.startswith("text_decoder.")})
    plain = {key: value for key, value in config_of("coca").items() if key != "multimodal_cfg"}
    with pytest.raises(CorruptCheckpoint, match="text_decoder"):
        built(tmp_path, plain, tensors)


def test_position_ids_of_older_transformers_are_known(tmp_path: Path) -> None:
    position_ids = {"text.transformer.embeddings.position_ids": np.arange(90)[None]}
    built(tmp_path, config_of("roberta"), {**tensors_of("roberta"), **position_ids})


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("hf_model_name", "bert-base-uncased"),
        ("hf_pooler_type", "max_pooler"),
        ("hf_proj_type", "none"),
        ("hf_proj_type", None),  # but for an embedding as wide as the encoder
        ("some_future_flag", 1),
    ],
)
def test_flags_that_are_not_built_are_refused_by_name(flag: str, value: Any, tmp_path: Path) -> None:
    config = config_of("roberta")
    config["text_cfg"][flag] = value
    with pytest.raises(UnsupportedModel, match=flag):
        built(tmp_path, config, tensors_of("roberta"))


@pytest.mark.parametrize(
    ("model", "fact", "value"),
    [
        ("roberta", "hidden_act", "relu"),
        ("nllb", "activation_function", "gelu"),
        ("nllb", "model_type", "bert"),
        ("nllb", "pad_token_id", None),
    ],
)
def test_facts_of_an_encoder_that_are_not_built_are_refused_by_name(
    model: str, fact: str, value: str | None, tmp_path: Path
) -> None:
    """None leaves the fact out."""
    facts = json.loads((MODELS[model] / "encoder" / "config.json").read_text()) | {fact: value}
    (tmp_path / "config.json").write_text(json.dumps({key: facts[key] for key in facts if facts[key] is not None}))
    config = config_of(model)
    config["text_cfg"]["hf_model_name"] = str(tmp_path)
    with pytest.raises(UnsupportedModel, match=fact):
        built(tmp_path, config, tensors_of(model))
