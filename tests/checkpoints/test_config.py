from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openclip_api.checkpoints.config import (
    PreprocessConfig,
    TokenizerConfig,
    model_config,
    preprocess_config,
    read_config,
    tokenizer_config,
)
from openclip_api.errors import CorruptCheckpoint, UnknownModel, UnsupportedModel

MODEL = {"embed_dim": 8, "vision_cfg": {"image_size": 32}, "text_cfg": {}}


def preprocess(image_size: Any = 32, **facts: Any) -> PreprocessConfig:
    config = model_config({**MODEL, "vision_cfg": {"image_size": image_size}})
    return preprocess_config(facts, config.image_size)


def test_defaults_are_open_clips():
    config = model_config({"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}})
    assert config.tokenizer == TokenizerConfig(77, None, clean="lower", strip_sep_token=False)
    assert preprocess_config({}, config.image_size) == PreprocessConfig(
        size=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        interpolation="bicubic",
        resize_mode="shortest",
        fill_color=0,
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"mean": [0, 0.5, 1], "std": [1, 2, 3]}, {"mean": (0, 0.5, 1), "std": (1, 2, 3)}),
        ({"mean": 0.5, "std": 0.25}, {"mean": (0.5,) * 3, "std": (0.25,) * 3}),
        (
            {"interpolation": "bilinear", "resize_mode": "squash"},
            {"interpolation": "bilinear", "resize_mode": "squash"},
        ),
        ({"interpolation": "random"}, {"interpolation": "bicubic"}),
        ({"resize_mode": "longest", "fill_color": 127}, {"resize_mode": "longest", "fill_color": 127}),
        ({"mean": None, "size": 999, "mode": "RGB", "unheard_of": 1}, {}),
    ],
)
def test_a_models_facts_replace_the_defaults(facts: dict[str, Any], expected: dict[str, Any]):
    assert preprocess(**facts) == PreprocessConfig(size=32, **expected)


def test_the_towers_image_size_counts():
    assert preprocess([48, 48], size=32).size == 48


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"image_size": [32, 48]}, "image_size [32, 48]"),
        ({"image_size": []}, "image_size []"),
        ({"image_size": "224"}, "image_size '224'"),
        ({"image_size": 0}, "image_size 0"),
        ({"image_size": [[32], [32]]}, "image_size [[32], [32]]"),
        ({"image_size": 1e308}, "image_size 1e+308"),
        ({"image_size": True}, "image_size True"),
        ({"image_size": 2049}, "image_size 2049"),
        ({"interpolation": "lanczos"}, "preprocess_cfg.interpolation 'lanczos': expected bicubic or bilinear"),
        ({"resize_mode": "stretch"}, "preprocess_cfg.resize_mode 'stretch'"),
        ({"fill_color": "white"}, "preprocess_cfg.fill_color 'white'"),
        ({"mean": [0.5, 0.5]}, "preprocess_cfg.mean [0.5, 0.5]"),
        ({"mean": "grey"}, "preprocess_cfg.mean 'grey'"),
        ({"std": [1, 0, 1]}, "preprocess_cfg.std [1, 0, 1]"),
        ({"std": -0.5}, "preprocess_cfg.std -0.5"),
        ({"mean": 10**400}, "preprocess_cfg.mean 1000"),
        ({"mean": [[0.5]] * 3}, "preprocess_cfg.mean [[0.5], [0.5], [0.5]]"),
        ({"fill_color": 256}, "preprocess_cfg.fill_color 256"),
        ({"fill_color": -1}, "preprocess_cfg.fill_color -1"),
        ({"interpolation": "x" * 10_000}, "preprocess_cfg.interpolation 'xxx"),
        ({"std": float("nan")}, "preprocess_cfg.std nan"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(facts: dict[str, Any], message: str):
    with pytest.raises(UnsupportedModel) as raised:
        preprocess(**facts)

    assert message in str(raised.value)


def test_reading_a_config(tmp_path: Path):
    path = tmp_path / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"mean": 0.5}}))
    assert read_config(path) == (model_config(MODEL), PreprocessConfig(size=32, mean=(0.5,) * 3))

    path.write_text(json.dumps({"model_cfg": MODEL}))
    assert read_config(path) == (model_config(MODEL), PreprocessConfig(size=32))


def test_what_a_model_s_config_says():
    written = {
        **MODEL,
        "quick_gelu": True,
        "multimodal_cfg": {"layers": 2},
        "custom_text": True,
        "some_future_flag": 1,
        "another_one": False,
        "vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_224"},
        "text_cfg": {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base", "context_length": 64.0},
    }
    config = model_config(written)
    assert (config.embed_dim, config.image_size) == (8, 224)
    assert (config.timm_model_name, config.hf_model_name) == ("vit_base_patch16_siglip_224", "roberta-base")
    assert (config.quick_gelu, config.has_text_decoder) == (True, True)
    assert config.unknown_flags == ("some_future_flag",)
    assert config.tokenizer == TokenizerConfig(64, "roberta-base", clean="whitespace", strip_sep_token=False)
    assert (config.vision, config.text) == (written["vision_cfg"], written["text_cfg"])
    assert config.as_written == written


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("context_length", None),
        ("context_length", "77"),
        ("context_length", 7.5),
        ("context_length", 0),
        ("context_length", -1),
        ("context_length", 10**9),
        ("hf_tokenizer_name", 7),
        ("tokenizer_kwargs", "clean"),
        ("tokenizer_mode", "clips"),
    ],
)
def test_what_makes_no_tokenizer_is_refused_by_name(flag: str, value: Any):
    with pytest.raises(UnsupportedModel, match=rf"text_cfg\.{flag} {value!r}"):
        tokenizer_config({flag: value})


@pytest.mark.parametrize("value", [None, "many", 7.5, float("nan"), [8]])
def test_an_embed_dim_that_is_no_number_is_refused(value: Any):
    with pytest.raises(UnsupportedModel, match=r"model_cfg\.embed_dim"):
        model_config({**MODEL, "embed_dim": value})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("<html>Log in</html>", "is not JSON"),
        ('{"model_cfg": {"embed', "is not JSON"),
        ("\xff\xfe", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "'model_cfg' is missing"),
        ('{"model_cfg": 1}', "'model_cfg' is missing or is not an object"),
        ('{"model_cfg": {"embed_dim": 8, "vision_cfg": {}}}', "'text_cfg' is missing"),
        ('{"model_cfg": {"embed_dim": 8, "vision_cfg": [], "text_cfg": {}}}', "'vision_cfg' is missing or is not"),
        ('{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}}', "has no 'embed_dim'"),
        (json.dumps({"model_cfg": MODEL, "preprocess_cfg": []}), "'preprocess_cfg' is missing or is not"),
    ],
)
def test_a_damaged_config_is_refused_with_its_path(tmp_path: Path, content: str, message: str):
    path = tmp_path / "open_clip_config.json"
    path.write_bytes(content.encode("latin-1"))

    with pytest.raises(CorruptCheckpoint) as raised:
        read_config(path)

    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_a_missing_config_is_refused_with_its_path(tmp_path: Path):
    with pytest.raises(UnknownModel, match=r"open_clip_config.json: no such file"):
        read_config(tmp_path / "open_clip_config.json")
