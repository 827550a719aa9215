"""The golden models with a timm tower: what each needs, and what is refused. Their vectors: tests/test_golden.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from openclip_api.checkpoints.weights import as_float32, read_weights
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

from ..golden import MODELS
from ..support.model_folders import built

NAMES = ("siglip", "mobileclip_b", "eva02", "eva02_post_norm", "pe_core")
Tensors = dict[str, np.ndarray]


def config(name: str, **vision: Any) -> dict[str, Any]:
    model_cfg = copy.deepcopy(json.loads((MODELS[name] / "open_clip_config.json").read_text())["model_cfg"])
    model_cfg["vision_cfg"] |= vision
    return model_cfg


def tensors(name: str) -> Tensors:
    path = MODELS[name] / "open_clip_model.safetensors"
    with safe_open(path, framework="numpy") as file:
        keys = [key for key in file.keys() if not key.endswith("num_batches_tracked")]  # noqa: SIM118
    weights = read_weights(path)
    return {key: np.asarray(as_float32(weights[key])) for key in keys}


def first_of_each(keys: list[str]) -> list[str]:
    """Block 0 stands for all blocks."""
    return [key for key in keys if key.startswith("visual.") and ".blocks.1." not in key]


CASES = [(name, key) for name in NAMES for key in first_of_each(sorted(tensors(name)))]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_each_tensor_is_needed_whole(name: str, key: str, tmp_path: Path) -> None:
    """Left out, of another shape, or there twice under two names."""
    model_cfg, whole = config(name), tensors(name)
    with pytest.raises(CorruptCheckpoint):
        built(tmp_path, model_cfg, {other: whole[other] for other in whole if other != key})
    with pytest.raises((CorruptCheckpoint, UnsupportedModel)):
        built(tmp_path, model_cfg, {**whole, key: np.concatenate([whole[key], whole[key]])})
    with pytest.raises(CorruptCheckpoint, match=f"{key}_copy"):
        built(tmp_path, model_cfg, {**whole, f"{key}_copy": whole[key]})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("flag", "value"), [("timm_model_name", "vit_base_patch16_224"), ("timm_pool", "avg"), ("timm_proj", "linear")]
)
def test_what_is_not_built_is_refused_by_name(name: str, flag: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=rf"vision_cfg\.{flag} '{value}'"):
        built(tmp_path, config(name, **{flag: value}), tensors(name))


@pytest.mark.parametrize("name", NAMES)
def test_positions_are_of_the_image_s_own_size(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"pos_embed' has shape"):
        built(tmp_path, config(name, image_size=80), tensors(name))


def test_a_width_that_the_heads_do_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="no multiple of its 16 heads"):
        built(tmp_path, config("siglip", timm_model_name="vit_so400m_patch14_siglip_224"), tensors("siglip"))


def test_an_embed_dim_that_the_trunk_does_not_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"embed_dim 20: .* gives 24"):
        built(tmp_path, config("siglip") | {"embed_dim": 20}, tensors("siglip"))
