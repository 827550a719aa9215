"""The convolutional towers: flags that are not built are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from openclip_api.errors import CorruptCheckpoint, UnsupportedModel
from openclip_api.models.convolutions import Kernel, identity

from ..support.model_folders import built, changed, tensors_of


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
def test_flags_that_are_not_built_are_refused_by_name(name: str, flag: str, value: Any) -> None:
    with pytest.raises(UnsupportedModel, match=flag):
        built(changed(f"vision_cfg.{flag}", value, name), tensors_of(name))


@pytest.mark.parametrize(
    ("name", "flag", "value"),
    [("modified_resnet", "patch_size", 16), ("convnext", "timm_drop", 0.5), ("convnext", "timm_pool", "avg")],
)
def test_flags_without_effect_are_accepted(name: str, flag: str, value: Any) -> None:
    built(changed(f"vision_cfg.{flag}", value, name), tensors_of(name))


def test_a_size_that_the_attention_pool_has_no_positions_for() -> None:
    with pytest.raises(CorruptCheckpoint, match="positional_embedding"):
        built(changed("vision_cfg.image_size", 96, "modified_resnet"), tensors_of("modified_resnet"))


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
