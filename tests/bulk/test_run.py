"""A run's folder: other programs read its formats, and a second run continues it."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import openclip_api
from openclip_api.bulk.command import embed
from openclip_api.bulk.item_embedder import LocalEmbedder
from openclip_api.errors import OtherRun
from openclip_api.runtime.embedder import Embedder
from openclip_api.search.store import Store

from ..search.conftest import SAMPLES, index  # noqa: F401
from .conftest import Embed, rows_of, vectors_of

TEXTS = [f"text number {n}" for n in range(25)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "t.txt"
    path.write_text("\n".join([*TEXTS[:24], "", *TEXTS[24:]]) + "\n\xff", encoding="latin-1")
    return path


@pytest.fixture
def expected(embedder: Embedder) -> np.ndarray:
    return embedder.embed_texts(TEXTS)


def test_parquet_as_duckdb_polars_and_arrow_read_it(tmp_path: Path, run: Embed, source: Path, expected: np.ndarray):
    assert run(source, "--out", tmp_path / "out", "--shard-rows", 10) == 3
    files = sorted((tmp_path / "out" / "vectors").iterdir())
    assert [pq.read_metadata(file).num_rows for file in files] == [10, 10, 6]
    schema = pq.read_schema(files[0])
    assert [str(field.type) for field in schema] == [
        "string",
        "string",
        "fixed_size_list<element: float>[256]",
        "int32",
        "int32",
        "string",
        "string",
    ]
    found = duckdb.sql(f"select id, vector from '{tmp_path}/out/vectors/*.parquet' where error is null").fetchall()
    assert [id for id, _ in found] == [f"t.txt:{n}" for n in [*range(1, 25), 26]]
    np.testing.assert_allclose([vector for _, vector in found], expected, atol=1e-5)
    np.testing.assert_allclose(vectors_of(rows_of(tmp_path / "out")[:25]), expected, atol=1e-5)
    assert duckdb.sql(f"select id, error from '{tmp_path}/out/failures.parquet'").fetchall() == [
        ("t.txt:27", "the line is not UTF-8")
    ]


def test_half_precision_and_unit_length(tmp_path: Path, run: Embed, source: Path, expected: np.ndarray):
    assert run(source, "--out", tmp_path / "out", "--dtype", "float16", "--normalize") == 3
    (file,) = (tmp_path / "out" / "vectors").iterdir()
    column = pq.read_table(file)["vector"].combine_chunks()
    assert str(column.type.value_type) == "halffloat"
    vectors = column.drop_null().flatten().to_numpy().reshape(25, 256).astype(np.float32)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, unit, atol=1e-3)
    (first, *_) = duckdb.sql(f"select vector from '{file}'").fetchall()
    np.testing.assert_allclose(first[0], unit[0], atol=1e-3)


@pytest.mark.parametrize("format", ["npy", "jsonl"])
def test_other_formats(tmp_path: Path, run: Embed, source: Path, expected: np.ndarray, format: str):
    assert run(source, "--out", tmp_path / "out", "--format", format, "--shard-rows", 20) == 3
    shards = sorted((tmp_path / "out" / "vectors").glob(f"*.{format}"))
    if format == "npy":
        vectors = np.concatenate([np.load(shard) for shard in shards])
        assert rows_of(tmp_path / "out").columns == ["id", "path", "width", "height", "error", "stamp"]
        ids = rows_of(tmp_path / "out")["id"].to_list()
        assert np.isnan(vectors[25]).all()
    else:
        rows = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
        vectors, ids = [row["vector"] for row in rows], [row["id"] for row in rows]
        assert vectors[25] is None
    assert ids == [f"t.txt:{n}" for n in [*range(1, 25), 26, 27]]
    np.testing.assert_allclose(np.array(vectors[:25], np.float32), expected, atol=1e-5)
    assert pl.read_parquet(tmp_path / "out" / "failures.parquet")["id"].to_list() == ["t.txt:27"]


def files_of(out: Path) -> dict[str, tuple[bytes, int]]:
    """Each file's content and inode number, which changes when a file is written again."""
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in (out / "vectors").iterdir()}


