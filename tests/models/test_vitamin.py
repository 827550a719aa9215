"""ViTamin's golden model: what is refused. Its vectors: tests/test_golden.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

from ..support.model_folders import built, changed, tensors_of

TENSORS = tensors_of("vitamin")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("timm_model_name", "vitamin_small_240"), ("timm_pool", "map"), ("timm_proj", "none"), ("timm_proj", "")],
)
def test_what_is_not_built_is_refused_by_name(flag: str, value: Any) -> None:
    with pytest.raises(UnsupportedModel, match=rf"vision_cfg\.{flag} {value!r}"):
        built(changed(f"vision_cfg.{flag}", value, "vitamin"), TENSORS)


def test_another_size_s_weights_are_refused() -> None:
    with pytest.raises(CorruptCheckpoint, match=r"visual\.trunk\.patch_embed\.backbone\.stem\.conv1\.weight"):
        built(changed("vision_cfg.timm_model_name", "vitamin_base_224", "vitamin"), TENSORS)


def test_positions_are_resized_for_another_image_size() -> None:
    towers = built(changed("vision_cfg.image_size", 48, "vitamin"), TENSORS)

    assert list(towers.image.get_parameters()[0].get_partial_shape())[1:] == [48, 48, 3]


def test_tensors_are_half_precision() -> None:
    """So that the vectors' test also covers widening them in the graph."""
    assert {tensor.dtype for name, tensor in TENSORS.items() if name.startswith("visual.")} == {np.dtype(np.float16)}
