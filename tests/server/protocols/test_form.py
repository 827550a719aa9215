"""POST /embeddings with a form: files as they are, and the same answer as for JSON."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ...conftest import Encode
from ...support.server_process import ServerProcess
from .test_native import CANARY, assert_clear_error, b64, vectors


def sent(server: ServerProcess, *parts: tuple[str, Any], **options: Any) -> Any:
    return server.http.post("/embeddings", files=list(parts), **options)


def text(value: str) -> tuple[None, str]:
    return (None, value)


def file(data: bytes, name: str = "a.jpg") -> tuple[str, bytes]:
    return (name, data)


def test_the_answer_is_that_of_json(server, photo: Encode):
    cat, coffee = photo("chelsea", size=(60, 40)), photo("coffee", "PNG", size=(60, 40))
    expected = vectors(server, text=["a cat", "Übergröße 👟"], image=[b64(cat), b64(coffee)], normalize=True)
    answer = sent(
        server, ("image", file(cat)), ("text", text("a cat")), ("normalize", text("true")), ("image", file(coffee)),
        ("text", text("Übergröße 👟")), ("other", text("x")), ("other", file(b"x")),
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"model", "device", "embeddings", "duration"}
    np.testing.assert_allclose(answer.json()["embeddings"], expected, atol=1e-6)
    assert answer.headers["X-Model-Fingerprint"]


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_one_image(server, photo: Encode, field: str):
    data = photo(size=(50, 50))
    answer = sent(server, (field, file(data)))
    np.testing.assert_allclose(answer.json()["embeddings"], vectors(server, image=b64(data)), atol=1e-6)


def test_an_image_as_base64_and_a_text_as_a_file(server, photo: Encode):
    data = photo(size=(50, 50))
    answer = sent(server, ("image", text(b64(data))), ("text", file("a cät".encode(), "a.txt")))
    expected = vectors(server, text="a cät", image=b64(data))
    np.testing.assert_allclose(answer.json()["embeddings"], expected, atol=1e-6)


def test_octets_come_back_too(server, photo: Encode):
    data = photo(size=(50, 50))
    answer = sent(server, ("image", file(data)), headers={"Accept": "application/octet-stream"})
    found = np.frombuffer(answer.content, "<f4").reshape(1, 16)
    np.testing.assert_allclose(found, vectors(server, image=b64(data)), atol=1e-6)


def test_a_file_field_that_was_left_empty_is_no_image(server):
    answer = server.http.post(
        "/embeddings",
        content=b'--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n\r\n'
        b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na cat\r\n--x--\r\n',
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert len(answer.json()["embeddings"]) == 1


@pytest.mark.parametrize(
    ("parts", "status", "param"),
    [
        ([("other", text("a"))], 422, None),
        ([("image", file(b""))], 422, "image"),
        ([("image", file(CANARY.encode()))], 422, "image"),
        ([("text", text("a")), ("image", file(b"x")), ("image", file(b"x"))], 422, "image[0]"),
        ([("image", text(CANARY + "!"))], 422, "image"),
        ([("text", file(b"\xff\xfe"))], 422, "text"),
        ([("text", text("a")), ("normalize", text(CANARY))], 422, "normalize"),
        ([("text", text("a")), ("model", text("none"))], 404, "model"),
        ([("text", text("a"))] * 9, 413, None),
        ([("image", file(b"x"))] * 9, 413, None),
        ([("image", file(b"x"))] * 30, 413, "body"),
        ([("text", text("a"))] * 30, 413, "body"),
        ([("text", text("a" * 100_001))], 413, "text"),
    ],
)
def test_a_wrong_form(server, parts: list[tuple[str, Any]], status: int, param: str | None):
    assert_clear_error(sent(server, *parts), status, param)


def test_forms_that_are_none(server):
    for headers, status in (
        ({"Content-Type": "multipart/form-data"}, 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 400),
        ({"Content-Type": "multipart/mixed; boundary=x"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"}, 415),
    ):
        response = server.http.post("/embeddings", content=b"nothing at all", headers=headers)
        assert response.status_code == status, response.text
    large = sent(server, ("image", file(bytes(4_100_000))))
    assert_clear_error(large, 413, "body")


@pytest.mark.process
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_s_form(server: ServerProcess, photo: Encode, tmp_path: Path):
    (tmp_path / "a photo.jpg").write_bytes(photo(size=(50, 50)))
    command = [
        "curl",
        "-sS",
        f"{server.http.base_url}/embeddings",
        "-F",
        "text=a cat",
        "-F",
        f"image=@{tmp_path / 'a photo.jpg'}",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert answer.count("[") == 3, answer


def test_a_form_that_was_cut_is_refused(server: ServerProcess):
    part = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
    content = part + b"a cat\r\n" + part + b"a d"
    answer = server.http.post(
        "/embeddings", content=content, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert_clear_error(answer, 400, "body")
    assert "ends before" in answer.json()["error"]["message"]
