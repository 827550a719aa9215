"""Which token counts, and that leaving out what comes after it changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.models.text_transformer import TextConfig, keys_that_count, pooled_positions

from ..support.model_folders import CONFIG, built

# Two ends of text in the first row, none in the second.
IDS = np.array([[5, 9, 2, 9, 2, 0], [7, 1, 1, 1, 0, 0]], np.int32)


@pytest.mark.parametrize(
    ("pool_type", "positions"), [("argmax", [1, 0]), ("eos", [2, 0]), ("first", [0, 0]), ("last", [5, 5])]
)
def test_pooled_positions(pool_type: str, positions: list[int]) -> None:
    assert pooled_positions(IDS, TextConfig(pool_type=pool_type, eos_id=2)).tolist() == positions


def test_only_causal_towers_trim() -> None:
    for pool_type, trims in (("argmax", True), ("eos", True), ("first", True), ("last", False)):
        assert TextConfig(pool_type=pool_type).trims is trims
        assert TextConfig(pool_type=pool_type, no_causal_mask=True).trims is False


def test_tokens_after_the_end_are_not_computed_and_not_missed(tmp_path: Path) -> None:
    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "no_causal_mask": False, "pool_type": "eos", "eos_id": 3}}
    towers = built(tmp_path, config)
    ids = np.random.RandomState(0).randint(4, 400, (3, towers.context_length)).astype(np.int32)
    ids[[0, 1, 2], [4, 9, 6]] = 3
    feeds = towers.text_feeds(ids)
    assert feeds["ids"].shape == (3, 12)  # one of the few sizes
    assert feeds["pooled_at"].tolist() == [4, 9, 6]

    engine = OpenVinoEngine(towers, "fp32")
    trimmed = engine.encode_texts(ids)
    whole = OpenVinoEngine(replace(towers, text_feeds=lambda ids, least=1: {**feeds, "ids": ids}), "fp32").encode_texts(
        ids
    )
    np.testing.assert_allclose(trimmed, whole, rtol=0, atol=1e-5)
    alone = np.concatenate([engine.encode_texts(row[None]) for row in ids])
    np.testing.assert_allclose(trimmed, alone, rtol=0, atol=1e-5)


def test_without_a_causal_mask_every_token_counts(tmp_path: Path) -> None:
    towers = built(tmp_path)
    ids = np.random.RandomState(0).randint(4, 400, (1, towers.context_length)).astype(np.int32)
    assert towers.text_feeds(ids)["ids"].shape == ids.shape
    engine = OpenVinoEngine(towers, "fp32")
    other = ids.copy()
    other[0, 0] = 3
    assert np.abs(engine.encode_texts(ids) - engine.encode_texts(other)).max() > 1e-3


def test_keys_that_count_for_a_class_token() -> None:
    """One place late, as CoCa was trained; what counts in no text of the batch is left out."""
    config = TextConfig(context_length=6, embed_cls=True)
    ids = np.array([[5, 0, 7, 0, 0, 0], [5, 9, 0, 0, 0, 0]], np.int32)
    feeds = keys_that_count(ids, config)
    assert feeds["ids"].tolist() == [[5, 0, 7, 0], [5, 9, 0, 0]]
    assert feeds["keys"].astype(int).tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]]
    full = np.array([[5, 9, 7, 7, 7, 7]], np.int32)
    assert keys_that_count(full, config)["keys"].all()
    assert keys_that_count(np.zeros((1, 6), np.int32), config)["ids"].shape == (1, 1)
