"""index keeps a store in step with its sources, whatever happens to them between two runs."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from filelock import FileLock
from PIL import Image

from openclip_api.errors import InvalidSource, InvalidStore, MissingSource
from openclip_api.runtime.embedder import Embedder
from openclip_api.search.store import Store

from .conftest import SAMPLES

CAT, PIZZA, ROCKET = (SAMPLES / f"{name}.png" for name in ("cat", "pizza", "rocket"))


def rows(store: Path, *columns: str) -> list[tuple]:
    table = Store(store).columns(columns or ("path",))
    return sorted(map(tuple, zip(*(table[name].to_pylist() for name in table.column_names), strict=True)), key=str)


def last(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "s.lance"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for picture in (CAT, PIZZA, ROCKET):
        shutil.copy(picture, folder)
    return folder


@pytest.fixture
def embedded(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was given to the embedder."""
    given: list[bytes] = []
    submit = type(embedder).submit_blocking

    def counted(self: Embedder, kind: str, content: bytes):
        given.append(content)
        return submit(self, kind, content)

    monkeypatch.setattr(type(embedder), "submit_blocking", counted)
    return given


def test_two_folders_with_equal_names_are_both_there(tmp_path: Path, store: Path, index, capsys):
    for year, picture in ((2023, CAT), (2024, PIZZA)):
        (tmp_path / str(year)).mkdir()
        shutil.copy(picture, tmp_path / str(year) / "IMG_0001.png")
    assert index(tmp_path / "2023", store=store) == 0
    assert index(tmp_path / "2024", store=store) == 0
    assert index(tmp_path / "2023", tmp_path / "2024", store=store) == 0
    assert last(capsys) == "2 images: 2 unchanged"
    (first, second), roots = zip(*rows(store, "id", "root"), strict=True)
    assert first == "IMG_0001.png"
    assert second.startswith("IMG_0001.png~")
    assert roots == (str(tmp_path / "2023"), str(tmp_path / "2024"))


@pytest.mark.parametrize(
    "spelled", ["{}/2021", "{}/./2021/", "{}/2021/*.png", "{}/*/cat.png", "{}/2021/cat.png", "{}/x"]
)
def test_a_picture_has_one_row_however_its_source_is_spelled(
    tmp_path: Path, store: Path, index, capsys, embedded: list[bytes], spelled: str
):
    (tmp_path / "photos" / "2021").mkdir(parents=True)
    shutil.copy(CAT, tmp_path / "photos" / "2021")
    (tmp_path / "photos" / "x").symlink_to("2021")
    other = spelled.format(tmp_path / "photos")
    (tmp_path / "photos" / "x").unlink() if not spelled.endswith("x") else None
    index(other, store=store)
    assert index(tmp_path / "photos", "--exclude", "/x", store=store) == 0
    assert rows(store, "root", "path") == [(str(tmp_path / "photos"), "2021/cat.png")]
    assert len(embedded) == 1
    index(other, store=store)
    assert last(capsys) == "1 image: 1 unchanged"
    assert len(embedded) == 1


def test_the_store_follows_the_folder(photos: Path, store: Path, index, capsys, embedded: list[bytes]):
    assert index(photos, store=store) == 0
    assert last(capsys) == "3 images: 3 new"
    embedded.clear()
    assert index(photos, store=store) == 0
    assert (last(capsys), embedded) == ("3 images: 3 unchanged", [])

    (photos / "sub").mkdir()
    (photos / "cat.png").rename(photos / "sub" / "tom.png")
    (photos / "pizza.png").unlink()
    shutil.copy(SAMPLES / "guitar.png", photos / "rocket.png")
    shutil.copy(ROCKET, photos / "lock.png")
    assert index(photos, store=store) == 0
    assert last(capsys) == "3 images: 1 new, 1 changed, 1 renamed, 1 removed"
    assert [id for id, _ in rows(store, "id", "path")] == ["lock.png", "rocket.png", "sub/tom.png"]
    assert embedded == [(SAMPLES / "guitar.png").read_bytes()]

    os.utime(photos / "rocket.png")
    assert index(photos, store=store) == 0
    assert last(capsys) == "3 images: 3 unchanged"
    assert len(embedded) == 1


def test_files_that_change_their_names_have_their_own_vectors(photos: Path, store: Path, index, search, capsys):
    index(photos, store=store)
    (photos / "cat.png").rename(photos / "x")
    (photos / "pizza.png").rename(photos / "cat.png")
    (photos / "x").rename(photos / "pizza.png")
    os.utime(photos / "cat.png", ns=(1, 1))
    os.utime(photos / "pizza.png", ns=(2, 2))
    index(photos, store=store)
    capsys.readouterr()
    search("--image", CAT, "--k", 1, "--json", store=store)
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], round(found["score"], 4)) == ("pizza.png", 1)


