"""Whatever a client sends, it soon gets a clear answer, and the process, its vectors and its memory stay the same.

This file has bodies of JSON, base64 and images. Odd HTTP is in test_connection.py, keys are in test_auth.py, URLs in
tests/fetch; test_native.py has what needs the model's own vectors.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ...support import bad_images
from ...support.server_process import ServerProcess

pytestmark = pytest.mark.process

LIMITS = {
    "MAX_TEXTS": 8,
    "MAX_ITEMS": 8,
    "MAX_BODY_MB": 12,
    "MAX_IMAGE_MEGAPIXELS": 2,
    "PRECISION": "fp32",
    "TEXT_CACHE_MB": 0,
}
BAD = {400, 413, 422}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module", params=["thread", "process"])
def server(request: pytest.FixtureRequest, tiny: Path) -> Iterator[ServerProcess]:
    with ServerProcess(MODEL_NAME=f"local-dir:{tiny}", DECODE=request.param, **LIMITS) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output
        assert "internal_error" not in process.output


@pytest.fixture(scope="module")
def vector(server: ServerProcess) -> list[float]:
    for _ in range(20):  # what it takes once it has taken
        server.http.post("/embeddings", json={"text": "a", "image": b64(bad_images.JPEG)})
    return server.http.post("/embeddings", json={"text": "the same as ever"}).json()["embeddings"]


def resident_mb(server: ServerProcess) -> float:
    text = server.http.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("process_resident_memory_bytes")]
    return float(lines[0].split()[1]) / 1e6 if lines else 0


def ask(server: ServerProcess, vector: Any, expected: set[int], seconds: float = 2, **request: Any) -> httpx.Response:
    """Send it and check what must hold for each. It may take ten times `seconds`, since the machine may be busy."""
    before, started = resident_mb(server), time.monotonic()
    answer = server.http.post("/embeddings", **request)
    assert time.monotonic() - started < 10 * seconds
    assert answer.status_code in expected, answer.text[:300]
    if answer.status_code != 200:
        assert len(answer.content) < 4096
        assert set(answer.json()["error"]) == {"type", "message", "param"}
    else:
        assert np.isfinite(answer.json()["embeddings"]).all()
        assert np.abs(answer.json()["embeddings"]).max(axis=1).min() > 0
    assert server.process.poll() is None
    assert server.http.post("/embeddings", json={"text": "the same as ever"}).json()["embeddings"] == vector
    assert resident_mb(server) < before + 50
    return answer


def deep(opening: str, count: int = 100_000) -> bytes:
    return (opening * count).encode()


BODIES: list[tuple[str, bytes, set[int]]] = [
    ("empty", b"", {400}),
    *[("cut, or not JSON", text, {400}) for text in (b"{", b'{"text": "a",}', b"{'text': 'a'}", b'{"text" "a"}')],
    ("two documents", b'{"text": "a"}{"text": "b"}', {400}),
    *[("no object", text, {422}) for text in (b"[]", b'"x"', b"null", b"1", b"true")],
    ("0xFF", b'{"text": "\xff"}', {400}),
    ("UTF-16", '{"text": "a"}'.encode("utf-16"), {400}),
    ("a byte order mark", b'\xef\xbb\xbf{"text": "a"}', {200}),
    *[("deep", deep(opening), {400}) for opening in ("[", '{"a":', '{"text":[')],
    ("deep and closed", b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {400}),
    ("200,000 unknown keys", json.dumps({f"k{i}": i for i in range(200_000)} | {"text": "a"}).encode(), {413}),
    ("5,000 unknown keys", json.dumps({f"k{i}": i for i in range(5_000)} | {"text": "a"}).encode(), {200}),
    ("a key twice: the last counts", b'{"text": 1, "text": "a"}', {200}),
    *[("no number of JSON's", b'{"text": %s}' % text, BAD) for text in (b"NaN", b"Infinity", b"-Infinity")],
    *[("huge numbers", b'{"text": %s}' % text, BAD) for text in (b"1e999", b"9" * 5000, b"-" + b"9" * 5000)],
    ("a huge number in a key that is ignored", b'{"text": "a", "x": %s}' % (b"9" * 5000), {200, 400}),
    *[("no text", b'{"text": %s}' % text, {422}) for text in (b"null", b"{}", b"true", b"3.14")],
    ("no texts", b'{"text": []}', {422}),
    *[("an empty text is a text", b'{"text": %s}' % text, {200}) for text in (b'""', b'[""]', b'" \\t\\n"')],
    *[("not all are texts", b'{"text": ["a", %s]}' % text, {422}) for text in (b"null", b"3", b'["b"]', b"{}")],
    *[("token ids", b'{"text": %s}' % text, {422}) for text in (b"[1, 2, 3]", b"[[1, 2]]", b"[-1]")],
    ("one too many", json.dumps({"text": ["a"] * 9}).encode(), {413}),
    ("a million", json.dumps({"text": ["a"] * 1_000_000}).encode(), {413}),
    *[
        ("a text beyond all use", json.dumps({"text": text}, ensure_ascii=False).encode(), {413})
        for text in ("a " * 5_000_000, "x" * 1_000_000, "😀" * 1_000_000, "\u0301" * 1_000_000)
    ],
    *[
        ("a long text", json.dumps({"text": text}, ensure_ascii=False).encode(), {200})
        for text in ("x" * 99_999, "😀" * 99_999, "e" + "\u0301" * 99_998, "a " * 49_999, "&amp;" * 19_999)
    ],
    *[("NUL", b'{"text": "%s"}' % text, {200}) for text in (b"\\u0000", b"a\\u0000b")],
    *[("half a character", b'{"text": %s}' % text, BAD) for text in (b'"\\ud800"', b'["a", "\\udc00"]')],
    ("half a character where a list is wanted", b'{"image": ["\\ud800"]}', BAD),
    ("half a character as a key", b'{"\\ud800": 1, "text": "a"}', {200, 400}),
    ("directions and invisible ones", '{"text": "\u202e\u200b\ue000\ufffe\u0378"}'.encode(), {200}),
    *[("special tokens", b'{"text": "<%s> a"}' % text, {200}) for text in (b"start_of_text", b"end_of_text")],
    *[
        ("another model", json.dumps({"text": "a", "model": model}).encode(), {404})
        for model in ("nope", "", "../../etc/passwd", "http://127.0.0.1/", "x" * 1_000_000, "hf-hub:a/b")
    ],
    ("fields of no use", b'{"text": "a", "user": "%s", "__class__": 1, "__proto__": {}}' % (b"u" * 10**6), {200}),
    ("neither", b"{}", {422}),
    *[("no boolean", b'{"text": "a", "normalize": %s}' % text, {422}) for text in (b'"false"', b"1", b"[]")],
    ("line breaks and escapes", b'{"text": "a\\r\\nroot: in\\u001b[31m"}', {200}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "expected"), BODIES, ids=lambda value: str(value)[:40])
def test_odd_json(server: ServerProcess, vector: Any, name: str, body: bytes, expected: set[int]):
    ask(server, vector, expected, content=body)


def test_special_tokens_in_a_text_do_not_move_where_it_is_read(server: ServerProcess):
    """As in the reference a user's text may hold them; the vector stays finite and another text's differs."""
    texts = ["a cat", "a cat <end_of_text>", "<end_of_text> a cat", "<end_of_text> a dog"]
    rows = np.array(server.http.post("/embeddings", json={"text": texts}).json()["embeddings"])
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[2])


STANDARD = b64(bad_images.JPEG)
BASE64: list[tuple[str, str, set[int]]] = [
    ("URL-safe", base64.urlsafe_b64encode(bad_images.JPEG).decode(), {200}),
    ("without padding", STANDARD.rstrip("="), {200}),
    ("more padding", STANDARD + "====", {200}),
    ("padding in the middle", STANDARD[:100] + "=" + STANDARD[100:], {422}),
    ("lines", "\r\n".join(STANDARD[i : i + 76] for i in range(0, len(STANDARD), 76)), {200}),
    ("spaces", STANDARD[:100] + " " + STANDARD[100:], {422}),
    ("spaces for plus", STANDARD.replace("+", " "), {422}),
    ("full-width digits", STANDARD[:-4] + "１２３４", {422}),
    ("NUL inside", STANDARD[:100] + "\0" + STANDARD[100:], {422}),
    *[("nothing", text, {422}) for text in ("", "data:,", "data:image/png;base64,", "====")],
    ("no comma", "data:image/png;base64", {422}),
    ("a parameter", f"data:image/png;charset=utf-8;base64,{STANDARD}", {200}),
    ("capitals", f"DATA:image/png;BASE64,{STANDARD}", {200}),
    ("a space", f"data:image/png; base64,{STANDARD}", {200, 422}),
    ("percent-encoded", "data:image/png,%89PNG", {422}),
    ("another type than it is", f"data:image/png;base64,{STANDARD}", {200}),
    ("HTML", f"data:text/html;base64,{STANDARD}", {422}),
    ("a type of a megabyte", f"data:image/{'x' * 1_000_000};base64,{STANDARD}", {422}),
    ("base64 of base64", b64(STANDARD.encode()), {422}),
    ("hexadecimal", bad_images.JPEG.hex(), {422}),
    ("larger than a body may be", "A" * 13_000_000, {413}),
    *[("a path or a URL", text, {422}) for text in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/a")],
]  # fmt: skip


@pytest.mark.parametrize(("name", "image", "expected"), BASE64, ids=lambda value: str(value)[:40])
def test_odd_base64(server: ServerProcess, vector: Any, name: str, image: str, expected: set[int]):
    ask(server, vector, expected, json={"image": image})


@pytest.mark.parametrize(
    ("name", "image", "expected"), bad_images.IMAGES, ids=lambda value: str(value)[:40] if value else ""
)
def test_odd_images(server: ServerProcess, vector: Any, name: str, image: bytes, expected: set[int]):
    ask(server, vector, expected, seconds=6 if name == "JPEG of 1,500 scans" else 2, json={"image": b64(image)})


def test_nothing_was_unpickled():
    assert not Path("/tmp/openclip-unpickled").exists()


def test_many_just_under_the_limit_at_once(server: ServerProcess, vector: Any):
    image = b64(bad_images.encoded(bad_images.photo((1400, 1400)), "JPEG"))
    ask(server, vector, {200}, seconds=10, json={"image": [image] * 8})