def assert_same_rows(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Vectors are rounded otherwise in other company."""
    assert found.drop("vector").equals(expected.drop("vector"))
    vectors = [vectors_of(rows.drop_nulls("vector")) for rows in (found, expected)]
    np.testing.assert_allclose(*vectors, atol=1e-5)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:]),
    ],
)
def test_a_second_run_does_what_is_missing_or_damaged_and_nothing_else(
    tmp_path: Path, run: Embed, source: Path, damage
):
    out = tmp_path / "out"
    run(source, "--out", out, "--shard-rows", 10)
    before, rows = files_of(out), rows_of(out)
    damage(out / "vectors" / "00001.parquet")
    assert run(source, "--out", out, "--shard-rows", 10) == 3
    after = files_of(out)
    assert after.keys() == before.keys()
    assert_same_rows(rows_of(out), rows)
    assert after["00000.parquet"] == before["00000.parquet"]
    assert after["00002.parquet"] == before["00002.parquet"]


@pytest.mark.parametrize("lines", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", [b"", b'{"shard": 1, "ro', b'{"shard": 9}'])
def test_a_manifest_cut_anywhere_is_gone_on_with(tmp_path: Path, run: Embed, source: Path, lines: int, torn: bytes):
    out = tmp_path / "out"
    run(source, "--out", out, "--shard-rows", 10)
    before, rows, manifest = files_of(out), rows_of(out), out / "manifest.jsonl"
    whole = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(whole[: 1 + lines]) + torn)
    (out / "vectors" / "00003.parquet.tmp").write_bytes(b"half")
    assert run(source, "--out", out, "--shard-rows", 10) == 3
    assert manifest.read_bytes().splitlines(keepends=True)[: 1 + lines] == whole[: 1 + lines]
    assert len(manifest.read_bytes().splitlines()) == len(whole)
    assert files_of(out).keys() == before.keys()
    assert_same_rows(rows_of(out), rows)


def test_another_source_model_or_format_is_refused(tmp_path: Path, run: Embed, source: Path):
    out = tmp_path / "out"
    run(source, "--out", out)
    for options, reason in [
        (["--dtype", "float16"], "dtype float32, not float16"),
        (["--format", "npy"], "format parquet, not npy"),
        (["--normalize"], "normalize false, not true"),
        (["--shard-rows", "7"], "shard_rows 10000, not 7"),
    ]:
        with pytest.raises(OtherRun, match=reason):
            run(source, "--out", out, *options)
    manifest = out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"layout":2,', ""))
    with pytest.raises(OtherRun, match="holds a run with rows of an older version; use another folder"):
        run(source, "--out", out)


def test_a_later_run_adds_what_is_new_and_tells_what_is_gone(tmp_path: Path, run: Embed, embedder: Embedder, index):  # noqa: F811
    folder, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(SAMPLES, folder)
    run(folder, "--out", out, "--shard-rows", 20)
    before = files_of(out)
    (folder / "cat.png").rename(folder / "tom.png")
    (folder / "pizza.png").unlink()
    shutil.copy(folder / "guitar.png", folder / "rocket.png")
    assert run(tmp_path / "photos" / ".." / "photos", "--out", out, "--shard-rows", 20) == 0
    after = files_of(out)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"00002.parquet"}
    added = pl.read_parquet(out / "vectors" / "00002.parquet")
    assert added["id"].to_list() == ["rocket.png", "tom.png"]
    gone = pl.read_parquet(out / "gone.parquet")
    assert sorted(gone["id"].to_list()) == ["cat.png", "pizza.png", "rocket.png"]
    there = f"stamp not in (select stamp from '{out}/gone.parquet')"
    assert len(duckdb.sql(f"select id from '{out}/vectors/*.parquet' where {there}").fetchall()) == 35
    end = json.loads((out / "manifest.jsonl").read_text().splitlines()[-1])
    assert end["items"] == 35
    assert sorted(map(tuple, end["gone"])) == sorted(gone.rows())
    index("--embeddings", out, store=tmp_path / "s.lance")
    found = Store(tmp_path / "s.lance").columns(["id", "vector"]).to_pylist()
    assert len(found) == 35
    (rocket,) = [row["vector"] for row in found if row["id"] == "rocket.png"]
    expected = embedder.embed_images([(folder / "guitar.png").read_bytes()], normalize=True)[0]
    np.testing.assert_allclose(rocket, expected, atol=1e-5)
    shutil.copy(SAMPLES / "pizza.png", folder)  # back, with another time; what comes back as it was is there again
    (folder / "tom.png").rename(folder / "cat.png")
    run(folder, "--out", out, "--shard-rows", 20)
    assert sorted(pl.read_parquet(out / "gone.parquet")["id"].to_list()) == ["pizza.png", "rocket.png", "tom.png"]
    index("--embeddings", out, store=tmp_path / "s.lance")
    assert len(Store(tmp_path / "s.lance")) == 36
    whole = (out / "manifest.jsonl").read_bytes()
    assert run(folder, "--out", out, "--shard-rows", 20) == 0
    assert (out / "manifest.jsonl").read_bytes() == whole


def test_what_nobody_can_look_at_is_not_gone(tmp_path: Path, run: Embed):
    archive, out = tmp_path / "a.tar", tmp_path / "out"
    with tarfile.open(archive, "w") as tar:
        for name in ("cat", "pizza", "rocket"):
            tar.add(SAMPLES / f"{name}.png", f"{name}.png")
    run(archive, SAMPLES / "guitar.png", "--out", out)
    os.truncate(archive, 9000)
    assert run(archive, SAMPLES / "guitar.png", "--out", out) == 3
    assert len(pl.read_parquet(out / "gone.parquet")) == 0
    failures = pl.read_parquet(out / "failures.parquet").rows()
    assert failures == [("a.tar", str(archive), "the archive cannot be read to its end")]


def test_fewer_columns_are_refused(tmp_path: Path, run: Embed):
    (tmp_path / "t.csv").write_text("text,a,b\nx,1,2\n")
    options = [tmp_path / "t.csv", "--text-column", "text", "--out", tmp_path / "out", "--keep"]
    run(*options, "a,b")
    with pytest.raises(OtherRun, match="columns b int64, not null"):
        run(*options, "a")


def test_another_model_is_refused(tmp_path: Path, run: Embed, source: Path, tiny: Path, monkeypatch):
    run(source, "--out", tmp_path / "out")
    other = openclip_api.load(f"local-dir:{tiny}", precision="fp32")
    monkeypatch.setattr(
        "tests.bulk.conftest.embed", lambda options, settings, _: embed(options, settings, lambda settings: other)
    )
    with pytest.raises(OtherRun, match="model id OpenCLIP-emoji, not OpenCLIP-tiny-clip"):
        run(source, "--out", tmp_path / "out")
    other.close()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, run: Embed, source: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_bytes(b"years of work")
    with pytest.raises(OtherRun, match=r"holds 'thesis.docx' but no manifest.jsonl"):
        run(source, "--out", tmp_path / "out")


def test_two_runs_at_once_do_not_share_a_folder(tmp_path: Path, run: Embed, source: Path):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(OtherRun, match="another run is writing here"):
        run(source, "--out", tmp_path / "out")
    assert run(source, "--out", tmp_path / "out") == 3


def test_an_embedder_that_breaks_ends_the_run_and_fails_no_row(tmp_path: Path, run: Embed, source: Path, monkeypatch):
    submit = LocalEmbedder.submit_blocking
    count = iter(range(10**6))

    def breaking(self, kind, content):
        if next(count) == 17:
            raise RuntimeError("the device is gone")
        return submit(self, kind, content)

    monkeypatch.setattr(LocalEmbedder, "submit_blocking", breaking)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(source, "--out", tmp_path / "out", "--shard-rows", 10)
    monkeypatch.undo()
    assert run(source, "--out", tmp_path / "out", "--shard-rows", 10) == 3
    assert len(rows_of(tmp_path / "out")) == 26


def test_duplicate_ids_are_told_of_before_the_start(tmp_path: Path, run: Embed, capsys):
    (tmp_path / "t.csv").write_text("id,text\n1,a\n2,b\n1,c\n")
    options = ["--text-column", "text", "--id-column", "id", "--progress", "json"]
    assert run(tmp_path / "t.csv", *options, "--out", tmp_path / "out") == 0
    first, *_, last = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert first["message"] == "1 items have the id of an earlier one"
    assert (last["event"], last["items"], last["total"], last["failures"]) == ("done", 3, 3, 0)
    assert rows_of(tmp_path / "out")["id"].to_list() == ["1", "2", "1"]


def test_the_bar_tells_rate_and_failures(tmp_path: Path, run: Embed, source: Path, capsys):
    run(source, "--out", tmp_path / "out", "--progress", "bar")
    shown = capsys.readouterr().err
    assert "26/26" in shown
    assert "items/s" in shown
    assert "failures=1" in shown


def test_it_leaves_no_thread_behind(tmp_path: Path, run: Embed, source: Path):
    run(source, "--out", tmp_path / "a")
    before = threading.active_count()
    for name in "bcde":
        run(source, "--out", tmp_path / name)
    assert threading.active_count() <= before + LocalEmbedder.reader_threads
