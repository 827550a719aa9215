"""Immich's machine-learning protocol against the real process: the forms that its server sends."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from openclip_api.server.protocols.immich import _served_name

from ...conftest import Encode
from ...support.server_process import ServerProcess
from .test_native import CANARY, b64
from .test_openai import raw, unit


@pytest.fixture
def name(tiny) -> str:
    return f"local-dir:{tiny}"


def predict(server: ServerProcess, entries: Any, text: str | None = None, image: bytes | None = None) -> httpx.Response:
    """As fetch sends a FormData: every part by itself, the image as a blob."""
    parts: dict[str, Any] = {"entries": (None, entries if isinstance(entries, str) else json.dumps(entries))}
    if text is not None:
        parts["text"] = (None, text)
    if image is not None:
        parts["image"] = ("blob", image, "application/octet-stream")
    return server.http.post("/predict", files=parts)


def visual(name: str) -> dict[str, Any]:
    return {"clip": {"visual": {"modelName": name}}}


def textual(name: str) -> dict[str, Any]:
    return {"clip": {"textual": {"modelName": name, "options": {"language": "en"}}}}


def test_ping(server):
    response = server.http.get("/ping")
    assert (response.status_code, response.text) == (200, "pong")


def test_a_text(server, name: str):
    response = predict(server, textual(name), text="red sofa")
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["clip"]
    vector = json.loads(response.json()["clip"])
    np.testing.assert_allclose([vector], unit(raw(server, text="red sofa")), atol=1e-6)


@pytest.mark.parametrize("size", [(80, 60), (1600, 1200)])
def test_an_image(server, photo: Encode, name: str, size: tuple[int, int]):
    data = photo("coffee", size=size)
    response = predict(server, visual(name), image=data)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["imageWidth"], answer["imageHeight"]) == size
    np.testing.assert_allclose([json.loads(answer["clip"])], unit(raw(server, image=b64(data))), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "served", "found"),
    [
        ("ViT-B-32__laion2b-s34b-b79k", ["emoji", "ViT-B-32:laion2b_s34b_b79k"], "ViT-B-32:laion2b_s34b_b79k"),
        ("ViT-B-32__laion2b_s34b_b79k", ["ViT-B-32:laion2b_s34b_b79k"], "ViT-B-32:laion2b_s34b_b79k"),
        ("ViT-H-14-378-quickgelu__dfn5b", ["ViT-H-14-378-quickgelu:dfn5b"], "ViT-H-14-378-quickgelu:dfn5b"),
        ("nllb-clip-base-siglip__v1", ["nllb-clip-base-siglip:v1"], "nllb-clip-base-siglip:v1"),
        ("ViT-L-14__openai", ["ViT-B-32:openai"], "ViT-L-14__openai"),
        ("emoji", ["emoji"], "emoji"),
    ],
)
def test_immich_s_names_of_models(asked: str, served: list[str], found: str):
    assert _served_name(asked, served) == found


def assert_error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"detail"}
    assert CANARY not in response.text
    return response.json()["detail"]


FACES = {"facial-recognition": {"detection": {"modelName": "buffalo_l"}, "recognition": {"modelName": "buffalo_l"}}}
OCR = {"ocr": {"detection": {"modelName": "PP-OCRv5"}, "recognition": {"modelName": "PP-OCRv5"}}}


@pytest.mark.parametrize("entries", [FACES, OCR, {**FACES, "clip": {"visual": {"modelName": "x"}}}])
def test_other_tasks_are_refused_so_that_immich_asks_its_next_url(server, photo: Encode, entries: dict):
    assert "only the task 'clip'" in assert_error(predict(server, entries, image=photo()), 422)


def test_a_model_that_is_not_served_is_404(server):
    assert_error(predict(server, textual("ViT-B-32__openai"), text="a"), 404)


@pytest.mark.parametrize(
    ("entries", "sent", "named"),
    [
        ("{", {"text": "a"}, "entries"),
        ("[]", {"text": "a"}, "entries"),
        ({}, {"text": "a"}, "entries"),
        ({"clip": {}}, {"text": "a"}, "entries"),
        ({"clip": {"textual": {"modelName": 3}}}, {"text": "a"}, "clip.textual.modelName"),
        (textual("x"), {}, "text"),
        (visual("x"), {}, "image"),
        (visual("x"), {"text": CANARY}, "image"),
        (textual("x"), {"image": CANARY.encode()}, "text"),
    ],
)
def test_a_wrong_field_is_422_and_named(server, entries: Any, sent: dict, named: str):
    assert assert_error(predict(server, entries, **sent), 422).startswith(named)


def test_bad_images_are_422(server, photo: Encode, name: str):
    for data in (CANARY.encode(), b"", photo()[:2000]):
        assert assert_error(predict(server, visual(name), image=data), 422).startswith("image")


def test_forms_that_are_none(server):
    assert "instances" in server.http.post("/predict", json={"entries": "{}"}).json()["error"]["message"]  # Vertex AI's
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (b"--x\r\n\r\n", b"nothing", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"):
        response = server.http.post("/predict", content=content, headers=broken)
        assert response.status_code in (400, 422)
        assert_error(response, response.status_code)
    assert_error(server.http.post("/predict", content=b"", headers={"Content-Type": "multipart/form-data"}), 400)


CHARSETS = ["idna", "undefined", "punycode", "unicode_escape", "latin-1", "utf-16", "rot13", "base64", "", "nope"]


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_form_is_utf_8_whatever_codec_it_names(server, name: str, charset: str):
    """In the request's header, and in the part's."""
    text = "caf\u00e9 \U0001f600"
    plain = predict(server, textual(name), text=text).json()
    of_part = f"text/plain; charset={charset}"
    parts = {"entries": (None, json.dumps(textual(name)), of_part), "text": (None, text, of_part)}
    for of_form in (f'boundary=x; charset="{charset}"', f"charset={charset}; boundary=x"):
        headers = {"Content-Type": f"multipart/form-data; {of_form}"}
        answer = server.http.post("/predict", files=parts, headers=headers)
        assert (answer.status_code, answer.json()) == (200, plain)


@pytest.mark.parametrize("field", ["entries", "text", "other"])
def test_what_is_no_utf_8_is_named(server, name: str, field: str):
    parts = {"entries": json.dumps(textual(name)).encode(), "text": b"a", field: b"\xff" + CANARY.encode()}
    answer = server.http.post("/predict", files={key: (None, content) for key, content in parts.items()})
    assert assert_error(answer, 422).startswith("body" if field == "other" else field)


def test_a_byte_order_mark_before_the_entries(server, name: str):
    assert predict(server, "\ufeff" + json.dumps(textual(name)), text="a").status_code == 200


def test_wide_entries_are_refused(server):
    assert_error(predict(server, '{"clip":[' + "{}," * 100_000 + "{}]}", text="a"), 413)


def test_many_parts_and_large_fields_are_refused(server, name: str):
    files = [("entries", (None, "{}"))] * 50
    assert_error(server.http.post("/predict", files=files), 400)
    files = [("image", ("blob", b"x"))] * 50
    assert_error(server.http.post("/predict", files=files), 400)
    assert_error(predict(server, textual(name), text="x" * 2_000_000), 400)
    assert_error(predict(server, textual(name), text="x" * 100_001), 413)
    assert_error(predict(server, visual(name), image=b"x" * 4_100_000), 413)


def test_if_match(server, name: str):
    parts = {"entries": (None, json.dumps(textual(name))), "text": (None, "a")}
    assert_error(server.http.post("/predict", files=parts, headers={"If-Match": '"x"'}), 412)
