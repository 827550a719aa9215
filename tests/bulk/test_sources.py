"""Each kind of source gives its items, ids and extra columns. An item that cannot be read is a row with an error."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from openclip_api.errors import InvalidSource
from openclip_api.inputs.formats import installed_formats, not_read
from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import unit_length

from .conftest import GOLDEN, Embed, rows_of, vectors_of

NOT_AN_IMAGE = not_read(b"", installed_formats())

JPEG, PNG = (GOLDEN / "rgb.jpg").read_bytes(), (GOLDEN / "rgb.png").read_bytes()
TEXTS = ["a red car", "Übergröße 👟", '"quoted", with a comma']


@pytest.fixture
def images(embedder: Embedder) -> np.ndarray:
    return embedder.embed_images([JPEG, PNG])


@pytest.fixture
def texts(embedder: Embedder) -> np.ndarray:
    return embedder.embed_texts(TEXTS)


def same(rows: pl.DataFrame, expected: np.ndarray) -> None:
    np.testing.assert_allclose(vectors_of(rows), expected, atol=1e-5)


def test_a_folder_with_all_that_may_be_in_one(tmp_path: Path, run: Embed, images: np.ndarray):
    folder = tmp_path / "photos"
    (folder / "b.jpg").mkdir(parents=True)
    (folder / "b.jpg" / "x.PNG").write_bytes(PNG)
    (folder / "a b\n;rm -rf *.jpg").write_bytes(JPEG)
    (folder / "readme.md").write_text("no image")
    (folder / "c.jpg").write_bytes(JPEG[:200])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.jpg").write_bytes(bytes(3_000_000))
    Path(os.fsdecode(bytes(folder) + b"/f\xff.jpg")).write_bytes(JPEG)
    os.mkfifo(folder / "g.jpg")
    (folder / "h.png").symlink_to("/dev/zero")
    (folder / "i.png").symlink_to("nowhere")
    (folder / "j").symlink_to("j")
    (folder / "k").symlink_to(folder)
    (folder / f"{'l' * 251}.png").write_bytes(PNG)
    assert run(folder, "--out", tmp_path / "out", max_body_mb=1) == 3
    rows = rows_of(tmp_path / "out")
    good = rows.filter(pl.col("error").is_null())
    assert good["id"].to_list() == ["a b\n;rm -rf *.jpg", "b.jpg/x.PNG", r"f\xff.jpg", f"{'l' * 251}.png"]
    same(good, images[[0, 1, 0, 1]])
    assert set(good.select("width", "height").rows()) == {(45, 32)}
    bad = rows.filter(pl.col("error").is_not_null())
    assert dict(bad.select("id", "error").rows()) == {
        "c.jpg": bad["error"][0],  # Pillow's own words
        "d.jpg": NOT_AN_IMAGE,
        "e.jpg": "larger than 1 MB",
        "g.jpg": "not a regular file",
        "h.png": "not a regular file",
        "i.png": "No such file or directory",
        "j": "Too many levels of symbolic links",
        "k": "a link that leads back into a folder above it",
    }
    assert "cannot be decoded" in bad["error"][0]
    assert bad["vector"].is_null().all()
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failures.equals(bad.select("id", "path", "error"))


def test_patterns_and_single_files_keep_the_order_given(tmp_path: Path, run: Embed, images: np.ndarray):
    for name in ("b.png", "a.png", "[c].png"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "z.jpg").write_bytes(JPEG)
    assert run(tmp_path / "z.jpg", tmp_path / "?.png", tmp_path / "[c].png", "--out", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert [Path(path).name for path in rows["path"]] == ["z.jpg", "a.png", "b.png", "[c].png"]
    same(rows, images[[0, 1, 1, 1]])


def test_a_text_a_line(tmp_path: Path, run: Embed, texts: np.ndarray):
    (tmp_path / "t.txt").write_bytes(
        b"\xef\xbb\xbf" + "\n\r\n".join(TEXTS).encode() + b"\n\xff\xfe\n" + b"x" * 1_500_000 + b"\nend"
    )
    assert run(tmp_path / "t.txt", "--out", tmp_path / "out") == 3
    rows = rows_of(tmp_path / "out")
    assert rows["id"].to_list() == ["t.txt:1", "t.txt:3", "t.txt:5", "t.txt:6", "t.txt:7", "t.txt:8"]
    same(rows[:3], texts)
    assert rows["error"].to_list() == [None] * 3 + ["the line is not UTF-8", "the line is longer than 1 MB", None]
    assert rows["width"].is_null().all()


def write_table(path: Path, rows: list[dict]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_texts_with_ids_and_extra_columns(tmp_path: Path, run: Embed, texts: np.ndarray, suffix: str):
    table = tmp_path / f"t.{suffix}"
    write_table(table, [{"key": 10 + n, "caption": text, "price": 0.5} for n, text in enumerate(TEXTS)])
    code = run(table, "--text-column", "caption", "--id-column", "key", "--keep", "price", "--out", tmp_path / "out")
    assert code == 0
    rows = rows_of(tmp_path / "out")
    same(rows, texts)
    assert rows["id"].to_list() == ["10", "11", "12"]
    assert rows["price"].to_list() == [0.5] * 3


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_of_images_as_base64(tmp_path: Path, run: Embed, images: np.ndarray, suffix: str):
    encoded = [base64.b64encode(JPEG).decode(), "data:image/png;base64," + base64.b64encode(PNG).decode(), "%%", ""]
    write_table(tmp_path / f"t.{suffix}", [{"image": value} for value in encoded])
    assert run(tmp_path / f"t.{suffix}", "--image-column", "image", "--out", tmp_path / "out") == 3
    rows = rows_of(tmp_path / "out")
    same(rows[:2], images)
    assert rows["id"][1] == f"t.{suffix}:2"
    assert rows["error"][2:].to_list() == ["image: not valid base64", "column 'image' is empty"]


def test_images_as_hugging_face_keeps_them(tmp_path: Path, run: Embed, images: np.ndarray):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "b.png").write_bytes(PNG)
    images_ = [("a.jpg", JPEG), ("i/b.png", None), (None, JPEG), ("no.jpg", None), (None, None)]
    write_table(tmp_path / "t.parquet", [{"image": {"bytes": data, "path": path}} for path, data in images_])
    assert run(tmp_path / "t.parquet", "--image-column", "image", "--out", tmp_path / "out") == 3
    rows = rows_of(tmp_path / "out")
    same(rows[:3], images[[0, 1, 0]])
    assert rows["error"][3:].to_list() == ["No such file or directory", "neither base64 nor bytes"]


def test_paths_count_from_the_table_s_folder(tmp_path: Path, run: Embed, images: np.ndarray):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "a.jpg").write_bytes(JPEG)
    os.mkfifo(tmp_path / "fifo")
    paths = ["i/a.jpg", str(tmp_path / "i" / "a.jpg"), "no.jpg", "i", "fifo", "a\0b"]
    write_table(tmp_path / "t.jsonl", [{"file": path} for path in paths])
    assert run(tmp_path / "t.jsonl", "--path-column", "file", "--out", tmp_path / "out") == 3
    rows = rows_of(tmp_path / "out")
    same(rows[:2], images[[0, 0]])
    assert rows["error"][2:].to_list() == [
        "No such file or directory",
        "not a regular file",
        "not a regular file",
        "embedded null byte",
    ]


def test_urls_pass_the_server_s_guard(tmp_path: Path, run: Embed):
    urls = ["http://127.0.0.1/a.jpg", "http://[::1]/", "file:///etc/passwd", "http://169.254.169.254/latest", "x"]
    write_table(tmp_path / "t.csv", [{"url": url} for url in urls])
    assert run(tmp_path / "t.csv", "--url-column", "url", "--out", tmp_path / "out") == 3
    errors = rows_of(tmp_path / "out")["error"].to_list()
    assert (
        errors[0]
        == errors[1]
        == errors[3]
        == "the URL's host cannot be found, or the server may not fetch images from it"
    )
    assert errors[2] == errors[4] == "not a plain http or https URL"


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_tar_shards(tmp_path: Path, run: Embed, images: np.ndarray, texts: np.ndarray, name: str):
    members = {"0/1.jpg": JPEG, "0/1.txt": TEXTS[0].encode(), "0/1.json": b"{}", "0/2.seg.png": PNG, "0/2.png": PNG}
    write_tar(tmp_path / name, members | {"0/2.txt": TEXTS[1].encode(), "3.cls": b"3", "4.jpg": JPEG[:99]})
    assert run(tmp_path / name, "--out", tmp_path / "images") == 3
    rows = rows_of(tmp_path / "images")
    assert rows["id"].to_list() == ["0/1", "0/2", "4"]
    same(rows[:2], images)
    assert "cannot be decoded" in rows["error"][2]
    assert run(tmp_path / name, "--text-column", "txt", "--keep", "json", "--out", tmp_path / "texts") == 3
    rows = rows_of(tmp_path / "texts")
    same(rows[:2], texts[:2])
    assert rows["json"].to_list() == ["{}", None, None, None]
    assert rows["error"][2] == "the sample has no .txt"


def test_mixed_image_suffixes_with_columns_to_keep(tmp_path: Path, run: Embed, images: np.ndarray):
    write_tar(tmp_path / "a.tar", {"1.jpg": JPEG, "1.json": b"{}", "2.png": PNG, "2.json": b"[]"})
    assert run(tmp_path / "a.tar", "--keep", "json", "--out", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    same(rows, images)
    assert rows["json"].to_list() == ["{}", "[]"]


def test_a_damaged_source_among_good_ones_is_a_failure_of_its_own(tmp_path: Path, run: Embed, images: np.ndarray):
    for name in ("a.tar", "c.tar"):
        write_tar(tmp_path / name, {"1.jpg": JPEG, "2.png": PNG})
    (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:1000])
    assert run(tmp_path / "*.tar", "--out", tmp_path / "out") == 3
    rows = rows_of(tmp_path / "out")
    same(rows.filter(pl.col("error").is_null()), images[[0, 1, 0, 1]])
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failures.rows() == [("b.tar", f"{tmp_path}/b.tar", "the archive cannot be read to its end")]

    write_table(tmp_path / "a.parquet", [{"text": "a"}])
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:100])
    assert run(tmp_path / "*.parquet", "--text-column", "text", "--keep", "text", "--out", tmp_path / "texts") == 3
    assert rows_of(tmp_path / "texts")["error"].to_list() == [None, "not a Parquet file"]


def test_hidden_and_excluded_files_are_left_out(tmp_path: Path, run: Embed):
    for name in (".thumbnails/a.jpg", "@eaDir/a.jpg", "._a.jpg", "raw/a.jpg", "a.jpg", "b/raw.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)

    def ids(out: str, *options: str) -> list[str]:
        assert run(tmp_path / "photos", *options, "--out", tmp_path / out) == 0
        return rows_of(tmp_path / out)["id"].to_list()

    assert ids("1", "--exclude", "raw/") == ["a.jpg", "b/raw.png"]
    assert ids("2", "--exclude", "*", "--exclude", "!*.png", "--exclude", "!b/") == ["b/raw.png"]
    assert len(ids("3", "--hidden")) == 6


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("t.csv", b"", ["--text-column", "a"], "no column 'a'; it has none"),
        ("t.csv", b"a\n", ["--text-column", "a"], "nothing to embed in it"),
        ("t.csv", b"a,b\n1,2\n", ["--text-column", "c"], "no column 'c'; it has 'a', 'b'"),
        ("t.csv", b"a,b\n1,\n", ["--text-column", "a", "--id-column", "b"], "row 1 is empty in its id column 'b'"),
        ("t.csv", b"a\nx\n", [], "name its column"),
        ("t.txt", b"x\n", ["--keep", "a"], "also name the column"),
        ("t.txt", b"\n\n", [], "nothing to embed"),
        ("t.parquet", b"PAR1", ["--text-column", "a"], "not a Parquet file"),
        ("t.tar", b"no tar at all" * 99, [], "cannot be read to its end"),
        ("t.tar.gz", b"no gzip at all" * 99, [], "cannot be read to its end"),
        ("t.tgz", gzip.compress(os.urandom(9999))[:5000], [], "cannot be read to its end"),
        ("t.pdf", b"%PDF", [], "not a folder, an image, or"),
        ("t.jpg.d/x.txt", b"", [], "no such file or folder"),
    ],
)
def test_what_is_no_source_is_refused(
    tmp_path: Path, run: Embed, name: str, content: bytes, options: list, message: str
):
    if "/" not in name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSource, match=message):
        run(tmp_path / name, *options, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fifo_as_a_table_is_refused(tmp_path: Path, run: Embed):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(InvalidSource, match="not a folder"):
        run(tmp_path / "t.csv", "--text-column", "a", "--out", tmp_path / "out")


def test_a_folder_of_many_formats(tmp_path: Path, run: Embed):
    """Your own files are read in every format that is installed."""
    folder = tmp_path / "photos"
    folder.mkdir()
    kept = GOLDEN.parent / "formats"
    for name in ("plain.png", "plain.avif", "plain.heic", "turned_by_both.heic"):
        (folder / name).write_bytes((kept / name).read_bytes())
    picture = Image.open(kept / "plain.png")
    for name, format in (("a.TIF", "TIFF"), ("b.jp2", "JPEG2000"), ("c.jxl", "JXL"), ("d.webp", "WEBP")):
        picture.convert("RGB").save(folder / name, format)
    (folder / "e.svg").write_bytes(b"<svg/>")
    assert run(folder, "--out", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert rows["id"].to_list() == sorted(path.name for path in folder.iterdir() if path.suffix != ".svg")
    vectors = unit_length(vectors_of(rows))
    assert (vectors @ vectors.T).min() > 0.98