def test_what_is_missing_or_suddenly_empty_removes_nothing(photos: Path, store: Path, index, capsys):
    index(photos, store=store)
    photos.rename(photos.with_name("elsewhere"))
    assert index(photos, store=store) == 1
    assert "missing or empty, so its 3 rows are kept" in capsys.readouterr().err
    photos.mkdir()
    assert index(photos, store=store) == 1
    assert "its 3 rows are kept" in capsys.readouterr().err
    assert len(rows(store)) == 3
    assert index("--forget", photos, store=store) == 0
    assert rows(store) == []
    with pytest.raises(InvalidSource, match="nothing to embed in it"):
        index(photos, store=store)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_part_that_nobody_can_look_into_keeps_its_rows(
    photos: Path, store: Path, index, capsys, kind: str, monkeypatch
):
    usb = photos.with_name("usb")
    usb.mkdir()
    shutil.copy(SAMPLES / "guitar.png", usb)
    (photos / "usb").symlink_to(usb)
    index(photos, store=store)
    if kind == "link":
        usb.rename(usb.with_name("gone"))
    else:
        scandir = os.scandir

        def refusing(path: str):
            if str(path).endswith("usb"):
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)
    assert index(photos, store=store) == 3
    assert last(capsys) == "4 images: 3 unchanged, 1 missing but kept, 1 could not be read"
    assert "usb/guitar.png" in [path for (path,) in rows(store)]
    monkeypatch.undo()
    if kind == "link":
        usb.with_name("gone").rename(usb)
    assert index(photos, store=store) == 0
    assert len(rows(store)) == 4


def test_keep_missing_removes_nothing(photos: Path, store: Path, index, capsys):
    index(photos, store=store)
    (photos / "cat.png").unlink()
    assert index(photos, "--keep-missing", store=store) == 0
    assert last(capsys) == "2 images: 2 unchanged, 1 missing but kept"
    index(photos, store=store)
    assert last(capsys) == "2 images: 1 removed, 2 unchanged"


def test_what_is_left_out_and_what_failed_is_told(photos: Path, store: Path, index, capsys):
    for name in ("a.svg", "b.SVG", "c.mov", ".hidden.png", "._cat.png", "Thumbs.db", "noname"):
        (photos / name).write_bytes(b"x")
    for folder in (".thumbnails", "@eaDir", ".Trash-1000", "raw"):
        (photos / folder).mkdir()
        shutil.copy(CAT, photos / folder)
    (photos / "broken.jpg").write_bytes(b"x")
    assert index(photos, "--exclude", "raw/", store=store) == 3
    left_out = "11 left out (6 hidden, 2 .svg, 1 .mov, 1 excluded, 1 without suffix)"
    assert sorted(last(capsys)) == sorted(
        f"4 images: 3 new, 1 could not be read, {left_out}"
    )  # equal counts, any order
    assert index("--failures", store=store) == 0
    assert capsys.readouterr().out.startswith(f"{photos}/broken.jpg: not a JPEG, PNG, WebP, GIF")
    assert index("--failures", "--json", store=store) == 0
    assert json.loads(capsys.readouterr().out)["path"] == f"{photos}/broken.jpg"
    assert index(photos, "--hidden", store=store) == 3
    paths = [path for (path,) in rows(store)]
    assert {"raw/cat.png", ".thumbnails/cat.png", "@eaDir/cat.png", ".Trash-1000/cat.png"} < set(paths)
    assert index("--roots", store=store) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{photos}: 10 items, 3 could not be read"


def test_what_failed_is_tried_again_when_it_changes_or_is_asked_for(photos: Path, store: Path, index, embedded, capsys):
    broken = photos / "broken.png"
    broken.write_bytes(CAT.read_bytes()[:200])
    assert index(photos, store=store) == 3
    embedded.clear()
    assert index(photos, store=store) == 3
    assert embedded == []
    assert index(photos, "--retry-failed", store=store) == 3
    assert len(embedded) == 1
    broken.write_bytes(CAT.read_bytes())
    assert index(photos, store=store) == 0
    assert last(capsys) == "4 images: 1 changed, 3 unchanged"


