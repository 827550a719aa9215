"""Voyage's protocol against the real process."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from ...conftest import Encode
from ...support.server_process import ServerProcess
from .test_native import BAD_JSON, CANARY, b64
from .test_openai import LONG, raw, unit

PATH = "/v1/multimodalembeddings"


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def image(data: bytes, type: str = "image_base64") -> dict[str, str]:
    return {"type": type, type: f"data:image/jpeg;base64,{b64(data)}"}


def ask(server: ServerProcess, *inputs: list[dict[str, str]], **body: Any) -> dict[str, Any]:
    response = server.http.post(PATH, json={"inputs": [{"content": content} for content in inputs], **body})
    assert response.status_code == 200, response.text
    return response.json()


def vectors(server: ServerProcess, *inputs: list[dict[str, str]], **body: Any) -> np.ndarray:
    return np.array([row["embedding"] for row in ask(server, *inputs, **body)["data"]], np.float32)


def test_as_voyage_answers(server, photo: Encode):
    data = photo("coffee", size=(80, 60))
    answer = ask(server, [text("red sofa")], [image(data)], input_type="document", truncation=True)
    assert list(answer) == ["object", "data", "model", "usage"]
    assert [row["index"] for row in answer["data"]] == [0, 1]
    assert answer["usage"] == {"text_tokens": 4, "image_pixels": 4800, "video_pixels": 0, "total_tokens": 4}
    expected = unit(raw(server, text="red sofa", image=b64(data)))
    np.testing.assert_allclose([row["embedding"] for row in answer["data"]], expected, atol=1e-5)


def test_several_parts_are_the_mean_of_their_unit_vectors(server, photo: Encode):
    parts = [text("a cat"), image(photo()), image(photo("coffee"), "image_url")]
    singly = np.concatenate([vectors(server, [part]) for part in parts])
    together = vectors(server, parts, parts[:1])
    np.testing.assert_allclose(together[0], unit(singly.mean(axis=0)), atol=1e-5)
    np.testing.assert_allclose(together[1], singly[0], atol=1e-5)


@pytest.mark.parametrize("key", ["output_encoding", "encoding_format"])
@pytest.mark.parametrize(("dtype", "bytes"), [(None, "<f4"), ("float", "<f4"), ("int8", "i1"), ("ubinary", "u1")])
def test_base64_of_every_type(server, key: str, dtype: str | None, bytes: str):
    plain = vectors(server, [text("a")], [text("b")], output_dtype=dtype)
    rows = ask(server, [text("a")], [text("b")], output_dtype=dtype, **{key: "base64"})["data"]
    np.testing.assert_array_equal([np.frombuffer(base64.b64decode(row["embedding"]), bytes) for row in rows], plain)


def test_output_dimension_is_cut_and_scaled(server):
    whole, short = vectors(server, [text("a")]), vectors(server, [text("a")], output_dimension=4)
    np.testing.assert_allclose(short, unit(whole[:, :4]), atol=1e-6)


def test_truncation_false_refuses_what_would_be_cut(server):
    body = {"inputs": [{"content": [text("a"), text(LONG)]}], "truncation": False}
    assert "inputs[0].content[1].text" in assert_error(server.http.post(PATH, json=body), 400)
    assert server.http.post(PATH, json={**body, "truncation": True}).headers["x-truncated-texts"] == "1"


def test_texts_alone_go_to_v1_embeddings(server):
    """What voyageai.Client.embed sends."""
    body = {"input": ["a", "b"], "model": None, "input_type": "query", "truncation": True, "output_dtype": None,
            "output_dimension": 8, "encoding_format": "base64"}  # fmt: skip
    rows = server.http.post("/v1/embeddings", json=body).json()["data"]
    expected = vectors(server, [text("a")], [text("b")], output_dimension=8)
    np.testing.assert_allclose(
        [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows], expected, atol=1e-6
    )


def assert_error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"detail"}
    assert CANARY not in response.text
    return response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"content": []}]}, "inputs[0].content"),
        ({"inputs": [{"content": [{"type": "video_url", "video_url": CANARY}]}]}, "inputs[0].content[0].type"),
        ({"inputs": [{"content": [{"type": "text"}]}]}, "inputs[0].content[0].text"),
        ({"inputs": [{"content": [{"type": "image_base64", "image_base64": CANARY}]}]}, "content[0].image_base64"),
        ({"inputs": [{"content": [{"type": "image_url", "image_url": f"http://{CANARY}"}]}]}, "content[0].image_url"),
        ({"inputs": [{"content": [text("a")]}], "output_dtype": CANARY}, "output_dtype"),
        ({"inputs": [{"content": [text("a")]}], "output_dimension": 17}, "output_dimension"),
        ({"inputs": [{"content": [text("a")]}], "output_encoding": "hex"}, "output_encoding"),
    ],
)
def test_a_wrong_field_is_400_and_named(server, body: dict, named: str):
    assert named in assert_error(server.http.post(PATH, json=body), 400)


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_is_400(server, name: str):
    assert_error(server.http.post(PATH, content=BAD_JSON[name]), 400)


def test_errors_that_are_not_the_body_s_have_the_same_envelope(server):
    one = {"content": [text("a")]}
    assert_error(server.http.post(PATH, json={"inputs": [one], "model": "voyage-multimodal-3"}), 404)
    assert_error(server.http.post(PATH, json={"inputs": [one] * 9}), 413)
    assert_error(server.http.post(PATH, content=b" " * 4_100_000), 413)
    assert_error(server.http.post(PATH, json={"inputs": [one]}, headers={"If-Match": '"x"'}), 412)
    assert_error(server.http.get(PATH), 405)
