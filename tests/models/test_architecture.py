"""What the towers of open_clip's 196 pairs are: `openclip-api models` prints it, and it decides how JPEGs are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclip_api.checkpoints.config import model_config
from openclip_api.checkpoints.registry import all_pretrained
from openclip_api.errors import UnsupportedModel
from openclip_api.models.architecture import describe_towers, image_architecture, text_architecture

from ..golden import MODELS
from ..support.model_folders import changed, config_of

# "timm_vit + text_transformer" → "ViT-B-16-SigLIP:webli", ...
EXPECTED: dict[str, list[str]] = json.loads(Path(__file__).with_name("architectures.json").read_text())
CUTS_PATCHES = {
    "vision_transformer": True,
    "timm_vit": True,
    "eva": True,
    "vitamin": False,
    "convnext": False,
    "fastvit": False,
    "modified_resnet": False,
}


def test_each_pair_has_the_towers_that_it_always_had() -> None:
    """Other towers for a pair would be other pixels and another fingerprint."""
    found: dict[str, list[str]] = {}
    for pair in all_pretrained():
        found.setdefault(describe_towers(pair.config), []).append(f"{pair.name}:{pair.tag}")
        image = image_architecture(pair.config)
        assert image.cuts_patches is CUTS_PATCHES[image.name], pair.name
    assert {towers: sorted(pairs) for towers, pairs in found.items()} == EXPECTED
    assert sum(map(len, EXPECTED.values())) == 196


def test_the_golden_models_have_all_architectures() -> None:
    configs = [model_config(config_of(name)) for name in MODELS]
    assert {image_architecture(config).name for config in configs} == CUTS_PATCHES.keys()
    assert {text_architecture(config).name for config in configs} == {"text_transformer", "roberta", "m2m_100"}


@pytest.mark.parametrize("where", ["vision_cfg.timm_model_name", "text_cfg.hf_model_name"])
def test_towers_without_a_graph_are_refused_by_name(where: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"{where} 'resnet50'"):
        describe_towers(model_config(changed(where, "resnet50")))
