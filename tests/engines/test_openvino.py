from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.weights import read_weights
from openclip_api.engines.openvino import OpenVinoEngine, check_precision, native_precision
from openclip_api.errors import InvalidSetting
from openclip_api.models.build import build_towers

from ..golden import MODELS, TEXTS, arrays


def engine(folder: Path, precision: str = "fp32") -> OpenVinoEngine:
    checkpoint = find(f"local-dir:{folder}")
    towers = build_towers(checkpoint.model_cfg, checkpoint.preprocess, read_weights(checkpoint.weights))
    return OpenVinoEngine(towers, precision)


@pytest.mark.parametrize("name", MODELS)
def test_weights_live_as_long_as_the_engine(name: str) -> None:
    """The graphs point into mapped memory: whoever made them may let go of it."""
    expected = arrays(MODELS[name] / "expected.npz")
    made = engine(MODELS[name])
    gc.collect()
    for _ in range(3):
        np.testing.assert_allclose(made.encode_texts(expected["ids"]), expected["text_vectors"], atol=1e-4)


def test_each_call_has_its_own_result() -> None:
    ids = arrays(MODELS["clipa"] / "expected.npz")["ids"]
    made = engine(MODELS["clipa"])
    first = made.encode_texts(ids[:2])
    kept = first.copy()
    made.encode_texts(ids[2:4])
    np.testing.assert_array_equal(first, kept)


def test_batches_of_any_size() -> None:
    expected = arrays(MODELS["openai"] / "expected.npz")
    made = engine(MODELS["openai"])
    for size in (1, 2, 7, len(TEXTS["models"])):
        vectors = made.encode_texts(expected["ids"][:size])
        np.testing.assert_allclose(vectors, expected["text_vectors"][:size], atol=1e-4)


def test_precision() -> None:
    made = engine(MODELS["clipa"], "auto")
    assert made.precision == native_precision(ov.Core())
    check_precision("auto")
    check_precision("fp32")


def test_bf16_is_refused_where_the_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(InvalidSetting, match="PRECISION=bf16"):
        check_precision("bf16")
