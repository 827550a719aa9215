"""ViTamin's golden model: what it needs, and what is refused. Its vectors: tests/test_golden.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

from ..golden import MODELS
from ..support.model_folders import built

FOLDER = MODELS["vitamin"]
CONFIG: dict[str, Any] = json.loads((FOLDER / "open_clip_config.json").read_text())["model_cfg"]
TENSORS = load_file(FOLDER / "open_clip_model.safetensors")


def changed(**vision: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    config["vision_cfg"] |= vision
    return config


@pytest.mark.parametrize("key", sorted(key for key in TENSORS if key.startswith("visual.")))
def test_each_tensor_is_needed_whole(key: str, tmp_path: Path) -> None:
    """Left out, of another shape, or there twice under two names."""
    without = {name: tensor for name, tensor in TENSORS.items() if name != key}
    with pytest.raises(CorruptCheckpoint, match="the checkpoint has no tensor"):
        built(tmp_path, CONFIG, without)
    with pytest.raises(CorruptCheckpoint, match=key):
        built(tmp_path, CONFIG, {**without, key: TENSORS[key][:-1].copy()})
    with pytest.raises(CorruptCheckpoint, match=f"{key}_copy"):
        built(tmp_path, CONFIG, {**TENSORS, f"{key}_copy": TENSORS[key]})


@pytest.mark.parametrize(
    ("flag", "value"),
    [("timm_model_name", "vitamin_small_240"), ("timm_pool", "map"), ("timm_proj", "none"), ("timm_proj", "")],
)
def test_what_is_not_built_is_refused_by_name(flag: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=rf"vision_cfg\.{flag} {value!r}"):
        built(tmp_path, changed(**{flag: value}), TENSORS)


def test_another_size_s_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"visual\.trunk\.patch_embed\.backbone\.stem\.conv1\.weight"):
        built(tmp_path, changed(timm_model_name="vitamin_base_224"), TENSORS)


def test_positions_are_of_the_image_s_own_size(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"pos_embed' has shape \[1, 4, 24\], its config asks for \[1, 9, 24\]"):
        built(tmp_path, changed(image_size=48), TENSORS)


def test_tensors_are_half_precision() -> None:
    """So that the vectors' test also covers widening them in the graph."""
    assert {tensor.dtype for name, tensor in TENSORS.items() if name.startswith("visual.")} == {np.dtype(np.float16)}
