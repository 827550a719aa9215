"""The golden models of other architectures than the native ones: padding is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from openclip_api.checkpoints.config import PreprocessConfig, model_config
from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel
from openclip_api.models.build import build_towers

from ..golden import MODELS
from ..support.model_folders import WEIGHTS_FILE, built, changed, config_of, tensors_of

NAMES = ("coca", "nllb", "roberta")


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_left_out_and_not_missed(name: str) -> None:
    towers = built(config_of(name), tensors_of(name))
    padding = 0 if name == "coca" else 1
    ids = np.random.RandomState(0).randint(2, 400, (3, towers.text.context_length)).astype(np.int32)
    for row, end in zip(ids, (4, 11, 7), strict=True):
        row[end:] = padding
    assert towers.text.lengths is not None
    assert towers.text.lengths(ids).tolist() == ([6, 13, 9] if name == "coca" else [4, 11, 7])
    engine = OpenVinoEngine(towers, "fp32")
    together = engine.encode_texts(ids)
    np.testing.assert_allclose(together, np.concatenate([engine.encode_texts(row[None]) for row in ids]), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_what_writes_captions_is_no_part_of_the_towers() -> None:
    tensors = tensors_of("coca")
    assert any(key.startswith("text_decoder.") for key in tensors)
    built(config_of("coca"), {key: tensors[key] for key in tensors if not key.startswith("text_decoder.")})
    plain = {key: value for key, value in config_of("coca").items() if key != "multimodal_cfg"}
    with pytest.raises(CorruptCheckpoint, match="text_decoder"):
        built(plain, tensors)


def test_position_ids_of_older_transformers_are_known(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_FILE
    position_ids = {"text.transformer.embeddings.position_ids": np.arange(90)[None]}
    save_file({**tensors_of("roberta"), **position_ids}, path)
    config = model_config(config_of("roberta"))
    build_towers(config, PreprocessConfig(size=config.image_size), read_weights(path))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("hf_model_name", "distilbert-base-uncased"),
        ("hf_pooler_type", "max_pooler"),
        ("hf_proj_type", "none"),
        ("hf_proj_type", None),  # but for an embedding as wide as the encoder
        ("some_future_flag", 1),
    ],
)
def test_flags_that_are_not_built_are_refused_by_name(flag: str, value: Any) -> None:
    with pytest.raises(UnsupportedModel, match=flag):
        built(changed(f"text_cfg.{flag}", value, "roberta"), tensors_of("roberta"))


@pytest.mark.parametrize(
    ("model", "fact", "value"),
    [
        ("roberta", "hidden_act", "relu"),
        ("nllb", "activation_function", "gelu"),
        ("nllb", "model_type", "distilbert"),
        ("nllb", "pad_token_id", None),
    ],
)
def test_facts_of_an_encoder_that_are_not_built_are_refused_by_name(
    model: str, fact: str, value: str | None, tmp_path: Path
) -> None:
    """None leaves the fact out."""
    facts = json.loads((MODELS[model] / "encoder" / "config.json").read_text()) | {fact: value}
    (tmp_path / "config.json").write_text(json.dumps({key: facts[key] for key in facts if facts[key] is not None}))
    with pytest.raises(UnsupportedModel, match=fact):
        built(changed("text_cfg.hf_model_name", str(tmp_path), model), tensors_of(model))
