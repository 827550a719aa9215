"""The golden models with a timm tower: what is refused. Their vectors: tests/test_golden.py."""

from __future__ import annotations

import pytest

from openclip_api.errors import UnsupportedModel

from ..support.model_folders import built, changed, tensors_of

NAMES = ("siglip", "mobileclip_b", "eva02", "eva02_post_norm", "pe_core")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("flag", "value"), [("timm_model_name", "vit_base_patch8_224"), ("timm_pool", "avg"), ("timm_proj", "linear")]
)
def test_what_is_not_built_is_refused_by_name(name: str, flag: str, value: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"vision_cfg\.{flag} '{value}'"):
        built(changed(f"vision_cfg.{flag}", value, name), tensors_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_positions_are_resized_for_another_image_size(name: str) -> None:
    """parity/test_positions.py compares the vectors with open_clip's."""
    towers = built(changed("vision_cfg.image_size", 80, name), tensors_of(name))

    assert list(towers.image.get_parameters()[0].get_partial_shape())[1:] == [80, 80, 3]


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    config = changed("vision_cfg.timm_model_name", "vit_so400m_patch14_siglip_224", "siglip")
    with pytest.raises(UnsupportedModel, match="no multiple of its 16 heads"):
        built(config, tensors_of("siglip"))


def test_an_embed_dim_that_the_trunk_does_not_give_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"embed_dim 20: .* gives 24"):
        built(changed("embed_dim", 20, "siglip"), tensors_of("siglip"))
