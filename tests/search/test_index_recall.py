"""Recall@10 of the IVF-PQ index against exact search, in the smallest store that gets one. `make recall`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import unit_length
from openclip_api.search.options import EXACT_BELOW
from openclip_api.search.store import Store

from .conftest import SAMPLES

pytestmark = pytest.mark.recall

PICTURES, QUERIES = 1080, 100
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "pink", "purple", "orange"]
THINGS = "car|cat|dog|pizza|bicycle|mushroom|bus|house|tree|flower|star|heart|fish|bird|clock|hat|shoe|apple|book|face"


def pictures(count: int, seed: int) -> list[bytes]:
    """So many different images: parts of the sample pictures, turned and tinted."""
    draw = np.random.default_rng(seed)
    whole = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.rglob("*.png"))]
    made = []
    for number in range(count):
        picture = whole[number % len(whole)].rotate(draw.uniform(-25, 25), fillcolor="white")
        size, at = draw.uniform(0.45, 1), draw.uniform(size=2)
        left, top = at * (1 - size) * picture.size
        part = picture.resize((96, 96), box=(left, top, left + size * picture.width, top + size * picture.height))
        tinted = Image.blend(part, Image.new("RGB", part.size, tuple(draw.integers(256, size=3))), draw.uniform(0, 0.3))
        file = io.BytesIO()
        tinted.save(file, "BMP")
        made.append(file.getvalue())
    return made


def many(vectors: np.ndarray, count: int) -> np.ndarray:
    """[N, E] → [count, E]: vectors, each moved by a part of the difference of two others, plus a little noise.

    A model's vectors vary in far fewer directions than E. Noise alone would vary in all of them.
    """
    draw = np.random.default_rng(1)
    rows = []
    for _ in range(0, count, 10_000):
        one, other, third = draw.integers(len(vectors), size=(3, 10_000))
        step = draw.normal(0, 0.25, size=(10_000, 1)) * (vectors[other] - vectors[third])
        noise = draw.normal(0, 0.01, size=(10_000, vectors.shape[1]))
        rows.append(unit_length((vectors[one] + step + noise).astype(np.float32)))
    return np.concatenate(rows)[:count]


@pytest.fixture(scope="module")
def rows(embedder: Embedder) -> np.ndarray:
    return many(embedder.embed_images(pictures(PICTURES, 0), normalize=True), EXACT_BELOW)


@pytest.fixture(scope="module")
def indexed(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Store:
    width = rows.shape[1]
    schema = pa.schema([("id", pa.string()), ("path", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    store = Store.create(Path(tmp_path_factory.mktemp("recall")) / "s.lance", schema, "m", "f")
    ids = [str(number) for number in range(len(rows))]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), width)
    store.add(pa.table({"id": ids, "path": ids, "vector": vectors}))
    recall = store.build_index(EXACT_BELOW)
    assert recall is not None
    print(f"\n{len(rows):,} rows of {width}, recall@10 that the store measured: {recall:.3f}", end="")
    assert recall >= 0.95
    return store


@pytest.mark.parametrize("kind", ["texts", "images"])
def test_recall_at_10(indexed: Store, rows: np.ndarray, embedder: Embedder, kind: str):
    if kind == "texts":
        texts = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS.split("|")][::2]
        queries = embedder.embed_texts(texts[:QUERIES], normalize=True)
    else:
        queries = embedder.embed_images(pictures(QUERIES, 7), normalize=True)
    nearest = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    found = [{int(row["id"]) for row in indexed.search(query, 10)} for query in queries]
    recall = np.mean([len(one & set(other.tolist())) / 10 for one, other in zip(found, nearest, strict=True)])
    print(f"\n{kind}: recall@10 {recall:.3f}", end="")
    assert recall >= 0.95
