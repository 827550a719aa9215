"""Which token counts, and that leaving out what comes after it changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.models.packed_texts import filled
from openclip_api.models.text_transformer import TextConfig, pooled_positions

from ..support.model_folders import CONFIG, built, config_of, tensors_of

# Two ends of text in the first row, none in the second.
IDS = np.array([[5, 9, 2, 9, 2, 0], [7, 1, 1, 1, 0, 0]], np.int32)


@pytest.mark.parametrize(
    ("pool_type", "positions"), [("argmax", [1, 0]), ("eos", [2, 0]), ("first", [0, 0]), ("last", [5, 5])]
)
def test_pooled_positions(pool_type: str, positions: list[int]) -> None:
    assert pooled_positions(IDS, TextConfig(pool_type=pool_type, eos_id=2)).tolist() == positions


def test_only_causal_towers_are_packed() -> None:
    for pool_type, is_packed in (("argmax", True), ("eos", True), ("first", True), ("last", False)):
        assert TextConfig(pool_type=pool_type).is_packed is is_packed
        assert TextConfig(pool_type=pool_type, no_causal_mask=True).is_packed is False


def test_texts_lie_end_to_end() -> None:
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "no_causal_mask": False, "pool_type": "eos", "eos_id": 3}}
    tower = built(config).text
    ids = np.random.RandomState(0).randint(4, 400, (3, tower.context_length)).astype(np.int32)
    ids[[0, 1, 2], [4, 9, 6]] = 3
    assert tower.lengths is not None
    assert tower.lengths(ids).tolist() == [5, 10, 7]
    inputs = tower.model_inputs(ids)
    assert inputs["ids"].tolist() == [*ids[0, :5], *ids[1, :10], *ids[2, :7]]
    assert inputs["positions"].tolist() == [*range(5), *range(10), *range(7)]
    assert inputs["texts"].tolist() == [0] * 5 + [1] * 10 + [2] * 7
    assert inputs["pooled_at"].tolist() == [4, 14, 21]
    assert filled(inputs, 24)["texts"].tolist()[-3:] == [2, -1, -1]


def test_tokens_after_the_end_are_not_missed() -> None:
    """The same tower as one that computes all tokens of the context."""
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "no_causal_mask": False, "pool_type": "argmax"}}
    ids = np.random.RandomState(0).randint(4, 300, (3, built(config).text.context_length)).astype(np.int32)
    ids[:, -1] = ids.max() + 1
    whole = OpenVinoEngine(built(config), "fp32").encode_texts(ids)
    last = {**config, "text_cfg": {**config["text_cfg"], "pool_type": "last"}}
    np.testing.assert_allclose(OpenVinoEngine(built(last), "fp32").encode_texts(ids), whole, rtol=0, atol=1e-5)
    ids[:, 7] = 399
    cut = OpenVinoEngine(built(config), "fp32").encode_texts(ids)
    ids[:, 8:] = 5
    np.testing.assert_array_equal(OpenVinoEngine(built(config), "fp32").encode_texts(ids), cut)
    assert np.abs(cut - whole).max() > 1e-3


def test_without_a_causal_mask_every_token_counts() -> None:
    towers = built()
    assert towers.text.lengths is None
    ids = np.random.RandomState(0).randint(4, 400, (1, towers.text.context_length)).astype(np.int32)
    engine = OpenVinoEngine(towers, "fp32")
    other = ids.copy()
    other[0, 0] = 3
    assert np.abs(engine.encode_texts(ids) - engine.encode_texts(other)).max() > 1e-3


def test_the_padding_mask_of_a_class_token() -> None:
    """One token late, as CoCa was trained. What is padding is not computed; a class token that follows padding does not
    see itself."""
    tower = built(config_of("coca"), tensors_of("coca")).text
    end = tower.context_length
    ids = np.zeros((2, end), np.int32)
    ids[0, :3], ids[1, :2] = [5, 0, 7], [5, 9]
    inputs = tower.model_inputs(ids)
    assert inputs["ids"].tolist() == [5, 0, 0, 0, 5, 9, 0, 0]
    assert inputs["positions"].tolist() == [0, 1, 3, end, 0, 1, 2, end]
    assert inputs["keys"].astype(int).tolist() == [1, 1, 1, 0, 1, 1, 1, 0]
    assert inputs["pooled_at"].tolist() == [3, 7]
    assert tower.model_inputs(np.full_like(ids, 7))["keys"].all()
    assert tower.model_inputs(np.zeros_like(ids))["positions"].tolist() == [0, end] * 2
