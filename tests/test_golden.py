"""Tiny models: open_clip's and transformers' ids and vectors, without either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from openclip_api import Embedder, load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.inputs.tokenizer import build_tokenizer

from .golden import FOLDERS, IMAGES, TEXTS, arrays

# Pillow's advice to whoever drops an alpha channel, which the reference does
pytestmark = pytest.mark.filterwarnings("ignore:Palette images with Transparency")

HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
BF16 = pytest.param("bf16", marks=[pytest.mark.slow, pytest.mark.skipif(not HAS_BF16, reason="no bf16")])
LEAST_COSINE = {"fp32": 0.99999, "bf16": 0.999}
MOST_DISTANCE = {"fp32": 1e-5, "bf16": 0.05}  # of the vector's length: a cosine is blind to scale


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return FOLDERS[request.param]


@pytest.fixture(scope="module", params=["fp32", BF16])
def embedder(folder: Path, request: pytest.FixtureRequest) -> Iterator[Embedder]:
    with closing(load(f"local-dir:{folder}", precision=request.param, image_reading="open_clip")) as embedder:
        yield embedder


def assert_close(ours: np.ndarray, expected: np.ndarray, precision: str) -> None:
    assert ours.dtype == np.float32
    assert ours.shape == expected.shape
    lengths = np.linalg.norm(expected, axis=1)
    cosines = (ours * expected).sum(axis=1) / lengths / np.linalg.norm(ours, axis=1)
    assert cosines.min() > LEAST_COSINE[precision]
    assert (np.linalg.norm(ours - expected, axis=1) / lengths).max() < MOST_DISTANCE[precision]


def test_ids(folder: Path) -> None:
    checkpoint = find(f"local-dir:{folder}")
    tokenizer = build_tokenizer(checkpoint.config.tokenizer, checkpoint.tokenizer)
    ids = np.stack([tokenizer(text).ids for text in TEXTS["models"]])
    np.testing.assert_array_equal(ids, arrays(folder / "expected.npz")["ids"])


def test_image_vectors(folder: Path, embedder: Embedder) -> None:
    expected = arrays(folder / "expected.npz")["image_vectors"]
    images = list(IMAGES.values())
    assert_close(embedder.embed_images(images), expected, embedder.info.precision)
    assert_close(embedder.embed_images(images[:1]), expected[:1], embedder.info.precision)


def test_text_vectors(folder: Path, embedder: Embedder) -> None:
    expected = arrays(folder / "expected.npz")["text_vectors"]
    texts = TEXTS["models"]
    assert_close(embedder.embed_texts(texts), expected, embedder.info.precision)
    for text, vector in zip(texts, expected, strict=True):
        assert_close(embedder.embed_texts([text]), vector[None], embedder.info.precision)


def test_the_vectors_tell_the_inputs_apart(folder: Path) -> None:
    """Else the tests above would prove little."""
    expected = arrays(folder / "expected.npz")
    for kind in ("image_vectors", "text_vectors"):
        unit = expected[kind] / np.linalg.norm(expected[kind], axis=1, keepdims=True)
        assert (unit @ unit.T).min() < 0.99
