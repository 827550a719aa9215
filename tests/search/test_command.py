"""openclip-api index and search, on the sample pictures and on random vectors."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import openclip_api
from openclip_api.errors import InvalidSource, InvalidStore
from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import unit_length
from openclip_api.search.store import Store

from .conftest import SAMPLES


def found(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def cosines(embedder: Embedder, text: str) -> dict[str, float]:
    files = sorted(SAMPLES.rglob("*.png"))
    images = embedder.embed_images([file.read_bytes() for file in files], normalize=True)
    query = embedder.embed_texts([text], normalize=True)[0]
    return {
        file.relative_to(SAMPLES).as_posix(): float(value) for file, value in zip(files, images @ query, strict=True)
    }


def test_a_folder_is_indexed_and_searched(tmp_path: Path, index, search, embedder, capsys):
    store = tmp_path / "s.lance"
    assert index(SAMPLES, store=store) == 0
    left_out = "3 left out (1 .md, 1 .py, 1 .json)"
    assert capsys.readouterr().out == f"36 images: 36 new, {left_out}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["s.lance"]
    expected = sorted(cosines(embedder, "a red car").items(), key=lambda pair: -pair[1])
    assert search("a red car", "--k", 5, "--json", store=store) == 0
    results = found(capsys)
    assert [row["id"] for row in results] == [id for id, _ in expected[:5]]
    np.testing.assert_allclose([row["score"] for row in results], [score for _, score in expected[:5]], atol=1e-5)
    assert results[0] == {
        "id": "automobile.png",
        "path": str(SAMPLES / "automobile.png"),
        "bytes": (SAMPLES / "automobile.png").stat().st_size,
        "modified": str(datetime.fromtimestamp((SAMPLES / "automobile.png").stat().st_mtime, timezone.utc)),
        "taken": None,
        "width": 160,
        "height": 160,
        "copies": 0,
        "score": results[0]["score"],
    }
    assert search("--image", SAMPLES / "cat.png", "--k", 1, store=store) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["score", "id", "path", "bytes", "modified", "width", "height"]
    assert row.split()[:2] == ["1.0000", "cat.png"]


def test_what_was_embedded_is_taken_with_its_columns(tmp_path: Path, run, index, search, capsys):
    table = tmp_path / "t.csv"
    table.write_text("sku,title,brand\n1,a red car,a'b\n2,a blue car,a'b\n3,a cat,c\n4,,c\n")
    options = ["--text-column", "title", "--id-column", "sku", "--keep", "title,brand"]
    run(table, *options, "--out", tmp_path / "out", "--dtype", "float16")
    store = tmp_path / "s.lance"
    assert index("--embeddings", tmp_path / "out", store=store) == 0
    assert (tmp_path / "out").exists()
    capsys.readouterr()
    assert search("car", "--json", "--filter", "brand=a'b", "--filter", "title!=a red car", store=store) == 0
    assert [(row["id"], row["brand"]) for row in found(capsys)] == [("2", "a'b")]
    assert search("car", "--json", "--filter", "brand=nobody's", store=store) == 1
    assert found(capsys) == []


def test_adding_replaces_what_has_the_id_and_deleting_removes_it(tmp_path: Path, index, search, capsys):
    store = tmp_path / "s.lance"
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(SAMPLES / "cat.png", folder / "one.png")
    index(folder, store=store)
    shutil.copy(SAMPLES / "pizza.png", folder / "one.png")
    shutil.copy(SAMPLES / "cat.png", folder / "it's.png")
    index(folder, store=store)
    assert len(Store(store)) == 2
    capsys.readouterr()
    search("--image", SAMPLES / "pizza.png", "--k", 1, "--json", store=store)
    assert [row["id"] for row in found(capsys)] == ["one.png"]
    assert index("--delete", "it's.png", "--delete", "one.png", store=store) == 0
    assert capsys.readouterr().out == "2 rows removed, 0 left\n"
    assert index("--delete", "one.png", store=store) == 1
    assert index("--delete", "\udcff.png", store=store) == 1  # a word of the command line that is not UTF-8


def test_vectors_of_another_model_are_refused(tmp_path: Path, run, index, search, tiny, monkeypatch):
    store = tmp_path / "s.lance"
    index(SAMPLES, store=store)
    other = openclip_api.load(f"local-dir:{tiny}", precision="fp32")
    with pytest.raises(InvalidStore, match="holds vectors of OpenCLIP-emoji with fingerprint"):
        Store(store).check(other.info.fingerprint)
    run(SAMPLES, "--out", tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(Store(store).fingerprint, "0" * 16))
    with pytest.raises(InvalidStore, match="the model here has 0000000000000000"):
        index("--embeddings", tmp_path / "out", store=store)
    other.close()


def test_an_unfinished_run_is_not_indexed(tmp_path: Path, run, index):
    run(SAMPLES, "--out", tmp_path / "out", "--shard-rows", 10)
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InvalidSource, match="not finished"):
        index("--embeddings", tmp_path / "out", store=tmp_path / "s.lance")
    with pytest.raises(InvalidSource, match="not a folder of openclip-api embed"):
        index("--embeddings", tmp_path, store=tmp_path / "s.lance")


def test_no_store_is_told(tmp_path: Path, search):
    for path, message in [
        (None, "name the store"),
        (tmp_path / "a.lance", "no such store"),
        (tmp_path / "a", "ends in"),
    ]:
        with pytest.raises(InvalidStore, match=message):
            search("x", **({"store": path} if path else {}))
    (tmp_path / "b.lance").mkdir()
    with pytest.raises(InvalidStore, match="not a store"):
        search("x", store=tmp_path / "b.lance")


def test_a_page_of_thumbnails(tmp_path: Path, index, search, capsys, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    index(SAMPLES, store=tmp_path / "s.lance")
    assert search("<script>alert(1)</script>", "--open", "--k", 3, store=tmp_path / "s.lance") == 0
    page = Path(opened[0].removeprefix("file://")).read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert "<script>" not in page


def clustered(count: int, dimensions: int) -> np.ndarray:
    """Vectors as models make them: around centres, not evenly over the sphere."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(100, dimensions))
    return unit_length((centres[draw.integers(100, size=count)] + draw.normal(size=(count, dimensions))).astype("f4"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*IVF")
def test_a_large_store_gets_an_index_with_measured_recall(tmp_path: Path):
    vectors = clustered(4000, 64)
    schema = pa.schema([("id", pa.string()), ("path", pa.string()), ("vector", pa.list_(pa.float32(), 64))])
    ids = [str(n) for n in range(4000)]
    rows = pa.table({"id": ids, "path": ids, "vector": pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), 64)})
    store = Store.create(tmp_path / "s.lance", schema, "m", "f")
    store.add(rows)
    assert store.build_index(exact_below=5000) is None
    recall = store.build_index(exact_below=1000)
    assert recall is not None
    assert recall >= 0.95
    again = Store(tmp_path / "s.lance")
    queries = unit_length(np.random.default_rng(1).normal(size=(30, 64)).astype("f4") + 3 * vectors[:30])
    hits = 0
    for query in queries:
        exact = set(np.argsort(-(vectors @ query))[:10].tolist())
        hits += len(exact & {int(row["id"]) for row in again.search(query, 10)})
    assert hits / 300 >= 0.9
    again.delete(["7"])
    assert "7" not in {row["id"] for row in again.search(vectors[7], 10)}
