"""The convolutional towers: their tensors fit exactly or are refused by name, and so are flags that are not built."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from openclip_api.errors import CorruptCheckpoint, UnsupportedModel
from openclip_api.models.convolutions import Kernel, identity

from ..golden import MODELS
from ..support.model_folders import built

CONVNETS = ("modified_resnet", "convnext", "fastvit")
CONFIGS = {name: json.loads((MODELS[name] / "open_clip_config.json").read_text())["model_cfg"] for name in CONVNETS}
TENSORS = {name: load_file(MODELS[name] / "open_clip_model.safetensors") for name in CONVNETS}


def one_of_a_kind(name: str) -> dict[str, str]:
    """The image tower's keys, one for each that differs in more than its numbers."""
    keys = [key for key in TENSORS[name] if key.startswith("visual.") and not key.endswith("num_batches_tracked")]
    return {re.sub(r"\d+", "#", key): key for key in keys}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in CONVNETS for key in one_of_a_kind(name).values()])
def test_each_tensor_is_needed_whole(name: str, key: str, tmp_path: Path) -> None:
    config, tensors = CONFIGS[name], TENSORS[name]
    without = {other: tensor for other, tensor in tensors.items() if other != key}
    with pytest.raises(CorruptCheckpoint, match="tensor"):  # the last block without it may look like no block
        built(tmp_path, config, without)
    with pytest.raises(CorruptCheckpoint, match=r"tensor 'visual\..*has shape"):
        built(tmp_path, config, {**without, key: np.append(tensors[key], tensors[key][-1:], axis=0)})
    with pytest.raises(CorruptCheckpoint, match=f"{key}_copy"):
        built(tmp_path, config, {**tensors, f"{key}_copy": tensors[key]})


@pytest.mark.parametrize(
    ("name", "flag", "value"),
    [
        ("modified_resnet", "layers", [1, 2, 1]),
        ("modified_resnet", "mlp_ratio", 2.0),
        ("modified_resnet", "pool_type", "avg"),
        ("convnext", "timm_model_name", "convnext_large_mlp"),
        ("convnext", "timm_model_name", "convnext_nano"),
        ("convnext", "timm_pool", "max"),
        ("convnext", "timm_pool", "rot_attn"),
        ("convnext", "timm_proj", None),
        ("convnext", "timm_proj", "conv"),
        ("convnext", "width", 64),
        ("fastvit", "timm_model_name", "fastvit_t8"),
        ("fastvit", "timm_pool", ""),
        ("fastvit", "timm_pool", "abs_attn"),
    ],
)
def test_flags_that_are_not_built_are_refused_by_name(name: str, flag: str, value: Any, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIGS[name])
    config["vision_cfg"][flag] = value
    with pytest.raises(UnsupportedModel, match=flag):
        built(tmp_path, config, TENSORS[name])


@pytest.mark.parametrize(
    ("name", "flag", "value"),
    [("modified_resnet", "patch_size", 16), ("convnext", "timm_drop", 0.5), ("convnext", "timm_pool", "avg")],
)
def test_flags_without_effect_are_accepted(name: str, flag: str, value: Any, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIGS[name])
    config["vision_cfg"][flag] = value
    assert built(tmp_path, config, TENSORS[name]).embed_dim == 20


def test_a_size_that_the_attention_pool_has_no_positions_for(tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIGS["modified_resnet"])
    config["vision_cfg"]["image_size"] = 96
    with pytest.raises(CorruptCheckpoint, match="positional_embedding"):
        built(tmp_path, config, TENSORS["modified_resnet"])


def test_kernels_add_up() -> None:
    """A 3x3 kernel in a 7x7 one, plus nothing changed, minus itself."""
    random = np.random.RandomState(0)
    small = Kernel(random.randn(4, 2, 3, 3), random.randn(4))
    wide = small.padded(7)
    assert wide.weight.shape == (4, 2, 7, 7)
    np.testing.assert_array_equal(wide.weight[:, :, 2:5, 2:5], small.weight)
    assert np.count_nonzero(wide.weight) == small.weight.size
    alone = wide + identity(4, 2, 7) - wide
    np.testing.assert_allclose(alone.weight, identity(4, 2, 7).weight, atol=1e-15)
    assert [int(alone.weight[i, i % 2, 3, 3]) for i in range(4)] == [1, 1, 1, 1]