def test_names_of_any_bytes(photos: Path, store: Path, index, capsys):
    for name in (b"new\nline.png", b"f\xff.png", rb"f\xff.png", "ü😀.png".encode()):
        shutil.copy(CAT, os.fsdecode(os.fsencode(photos) + b"/" + name))
    assert index(photos, store=store) == 0
    assert index(photos, store=store) == 0
    assert last(capsys) == "7 images: 7 unchanged"
    ids = [id for (id,) in rows(store, "id")]
    assert len(set(ids)) == 7
    opened = Store(store)
    assert {os.fsencode(opened.path_of(id)) for id in ids} == {os.fsencode(str(path)) for path in photos.iterdir()}


def test_a_file_that_grows_while_it_is_read_is_read_again(photos: Path, store: Path, index, monkeypatch, capsys):
    from openclip_api.search import contents

    read = contents.read_file_and_state

    def growing(path: str, most: int):
        content = read(path, most)
        if path.endswith("cat.png"):
            with Path(path).open("ab") as file:
                file.write(b"more")
        return content

    monkeypatch.setattr(contents, "read_file_and_state", growing)
    index(photos, store=store)
    monkeypatch.undo()
    index(photos, store=store)
    assert last(capsys) == "3 images: 1 changed, 2 unchanged"


def test_rows_of_tables_and_archives_follow_too(tmp_path: Path, store: Path, index, capsys, embedded):
    table, archive = tmp_path / "t.csv", tmp_path / "a.tar"
    table.write_text("sku,title,price\n1,a cat,5\n2,a dog,6\n2,again,7\n")
    with tarfile.open(archive, "w") as tar:
        for name in ("x.png", "y.jpg"):
            data = io.BytesIO()
            Image.open(CAT if name == "x.png" else PIZZA).convert("RGB").save(data, name[2:].replace("jpg", "jpeg"))
            info = tarfile.TarInfo(name)
            info.size = data.tell()
            data.seek(0)
            tar.addfile(info, data)
    options = ["--text-column", "title", "--id-column", "sku", "--keep", "price"]
    assert index(table, *options, store=store) == 0
    assert last(capsys) == "2 items: 2 new, 1 with the id of an earlier one"
    assert index(archive, store=store) == 0
    assert rows(store, "id", "price") == [("1", 5), ("2", 6), ("x", None), ("y", None)]
    embedded.clear()
    table.write_text("sku,title,price\n0,a bird,4\n1,a cat,55\n")
    assert index(table, *options, store=store) == 0
    assert last(capsys) == "2 items: 1 new, 1 changed, 1 removed"
    assert embedded == ["a bird"]
    assert rows(store, "id", "price") == [("0", 4), ("1", 55), ("x", None), ("y", None)]


