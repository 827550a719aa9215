"""The route to the pictures themselves: what the store lists, below its roots, and nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ..support.server_process import ServerProcess
from .conftest import SAMPLES

pytestmark = pytest.mark.process
ODD = [b"new\nline.png", b"\xff\xfe \x01.png", b"a" * 240 + b".png", b"quo\"te's; x=.png", "père 😀.png".encode()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    photos, secret = home / "photos", home / "secret"
    for folder in (photos / "in", photos / "swapped", secret):
        folder.mkdir(parents=True)
    for name in ("in/cat.png", "swapped/fox.png", "file.png", "fifo.png", "text.png", "grows.png"):
        shutil.copy(SAMPLES / "cat.png", photos / name)
    for odd in ODD:
        shutil.copy(SAMPLES / "cat.png", os.fsencode(photos) + b"/" + odd)
    shutil.copy(SAMPLES / "pizza.png", secret / "fox.png")
    (photos / "inside.png").symlink_to(photos / "in" / "cat.png")
    (photos / "out.png").symlink_to(secret / "fox.png")
    (photos / "away").symlink_to(secret)
    (photos / "t.csv").write_text(f"file\nin/cat.png\n{secret / 'fox.png'}\n")
    return home


@pytest.fixture
def server(home: Path, index) -> Iterator[ServerProcess]:
    index(home / "photos", store=home / "s.lance")
    index(home / "photos" / "t.csv", "--path-column", "file", store=home / "s.lance")
    with ServerProcess(MODEL_NAME="emoji", PRECISION="fp32", STORE=home / "s.lance") as server:
        yield server


def test_only_what_lies_below_its_root_is_shown(server: ServerProcess, home: Path):
    def full(id: str) -> tuple[int, str, bytes]:
        answer = server.http.get(f"/items/{quote(id, safe='')}/file")
        return answer.status_code, answer.headers["content-type"], answer.content

    photos = home / "photos"
    cat = (SAMPLES / "cat.png").read_bytes()
    rows = server.http.post("/search", json={"text": "a cat", "k": 100}).json()["results"]
    by_name = {row["name"]: row for row in rows}
    assert {"out.png", "inside.png"} <= by_name.keys()
    assert full("inside.png") == full("in/cat.png") == full("t.csv:1") == (200, "image/png", cat)
    for id in ("out.png", "away/fox.png", "t.csv:2"):
        status, _, content = full(id)
        assert status == 404, id
        assert b"lies outside its root" in content
        assert server.http.get(f"/items/{quote(id, safe='')}/thumbnail").status_code == 200  # small, as it was indexed

    shutil.rmtree(photos / "swapped")
    (photos / "swapped").symlink_to(home / "secret")
    assert full("swapped/fox.png")[0] == 404
    (photos / "file.png").unlink()
    (photos / "file.png").symlink_to("/etc/passwd")
    assert full("file.png")[0] == 404
    (photos / "fifo.png").unlink()
    os.mkfifo(photos / "fifo.png")
    started = time.monotonic()
    assert full("fifo.png")[0] == 404
    assert time.monotonic() - started < 10
    for content in (b"", b"BM is how this note begins", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>"):
        (photos / "text.png").write_bytes(content)
        assert full("text.png")[0] == 404
    (photos / "text.png").unlink()
    (photos / "text.png").mkdir()
    assert full("text.png")[0] == 404


def test_names_of_any_bytes(server: ServerProcess):
    rows = server.http.post("/search", json={"text": "a cat", "k": 100}).json()["results"]
    ids = {row["id"] for row in rows if row["folder"] == "photos"}
    names = ["new\nline.png", "\\xff\\xfe \x01.png", "a" * 240 + ".png", "quo\"te's; x=.png", "père 😀.png"]
    assert set(names) <= ids
    for id in names:
        for what in ("thumbnail", "file"):
            answer = server.http.get(f"/items/{quote(id, safe='')}/{what}")
            assert answer.status_code == 200, (id, what)
        disposition = answer.headers["content-disposition"]
        assert disposition == f"inline; filename*=UTF-8''{quote(id, safe='')}"


def test_a_file_that_is_gone_or_grows(server: ServerProcess, home: Path):
    with (home / "photos" / "grows.png").open("ab") as file:
        file.write(bytes(10_000_000))
    answer = server.http.get("/items/grows.png/file")
    assert len(answer.content) == (home / "photos" / "grows.png").stat().st_size
    (home / "photos" / "grows.png").unlink()
    assert server.http.get("/items/grows.png/file").status_code == 404
    for _ in range(3):
        with server.http.stream("GET", "/items/in%2Fcat.png/file") as stream:
            next(stream.iter_raw(), None)  # and then the client leaves
    assert server.http.get("/health").status_code == 200


def test_with_a_key_nothing_is_shown_without_it(home: Path):
    with ServerProcess(MODEL_NAME="emoji", PRECISION="fp32", STORE=home / "s.lance", API_KEY="k") as server:
        for path in ("/search", "/items/in%2Fcat.png/file", "/items/in%2Fcat.png/thumbnail"):
            assert server.http.get(path).status_code == 401
            assert server.http.get(path, headers={"Authorization": "Bearer k"}).status_code == 200


def test_an_edited_photo_is_seen_at_once(server: ServerProcess, home: Path):
    photo = home / "photos" / "in" / "cat.png"
    for what in ("thumbnail", "file"):
        address = f"/items/in%2Fcat.png/{what}"
        before = server.http.get(address)
        assert before.headers["cache-control"] == "private, no-cache"
        known = {"If-None-Match": before.headers["etag"]}
        again = server.http.get(address, headers=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", before.headers["etag"])
        state = photo.stat()
        photo.write_bytes((SAMPLES / "pizza.png").read_bytes().ljust(state.st_size, b"\0")[: state.st_size])
        os.utime(photo, ns=(state.st_atime_ns, state.st_mtime_ns))
        after = server.http.get(address, headers=known)
        assert after.status_code == 200
        assert after.content != before.content
        shutil.copy(SAMPLES / "cat.png", photo)
