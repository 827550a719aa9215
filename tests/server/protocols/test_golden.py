"""The real process on the golden models: open_clip's and transformers' vectors, over HTTP."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from ...golden import FOLDERS, IMAGES, TEXTS, arrays
from ...golden.shrunk import SHRUNK
from ...support.server_process import ServerProcess

pytestmark = pytest.mark.process


@pytest.mark.parametrize("name", sorted(FOLDERS.keys() - SHRUNK.keys()))  # a process knows only timm's own sizes
def test_a_server_gives_the_golden_vectors(name: str):
    images = [base64.b64encode(data).decode() for data in IMAGES.values()]
    with ServerProcess(MODEL_NAME=f"local-dir:{FOLDERS[name]}", PRECISION="fp32", IMAGE_READING="open_clip") as server:
        answer = server.http.post("/embeddings", json={"text": TEXTS["models"], "image": images})
        vectors = np.array(answer.json()["embeddings"], np.float32)
        assert server.stop() == 0
    expected = arrays(FOLDERS[name] / "expected.npz")
    expected = np.concatenate([expected["text_vectors"], expected["image_vectors"]])
    cosines = (vectors * expected).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.99999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-4)