def test_a_damaged_archive_is_named_and_keeps_its_rows(tmp_path: Path, store: Path, index, capsys, photos: Path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for picture in (CAT, PIZZA, ROCKET):
            tar.add(picture, picture.name)
    index(archive, store=store)
    os.truncate(archive, 9000)
    capsys.readouterr()
    assert index(archive, photos, store=store) == 3
    assert capsys.readouterr() == (
        "5 items: 3 new, 1 unchanged, 2 missing but kept, 1 could not be read\n",
        "",
    )
    assert len(rows(store)) == 3 + 3 + 1
    index("--failures", store=store)
    assert capsys.readouterr().out == f"{archive} a.tar: the archive cannot be read to its end\n"


def test_a_store_of_an_older_layout_or_another_model_is_refused(photos: Path, store: Path, index, tmp_path: Path):
    import lancedb

    schema = pa.schema([("id", pa.string()), ("path", pa.string()), ("vector", pa.list_(pa.float32(), 2))])
    facts = {"openclip.model": "m", "openclip.fingerprint": "f"}
    lancedb.connect(tmp_path).create_table("old", schema=schema.with_metadata(facts))
    with pytest.raises(InvalidStore, match="made by an older version; index the sources again, into a new store"):
        index(photos, store=tmp_path / "old.lance")
    index(photos, store=store)
    with pytest.raises(InvalidStore, match=r"a store's name ends in .lance: --store .*photos2.lance"):
        index(photos, store=tmp_path / "photos2")
    assert not (tmp_path / "photos2").exists()


def test_nothing_is_left_behind_where_nothing_came_of_it(tmp_path: Path, store: Path, index):
    with pytest.raises(MissingSource, match="no such file or folder"):
        index(tmp_path / "nope", store=store)
    with pytest.raises(InvalidSource, match="a SOURCE is empty"):
        index("", store=store)
    assert not store.exists()
    store.mkdir()
    (store / "thesis.docx").write_text("years of work")
    with pytest.raises(InvalidStore, match=r"holds 'thesis.docx' and is no store"):
        index(SAMPLES, store=store)


def test_a_creation_that_was_cut_off_is_no_obstacle(photos: Path, store: Path, index):
    (store / "_transactions").mkdir(parents=True)
    (store / ".lock").touch()
    assert index(photos, store=store) == 0
    assert len(rows(store)) == 3


def test_rows_that_a_move_left_twice_are_there_once(tmp_path: Path, store: Path, index, monkeypatch, embedded):
    (tmp_path / "photos" / "2021").mkdir(parents=True)
    shutil.copy(CAT, tmp_path / "photos" / "2021")
    index(tmp_path / "photos" / "2021", store=store)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", lambda self, ids: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index(tmp_path / "photos", store=store)
    assert len(rows(store)) == 2
    assert index(tmp_path / "photos", store=store) == 0
    assert rows(store, "id") == [("2021/cat.png",)]
    assert len(embedded) == 1


def test_delete_takes_patterns(photos: Path, store: Path, index, capsys):
    (photos / "2021").mkdir()
    shutil.copy(CAT, photos / "2021" / "[a].png")
    index(photos, store=store)
    assert index("--delete", "2021/*", store=store) == 0
    assert last(capsys) == "1 rows removed, 3 left"
    assert index("--delete", "2021/*", store=store) == 1


def test_exif_and_file_times_are_columns(photos: Path, store: Path, index):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "2020:02:03 04:05:06"
    Image.open(CAT).convert("RGB").save(photos / "taken.jpg", exif=exif)
    os.utime(photos / "taken.jpg", (10, 20))
    index(photos, store=store)
    found = {
        path: (str(taken), modified.timestamp()) for path, taken, modified in rows(store, "path", "taken", "modified")
    }
    assert found["taken.jpg"] == ("2020-02-03 04:05:06", 20)
    assert found["cat.png"][0] == "None"


def test_a_copy_of_a_vector_is_the_vector(photos: Path, store: Path, index, embedder: Embedder):
    index(photos, store=store)
    (photos / "cat.png").rename(photos / "tom.png")
    index(photos, store=store)
    table = Store(store).columns(["path", "vector", "width"]).to_pylist()
    vectors = {row["path"]: row["vector"] for row in table}
    assert {row["width"] for row in table} == {160}
    for name, picture in (("tom.png", CAT), ("rocket.png", ROCKET)):
        expected = embedder.embed_images([picture.read_bytes()], normalize=True)[0]
        np.testing.assert_allclose(vectors[name], expected, atol=1e-5)


def test_the_lock_is_told_of(photos: Path, store: Path, index, capsys):
    index(photos, store=store)
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(store / ".lock"):
            taken.set()
            leave.wait(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    assert index(photos, store=store) == 0
    holder.join()
    assert "another openclip-api index is using it; waiting until that one ends" in capsys.readouterr().err


def test_a_pattern_through_a_link_to_a_folder(photos: Path, store: Path, index, capsys):
    (photos / "2021").symlink_to(photos.parent / "disk", target_is_directory=True)
    (photos.parent / "disk").mkdir()
    shutil.copy(CAT, photos.parent / "disk")
    for expected in ("1 image: 1 new", "1 image: 1 unchanged"):
        index(str(photos / "*" / "*.png"), store=store)
        assert last(capsys) == expected
    (photos / "2021" / "cat.png").unlink()
    shutil.copy(PIZZA, photos / "2021")
    index(str(photos / "*" / "*.png"), store=store)
    assert last(capsys) == "1 image: 1 new, 1 removed"


def test_a_change_that_keeps_size_and_time_is_seen(photos: Path, store: Path, index, capsys):
    """As of exiftool -P, or rsync -t of a file of the same size."""
    index(photos, store=store)
    state = (photos / "cat.png").stat()
    (photos / "cat.png").write_bytes(CAT.read_bytes()[: state.st_size - 8] + b"changed!")
    os.utime(photos / "cat.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    index(photos, store=store)
    assert last(capsys) == "3 images: 1 changed, 2 unchanged"


def test_a_store_that_holds_failures_alone_follows_too(photos: Path, store: Path, index, capsys):
    for path in photos.iterdir():
        path.write_bytes(b"x")
    assert index(photos, store=store) == 3
    (photos / "cat.png").unlink()
    assert index(photos, store=store) == 3
    assert last(capsys) == "2 images: 1 removed, 2 could not be read"
    index("--roots", store=store)
    assert last(capsys) == f"{photos}: 2 items, 2 could not be read"


def test_a_part_of_the_sources_given_by_another_name_is_the_same_part(tmp_path: Path, store: Path, index, capsys):
    """A link below the root, a pattern through it, and a table by a link to it."""
    photos, other = tmp_path / "photos", tmp_path / "other"
    for folder, picture in ((photos, CAT), (other, PIZZA)):
        folder.mkdir()
        shutil.copy(picture, folder)
    (photos / "link").symlink_to(other)
    index(photos, store=store)
    for source in (photos / "link", f"{photos}/link/*.png", f"{photos}/*/*.png", f"{photos}/link/../other"):
        index(source, store=store)
        assert last(capsys) == f"1 image: 1 {'new' if str(source).endswith('other') else 'unchanged'}"
    assert rows(store, "root", "path") == [
        (str(other), "pizza.png"),
        (str(photos), "cat.png"),
        (str(photos), "link/pizza.png"),
    ]
    (tmp_path / "t.csv").write_text("sku,title\n1,a cat\n")
    (tmp_path / "l.csv").symlink_to("t.csv")
    for spelled, expected in (
        ("l.csv", "new"),
        ("l.csv", "unchanged"),
        ("t.csv", "unchanged"),
        ("./t.csv", "unchanged"),
    ):
        index(f"{tmp_path}/{spelled}", "--text-column", "title", "--id-column", "sku", store=store)
        assert last(capsys) == f"1 item: 1 {expected}"


def test_a_link_back_is_a_loop_wherever_the_look_begins(tmp_path: Path, store: Path, index, capsys):
    inner = tmp_path / "photos" / "2021"
    inner.mkdir(parents=True)
    shutil.copy(CAT, inner)
    (inner / "up").symlink_to("..")
    assert index(tmp_path / "photos", store=store) == 3
    assert index(inner, store=store) == 3
    assert last(capsys) == "2 images: 1 unchanged, 1 could not be read"
    assert len(rows(store)) == 2


def test_forget_takes_a_part_of_a_root(photos: Path, store: Path, index, capsys):
    for name in ("2021", "20212"):
        (photos / name).mkdir()
        shutil.copy(SAMPLES / "guitar.png", photos / name)
    index(photos, store=store)
    assert index("--forget", f"{photos}/2021/", store=store) == 0
    assert "2021/: 1 rows removed" in capsys.readouterr().out
    assert ("20212/guitar.png",) in rows(store)
    assert index("--forget", photos / "cat.png", "--forget", photos, store=store) == 0
    assert rows(store) == []


def test_what_the_command_itself_leaves_out_is_removed(photos: Path, store: Path, index, capsys):
    index(photos, store=store)
    assert index(photos, "--exclude", "*.png", store=store) == 0
    assert last(capsys) == "0 images: 3 removed, 3 left out (3 excluded)"


def test_a_file_that_nobody_may_open_is_found_as_it_was(
    photos: Path, store: Path, index, capsys, monkeypatch, embedded
):
    from openclip_api.search import contents

    index(photos, store=store)
    read = contents.read_file_and_state

    def refusing(path: str, most: int):
        if path.endswith("cat.png"):
            raise PermissionError(13, "Permission denied")
        return read(path, most)

    monkeypatch.setattr(contents, "read_file_and_state", refusing)
    (photos / "cat.png").chmod(0)
    for _ in range(2):
        assert index(photos, store=store) == 3
        assert last(capsys) == "3 images: 2 unchanged, 1 could not be read"
        assert len(Store(store)) == 3
    index("--failures", store=store)
    assert last(capsys) == f"{photos}/cat.png: Permission denied"
    monkeypatch.undo()
    (photos / "cat.png").chmod(0o644)
    assert index(photos, store=store) == 0
    assert last(capsys) == "3 images: 3 unchanged"
    assert rows(store, "error") == [(None,)] * 3


def test_a_disk_below_the_root_that_is_away_keeps_its_rows(photos: Path, store: Path, index, capsys):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        if Path(disk).stat().st_dev == photos.stat().st_dev:
            pytest.skip("one disk only")
        usb = photos / "usb"
        usb.symlink_to(disk)  # as if it was mounted there
        for name in ("guitar.png", "hammer.png"):
            shutil.copy(SAMPLES / name, disk)
        index(f"{photos}/*/*.png", photos, store=store)
        (usb / "hammer.png").unlink()
        assert index(photos, store=store) == 0
        assert last(capsys) == "4 images: 1 removed, 4 unchanged"
        usb.unlink()
        usb.mkdir()
        for there in (usb, photos):  # some systems remove the folder where it was
            assert index(photos, store=store) == 1
            out, err = capsys.readouterr()
            assert out == "3 images: 3 unchanged, 1 missing but kept\n"
            assert f"{there}: its disk is not mounted, so its 1 rows are kept" in err
            if there == usb:
                usb.rmdir()
        usb.symlink_to(disk)
        assert index(photos, store=store) == 0
        assert last(capsys) == "4 images: 4 unchanged"
