"""The built-in model finds what a person expects among the sample pictures; training/README.md has the full report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import openclip_api
from openclip_api.runtime.embedder import Embedder

from ..golden import GOLDEN
from ..support.repository import ROOT
from ..support.server_process import ServerProcess

SAMPLES = ROOT / "samples"
TRAINING = ROOT / "training"
FACTS = json.loads((SAMPLES / "samples.json").read_text())


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with closing(openclip_api.load("emoji", precision="fp32")) as embedder:
        yield embedder


@pytest.fixture(scope="module")
def samples(embedder: Embedder) -> np.ndarray:
    return embedder.embed_images([(SAMPLES / fact["file"]).read_bytes() for fact in FACTS], normalize=True)


class Unseen:
    """1,914 pictures of a vendor it was never trained on, as vectors, and the concept that each shows."""

    def __init__(self) -> None:
        with np.load(GOLDEN / "retrieval.npz") as file:
            self.names: list[str] = file["names"].tolist()
            self.images: np.ndarray = file["images"].astype(np.float32)
            # fifteen things in six colours each, what they are called here, and what asks for them
            self.painted: np.ndarray = file["painted"].astype(np.float32)
            self.painted_names: list[str] = file["painted_names"].tolist()
            self.painted_queries: list[str] = file["painted_queries"].tolist()

    def rows(self, names: list[str]) -> np.ndarray:
        return self.images[[self.names.index(name) for name in names]]


@pytest.fixture(scope="module")
def unseen() -> Unseen:
    return Unseen()


def ranks(cosines: np.ndarray) -> np.ndarray:
    """[queries, gallery], query i belonging to item i → how many items fit each query better than its own."""
    return (cosines > cosines.diagonal()[:, None]).sum(axis=1)


def test_there_are_samples_of_a_vendor_it_never_saw():
    assert len(FACTS) >= 24
    assert sum(fact["file"].startswith("unseen/") for fact in FACTS) >= 8


def test_a_text_finds_its_sample(embedder: Embedder, samples: np.ndarray):
    rank = ranks(embedder.embed_texts([fact["text"] for fact in FACTS], normalize=True) @ samples.T)
    assert (rank < 1).mean() >= 0.95
    assert (rank < 10).mean() >= 0.95


def test_the_unseen_vectors_are_this_models(samples: np.ndarray, unseen: Unseen):
    drawn = [i for i, fact in enumerate(FACTS) if fact["file"].startswith("unseen/")]
    names = [Path(FACTS[i]["file"]).stem.replace("-", " ") for i in drawn]
    assert np.einsum("ne,ne->n", samples[drawn], unseen.rows(names)).min() > 0.6  # other sizes and backgrounds


@pytest.mark.slow
def test_recall_on_the_unseen_vendor(embedder: Embedder, unseen: Unseen):
    texts = embedder.embed_texts(unseen.names, normalize=True)
    assert len(texts) >= 1000
    for cosines, first, ten in ((texts @ unseen.images.T, 0.72, 0.91), (unseen.images @ texts.T, 0.68, 0.89)):
        rank = ranks(cosines)
        assert (rank < 1).mean() >= first
        assert (rank < 10).mean() >= ten


def test_everyday_classes_of_the_unseen_vendor(embedder: Embedder, unseen: Unseen):
    classes = json.loads((TRAINING / "everyday.json").read_text())
    assert len(classes) == 20
    labels = embedder.embed_texts([f"a photo of a {name}" for name in classes], normalize=True)
    right = [(unseen.rows(names) @ labels.T).argmax(axis=1) == label for label, names in enumerate(classes.values())]
    assert np.concatenate(right).mean() >= 0.77


def test_the_commonest_nouns_find_the_unseen_vendors_pictures(embedder: Embedder, unseen: Unseen):
    lines = [line for line in (TRAINING / "common_nouns.txt").read_text().splitlines() if not line.startswith("#")]
    right = {noun: names.split(", ") for noun, names in (line.split(": ") for line in lines)}
    assert len(right) == 100
    cosines = embedder.embed_texts(list(right), normalize=True) @ unseen.images.T
    three = np.array(unseen.names)[np.argsort(-cosines, axis=1)[:, :3]]
    found = [bool(set(names) & set(shown)) for names, shown in zip(right.values(), three, strict=True)]
    assert np.mean(found) >= 0.89


def test_a_colour_and_a_thing_find_the_thing_in_that_colour(embedder: Embedder, unseen: Unseen):
    others = [name not in unseen.painted_names for name in unseen.names]
    gallery = np.concatenate([unseen.painted, unseen.images[others]])
    best = (embedder.embed_texts(unseen.painted_queries, normalize=True) @ gallery.T).argmax(axis=1)
    assert len(best) == 90
    assert (best == np.arange(90)).mean() >= 0.82
    assert best[unseen.painted_queries.index("red sofa")] == unseen.painted_queries.index("red sofa")


def test_red_sofa_finds_the_sofa_among_the_samples(embedder: Embedder, samples: np.ndarray):
    best = int((embedder.embed_texts(["red sofa"], normalize=True) @ samples.T).argmax())
    assert FACTS[best]["text"] == "a sofa"


def test_the_file_is_small_and_half_precision():
    weights = Path(openclip_api.__file__).parent / "checkpoints" / "builtin" / "emoji" / "open_clip_model.safetensors"
    assert weights.stat().st_size < 25e6


@pytest.mark.process
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
