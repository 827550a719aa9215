from __future__ import annotations

import numpy as np
import pytest
from chromadb.utils.embedding_functions import RoboflowEmbeddingFunction
from inference_sdk import InferenceHTTPClient
from inference_sdk.http.errors import HTTPCallErrorError
from PIL import Image

from .conftest import ROOT, Reference, texts

CAT = ROOT / "samples" / "cat.png"


@pytest.fixture
def client(url: str) -> InferenceHTTPClient:
    return InferenceHTTPClient(api_url=url, api_key="none")


def unit_length(rows: list) -> np.ndarray:
    return np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def test_texts(client: InferenceHTTPClient, unit: Reference):
    many = texts(2048)
    answer = client.get_clip_text_embeddings(many)
    np.testing.assert_allclose(unit_length(answer["embeddings"]), unit(text=many), atol=1e-5)
    assert answer["time"] > 0


def test_images(client: InferenceHTTPClient, unit: Reference):
    """The client makes a JPEG of each image."""
    answers = client.get_clip_image_embeddings([str(CAT), str(ROOT / "samples" / "pizza.png")])
    rows = unit_length([answer["embeddings"][0] for answer in answers])
    assert rows.shape == (2, 256)
    assert rows[0] @ unit(text="a cat")[0] > rows[1] @ unit(text="a cat")[0]


def test_compare(client: InferenceHTTPClient):
    similarity = client.clip_compare(subject=str(CAT), prompt=["a cat", "a red car"])["similarity"]
    assert similarity[0] > similarity[1]
    named = client.clip_compare(subject="a cat", subject_type="text", prompt=str(CAT), prompt_type="image")
    np.testing.assert_allclose(named["similarity"], similarity[:1], atol=1e-4)


def test_errors(client: InferenceHTTPClient):
    with pytest.raises(HTTPCallErrorError, match=r"text\[1\]"):
        client.get_clip_text_embeddings(["a", 1])  # type: ignore[list-item]
    with pytest.raises(HTTPCallErrorError, match="MAX_TEXTS"):
        client.get_clip_text_embeddings(texts(2049))
    with pytest.raises(HTTPCallErrorError, match="not served here"):
        client.get_clip_text_embeddings("a", clip_version="ViT-B-16")


def test_a_key(closed: str):
    assert InferenceHTTPClient(api_url=closed, api_key="right").get_clip_text_embeddings("a")
    with pytest.raises(HTTPCallErrorError) as caught:
        InferenceHTTPClient(api_url=closed, api_key="wrong").get_clip_text_embeddings("a")
    assert caught.value.status_code == 401


def test_chroma(closed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHROMA_ROBOFLOW_API_KEY", "right")
    function = RoboflowEmbeddingFunction(api_url=closed)
    rows = function([*texts(3), np.array(Image.open(CAT).convert("RGB"))])
    assert np.array(rows).shape == (4, 256)
