"""Half a model, or one that does not fit its config: which tensors, how many of them, and what would work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from openclip_api.errors import CorruptCheckpoint

from ..golden import MODELS
from ..support.model_folders import CONFIG, TENSORS, built, config_of, tensors_of

KEYS = [key for key in TENSORS if key.startswith("visual.")]
ONE = np.ones(1, np.float32)
WHOLE = "give the whole model with the config that it was trained with"


def refused(tensors: Mapping[str, np.ndarray], name: str | None = None) -> str:
    with pytest.raises(CorruptCheckpoint) as raised:
        built(config_of(name) if name else CONFIG, tensors)
    message = str(raised.value)
    assert message.endswith(WHOLE)
    assert "\n" not in message
    return message


def without(*gone: str) -> dict[str, np.ndarray]:
    return {key: tensor for key, tensor in TENSORS.items() if key not in gone}


@pytest.mark.parametrize("name", MODELS)
def test_one_tower_alone(name: str) -> None:
    tensors = tensors_of(name)
    image = {key: tensor for key, tensor in tensors.items() if key.startswith("visual.") or key == "logit_scale"}
    text = {key: tensor for key, tensor in tensors.items() if not key.startswith(("visual.", "text_decoder."))}
    assert f"has no text tower, only {len(image)} other tensors" in refused(image, name)
    assert f"has no image tower (visual.*), only {len(text)} other tensors" in refused(text, name)


def test_a_few_missing() -> None:
    gone = [KEYS[1], KEYS[5], KEYS[-1], "token_embedding.weight", "ln_final.bias"]
    first = "has no tensor 'visual."
    for count, end in (
        (1, "', which its config asks for: "),
        (3, "', which its"),
        (5, "' and 2 more, which its config"),
    ):
        message = refused(without(*gone[:count]))
        assert first in message
        assert end in message
        assert message.count("'") == 2 * min(count, 3)


def test_a_few_left_over() -> None:
    more = {f"visual.head.{name}": ONE for name in "abcde"}
    message = refused({**TENSORS, **more})
    assert (
        "5 tensors have no place in its config, 'visual.head.a', 'visual.head.b', 'visual.head.c' and 2 more" in message
    )


def test_other_names_for_some() -> None:
    message = refused({**without(KEYS[5], KEYS[6]), "visual.x": ONE, "visual.y": ONE})
    assert "has no tensor" in message
    assert "which its config asks for, and 2 that have no place in it: 'visual.x', 'visual.y'" in message


def test_a_config_that_asks_for_more_than_any_model_has() -> None:
    """It ends soon, and with little memory."""
    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "layers": 60_000}}
    with pytest.raises(CorruptCheckpoint, match=r"has no tensor 'visual.* and 99[0-9] more, which its config asks for"):
        built(config, TENSORS)
