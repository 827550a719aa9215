"""--format lance: Lance and LanceDB open the table, and its shards survive what Parquet's survive."""

from __future__ import annotations

import shutil
from pathlib import Path

import lancedb
import numpy as np
import polars as pl
import pytest
from lance import LanceDataset

from openclip_api.errors import CannotWrite
from openclip_api.runtime.embedder import Embedder

from ..support.embed_process import SHARD, finish, same_rows, start, write_collection
from .conftest import Embed, rows_of, vectors_of

LANCE = ("--format", "lance", *SHARD)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "images", 25)


def versions(out: Path) -> int:
    return len(LanceDataset(str(out / "vectors.lance")).versions())


def test_the_rows_are_parquet_s(tmp_path: Path, run: Embed, images: Path):
    assert run(images, "--out", tmp_path / "parquet") == 3
    assert run(images, "--out", tmp_path / "lance", *LANCE) == 3
    same_rows(tmp_path / "lance", tmp_path / "parquet")


def test_lancedb_searches_it(tmp_path: Path, run: Embed, embedder: Embedder):
    texts = ["a red car", "a cat", "a pizza"]
    (tmp_path / "t.csv").write_text("name,price\n" + "".join(f"{text},{n}.5\n" for n, text in enumerate(texts)) + ",9")
    options = ["--text-column", "name", "--keep", "price", "--dtype", "float16"]
    assert run(tmp_path / "t.csv", *options, "--out", tmp_path / "out", *LANCE) == 3
    table = lancedb.connect(tmp_path / "out").open_table("vectors")
    assert str(table.schema.field("vector").type) == "fixed_size_list<item: halffloat>[256]"
    query = embedder.embed_texts(["a cat"])[0]
    found = table.search(query, vector_column_name="vector").limit(2).to_list()
    assert (found[0]["id"], found[0]["price"]) == ("t.csv:2", 1.5)
    failed = table.search().where("error is not null").to_list()
    assert [(row["id"], row["vector"], row["error"]) for row in failed] == [("t.csv:4", None, "column 'name' is empty")]


def test_a_shard_of_failures_alone(tmp_path: Path, run: Embed):
    (tmp_path / "t.csv").write_text("text\n" + '""\n' * 12 + "a cat\n")
    assert run(tmp_path / "t.csv", "--text-column", "text", "--out", tmp_path / "out", *LANCE) == 3
    rows = rows_of(tmp_path / "out")
    assert rows["vector"].null_count() == 12
    assert np.isfinite(vectors_of(rows[12:])).all()


def test_a_second_run_changes_nothing(tmp_path: Path, run: Embed, images: Path):
    out = tmp_path / "out"
    for _ in range(2):
        assert run(images, "--out", out, *LANCE) == 3
        assert versions(out) == 1


def test_a_damaged_shard_is_made_again_in_its_place(tmp_path: Path, run: Embed, images: Path):
    run(images, "--out", tmp_path / "whole", *LANCE)
    out = tmp_path / "out"
    run(images, "--out", out, *LANCE)
    shard = out / "vectors.lance" / "data" / "00001.lance"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-9] + b"x" + whole[-8:])
    untouched = (shard.parent / "00002.lance").stat().st_ino
    assert run(images, "--out", out, *LANCE) == 3
    same_rows(out, tmp_path / "whole")
    assert (shard.parent / "00002.lance").stat().st_ino == untouched


def cut_manifest(root: Path) -> None:
    (manifest,) = (root / "_versions").glob("*.manifest")
    manifest.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_manifest, lambda root: shutil.rmtree(root / "_versions")])
def test_a_table_that_a_power_failure_cut_is_made_again(tmp_path: Path, run: Embed, images: Path, damage):
    run(images, "--out", tmp_path / "whole", *LANCE)
    run(images, "--out", tmp_path / "out", *LANCE)
    damage(tmp_path / "out" / "vectors.lance")
    assert run(images, "--out", tmp_path / "out", *LANCE) == 3
    same_rows(tmp_path / "out", tmp_path / "whole")


def test_rows_that_its_owner_deleted_stay_deleted(tmp_path: Path, run: Embed, images: Path):
    run(images, "--out", tmp_path / "out", *LANCE)
    LanceDataset(str(tmp_path / "out" / "vectors.lance")).delete("id = '00003.jpg'")
    assert run(images, "--out", tmp_path / "out", *LANCE) == 3
    assert "00003.jpg" not in rows_of(tmp_path / "out")["id"].to_list()


def test_a_table_that_cannot_be_written_is_one_line(tmp_path: Path, run: Embed, images: Path):
    run(images, "--out", tmp_path / "whole", *LANCE)
    in_the_way = tmp_path / "out" / "vectors.lance" / "_transactions"
    (in_the_way.parent / "data").mkdir(parents=True)
    in_the_way.write_text("")
    with pytest.raises(CannotWrite, match=r"vectors.lance: .*; run the same command again to continue") as error:
        run(images, "--out", tmp_path / "out", *LANCE)
    assert "\n" not in str(error.value)
    in_the_way.unlink()
    assert run(images, "--out", tmp_path / "out", *LANCE) == 3
    same_rows(tmp_path / "out", tmp_path / "whole")


@pytest.mark.process
@pytest.mark.parametrize("missing", [1, 1000])
def test_a_full_disk_is_one_line_and_an_exit_code(tmp_path: Path, run: Embed, images: Path, missing: int):
    run(images, "--out", tmp_path / "whole", *LANCE)
    size = (tmp_path / "whole" / "vectors.lance" / "data" / "00000.lance").stat().st_size
    options = ("--out", tmp_path / "out", *LANCE, "--progress", "quiet")
    code, stderr = finish(start(images, *options, largest_file=size - missing))
    assert code == 1
    assert "not whole; is the disk full?" in stderr or "File too large" in stderr
    assert stderr.count("\n") == 1
    code, stderr = finish(start(images, *options))
    assert (code, stderr) == (3, "")
    same_rows(tmp_path / "out", tmp_path / "whole")


def test_a_table_that_did_not_fit_on_the_disk_is_reported(tmp_path: Path, run: Embed, images: Path, monkeypatch):
    run(images, "--out", tmp_path / "whole", *LANCE)
    commit = LanceDataset.commit

    def half(root: str, operation: object) -> None:
        commit(root, operation)
        cut_manifest(Path(root))

    monkeypatch.setattr(LanceDataset, "commit", half)
    with pytest.raises(CannotWrite, match="not whole; is the disk full"):
        run(images, "--out", tmp_path / "out", *LANCE)
    monkeypatch.undo()
    assert run(images, "--out", tmp_path / "out", *LANCE) == 3
    same_rows(tmp_path / "out", tmp_path / "whole")


@pytest.mark.process
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'lance' else find(name, *more)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "t.txt").write_text("a")
    code, stderr = finish(start(tmp_path / "t.txt", "--out", tmp_path / "out", *LANCE))
    assert (code, stderr) == (1, "openclip-api: --format lance needs pylance: pip install 'openclip-api[lance]'\n")
    assert not (tmp_path / "out").exists()


def test_its_failures_are_listed(tmp_path: Path, run: Embed, images: Path):
    run(images, "--out", tmp_path / "out", *LANCE)
    failed = rows_of(tmp_path / "out").filter(pl.col("error").is_not_null()).select("id", "path", "error")
    assert len(failed) == 3
    assert pl.read_parquet(tmp_path / "out" / "failures.parquet").equals(failed)
