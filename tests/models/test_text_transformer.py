"""Which token counts, and that leaving out what comes after it changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from openclip_api.engines.calibration import text_inputs
from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.models.text_transformer import TextConfig, pooled_positions

from ..support.model_folders import CONFIG, built, config_of, tensors_of

# Two ends of text in the first row, none in the second.
IDS = np.array([[5, 9, 2, 9, 2, 0], [7, 1, 1, 1, 0, 0]], np.int32)


@pytest.mark.parametrize(
    ("pool_type", "positions"), [("argmax", [1, 0]), ("eos", [2, 0]), ("first", [0, 0]), ("last", [5, 5])]
)
def test_pooled_positions(pool_type: str, positions: list[int]) -> None:
    assert pooled_positions(IDS, TextConfig(pool_type=pool_type, eos_id=2)).tolist() == positions


def test_only_causal_towers_trim() -> None:
    for pool_type, trims in (("argmax", True), ("eos", True), ("first", True), ("last", False)):
        assert TextConfig(pool_type=pool_type).trims_texts is trims
        assert TextConfig(pool_type=pool_type, no_causal_mask=True).trims_texts is False


def test_tokens_after_the_end_are_not_computed_and_not_missed() -> None:
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "no_causal_mask": False, "pool_type": "eos", "eos_id": 3}}
    towers = built(config)
    ids = np.random.RandomState(0).randint(4, 400, (3, towers.text.context_length)).astype(np.int32)
    ids[[0, 1, 2], [4, 9, 6]] = 3
    inputs = text_inputs(towers.text, ids)
    assert inputs["ids"].shape == (3, 12)  # one of the few sizes
    assert inputs["pooled_at"].tolist() == [4, 9, 6]

    engine = OpenVinoEngine(towers, "fp32")
    trimmed = engine.encode_texts(ids)
    all_tokens = replace(towers.text, needed_length=lambda ids: towers.text.context_length)
    whole = OpenVinoEngine(replace(towers, text=all_tokens), "fp32").encode_texts(ids)
    np.testing.assert_allclose(trimmed, whole, rtol=0, atol=1e-5)
    alone = np.concatenate([engine.encode_texts(row[None]) for row in ids])
    np.testing.assert_allclose(trimmed, alone, rtol=0, atol=1e-5)


def test_without_a_causal_mask_every_token_counts() -> None:
    towers = built()
    ids = np.random.RandomState(0).randint(4, 400, (1, towers.text.context_length)).astype(np.int32)
    assert text_inputs(towers.text, ids)["ids"].shape == ids.shape
    engine = OpenVinoEngine(towers, "fp32")
    other = ids.copy()
    other[0, 0] = 3
    assert np.abs(engine.encode_texts(ids) - engine.encode_texts(other)).max() > 1e-3


def test_the_padding_mask_of_a_class_token() -> None:
    """One token late, as CoCa was trained; what is padding in all texts of the batch is left out."""
    tower = built(config_of("coca"), tensors_of("coca")).text
    ids = np.zeros((2, tower.context_length), np.int32)
    ids[0, :3], ids[1, :2] = [5, 0, 7], [5, 9]
    inputs = text_inputs(tower, ids)
    assert inputs["ids"].tolist() == [[5, 0, 7, 0], [5, 9, 0, 0]]
    assert inputs["keys"].astype(int).tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]]
    assert text_inputs(tower, np.full_like(ids, 7))["keys"].all()
    assert text_inputs(tower, np.zeros_like(ids))["ids"].shape == (2, 1)
