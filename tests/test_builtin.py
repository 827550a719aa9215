"""The built-in model finds what a person expects among the sample pictures; training/README.md has the full report."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import openclip_api

from .process import ServerProcess

SAMPLES = Path(__file__).parents[1] / "samples"
FACTS = json.loads((SAMPLES / "samples.json").read_text())


@pytest.fixture(scope="module")
def ranks() -> np.ndarray:
    """For each sample, how many of the other pictures fit its text better."""
    with closing(openclip_api.load("emoji", precision="fp32")) as embedder:
        texts = embedder.embed_texts([fact["text"] for fact in FACTS], normalize=True)
        images = embedder.embed_images([(SAMPLES / fact["file"]).read_bytes() for fact in FACTS], normalize=True)
    cosines = texts @ images.T
    return (cosines > cosines.diagonal()[:, None]).sum(axis=1)


def test_there_are_samples_of_a_vendor_it_never_saw():
    assert len(FACTS) >= 24
    assert sum(fact["file"].startswith("unseen/") for fact in FACTS) >= 8


def test_a_text_finds_its_picture(ranks: np.ndarray):
    assert (ranks < 1).mean() >= 0.85
    assert (ranks < 10).mean() >= 0.95


def test_the_file_is_small_and_half_precision():
    weights = Path(openclip_api.__file__).parent / "checkpoints" / "builtin" / "emoji" / "open_clip_model.safetensors"
    assert weights.stat().st_size < 25e6


def test_what_make_demo_prints_works():
    """`python samples/rank.py TEXT | curl …/rank -d @-` against `MODEL_NAME=emoji openclip-api serve`."""
    request = subprocess.run(
        [sys.executable, SAMPLES / "rank.py", "a red car"], check=True, capture_output=True, timeout=30
    ).stdout
    with ServerProcess(MODEL_NAME="emoji") as server:
        info = server.http.get("/info").json()
        ranking = server.http.post("/rank", content=request).json()["ranking"][0]
        assert server.stop() == 0
    assert (info["model_id"], info["tag"]) == ("OpenCLIP-emoji", None)
    assert "automobile" in ranking[:3]
