"""ViT-B-32 at its full size: 151 million random weights, from JPEG files and strings."""

from __future__ import annotations

import base64
from contextlib import closing
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from openclip_api import load
from tests.support.server_process import ServerProcess

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, photographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = open_clip.get_model_config("ViT-B-32")
    return save_random_model(tmp_path_factory.mktemp("ViT-B-32"), config)


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    reference = Reference(folder)
    assert sum(parameter.numel() for parameter in reference.model.parameters()) == 151_277_313
    assert next(reference.model.parameters()).dtype == torch.float32
    return reference.embed_images(photographs()), reference.embed_texts(BATCH_OF_TEXTS)


def test_vectors(folder: Path, expected: tuple[np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree("ViT-B-32 full size / image", ours.embed_images(photographs()), expected[0])
        agree("ViT-B-32 full size / text", ours.embed_texts(BATCH_OF_TEXTS), expected[1])


def test_vectors_over_http(folder: Path, expected: tuple[np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    """The whole way that a user goes: a server process, a JPEG as base64, a text."""
    images = [base64.b64encode(data).decode() for data in photographs()]
    with ServerProcess(MODEL_NAME=f"local-dir:{folder}", PRECISION=precision) as server:
        answer = server.http.post("/embeddings", json={"text": BATCH_OF_TEXTS, "image": images}).json()
        assert server.stop() == 0
    vectors = np.array(answer["embeddings"], np.float32)
    agree("ViT-B-32 over HTTP / text", vectors[: len(BATCH_OF_TEXTS)], expected[1])
    agree("ViT-B-32 over HTTP / image", vectors[len(BATCH_OF_TEXTS) :], expected[0])


def test_vectors_by_name_and_file(folder: Path, expected: tuple[np.ndarray, np.ndarray]) -> None:
    """The same weights as MODEL_NAME=ViT-B-32 with the path of a file."""
    path = str(folder / "open_clip_model.safetensors")
    with closing(load("ViT-B-32", path, precision="fp32", image_reading="open_clip")) as ours:
        np.testing.assert_allclose(ours.embed_images(photographs()), expected[0], atol=1e-4)
