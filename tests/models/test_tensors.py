"""Every tensor of every golden model has its place in the towers: a new golden model is tested by being there."""

from __future__ import annotations

import re

import pytest

from openclip_api.checkpoints.weights import LOGITS
from openclip_api.errors import CorruptCheckpoint

from ..golden import MODELS
from ..support.model_folders import built, config_of, tensors_of


def tower_keys(name: str) -> list[str]:
    """Without what takes no part in a forward pass: the cosines' scale, and the half of CoCa that writes captions."""
    return [key for key in tensors_of(name) if key not in LOGITS and not key.startswith("text_decoder.")]


IN_QUICK = ("openai", "coca")  # the inner loop has no time for more
CASES = [
    pytest.param(name, key, marks=() if name in IN_QUICK else pytest.mark.slow)
    for name in MODELS
    for key in tower_keys(name)
]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_each_tensor_is_needed_whole(name: str, key: str) -> None:
    """Left out, of another shape, or there twice under two names."""
    config, tensors = config_of(name), tensors_of(name)
    without = {other: tensor for other, tensor in tensors.items() if other != key}
    # A tower that counts its blocks takes a block without its first tensor for no block at all.
    with pytest.raises(CorruptCheckpoint, match=r"the checkpoint has no |have no place in its config"):
        built(config, without)
    # timm's transformers read their width from this one: then it is the others that do not fit.
    misfit = ".*" if key == "visual.trunk.norm.weight" else re.escape(key)
    with pytest.raises(CorruptCheckpoint, match=f"tensor '{misfit}' has shape"):
        built(config, {**without, key: tensors[key][..., :-1].copy()})
    with pytest.raises(CorruptCheckpoint, match=f"{key}_copy"):
        built(config, {**tensors, f"{key}_copy": tensors[key]})


@pytest.mark.parametrize("name", MODELS)
def test_all_tensors_together_are_a_model(name: str) -> None:
    """Else the test above would prove nothing."""
    towers = built(config_of(name), tensors_of(name))
    width = str(config_of(name)["embed_dim"])
    assert str(towers.image.output(0).partial_shape) == f"[?,{width}]"
    assert str(towers.text.graph.output(0).partial_shape) == f"[?,{width}]"
