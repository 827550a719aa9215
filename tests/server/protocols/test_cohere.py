"""Cohere's protocol against the real process."""

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


def ask(server: ServerProcess, **body: Any) -> dict[str, Any]:
    response = server.http.post("/v2/embed", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def floats(server: ServerProcess, **body: Any) -> np.ndarray:
    return np.array(ask(server, **body)["embeddings"]["float"], np.float32)


def test_texts_as_cohere_answers(server):
    texts = ["red sofa", "a cat"]
    answer = ask(server, model=None, input_type="search_query", texts=texts, embedding_types=["float"])
    assert set(answer) == {"id", "embeddings", "texts", "meta", "response_type"}
    assert answer["texts"] == texts
    assert answer["response_type"] == "embeddings_by_type"
    assert answer["meta"] == {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 8, "images": 0}}
    assert list(answer["embeddings"]) == ["float"]
    np.testing.assert_allclose(answer["embeddings"]["float"], unit(raw(server, text=texts)), atol=1e-6)


def test_images(server, photo: Encode):
    images = [f"data:image/png;base64,{b64(photo('coffee', 'PNG', (80, 60)))}", b64(photo())]
    answer = ask(server, images=images)
    np.testing.assert_allclose(answer["embeddings"]["float"], unit(raw(server, image=images)), atol=1e-5)
    assert answer["meta"]["billed_units"] == {"input_tokens": 0, "images": 2}


def test_an_input_of_several_parts_is_the_mean_of_their_unit_vectors(server, photo: Encode):
    image = f"data:image/jpeg;base64,{b64(photo())}"
    text = {"type": "text", "text": "a cat"}
    picture = {"type": "image_url", "image_url": {"url": image}}
    rows = floats(server, inputs=[{"content": [text, picture]}, {"content": [picture]}, {"content": [text]}])
    np.testing.assert_allclose(rows[1:2], unit(raw(server, image=image)), atol=1e-5)
    np.testing.assert_allclose(rows[2:], unit(raw(server, text="a cat")), atol=1e-5)
    np.testing.assert_allclose(rows[0], unit(rows[1] + rows[2]), atol=1e-5)


def test_every_type(server):
    types = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    given = ask(server, texts=["red sofa", "a cat"], embedding_types=types)["embeddings"]
    assert list(given) == types
    rows = np.float32(given["float"])
    np.testing.assert_array_equal([np.frombuffer(base64.b64decode(row), "<f4") for row in given["base64"]], rows)
    np.testing.assert_array_equal(np.unpackbits(np.array(given["ubinary"], np.uint8), axis=1), rows > 0)
    np.testing.assert_array_equal(np.array(given["binary"]) + 128, given["ubinary"])
    np.testing.assert_array_equal(np.array(given["int8"]) + 128, given["uint8"])
    assert ((unit(np.array(given["int8"])) * rows).sum(axis=1) > 0.999).all()


def test_output_dimension_is_cut_and_scaled(server):
    whole, short = floats(server, texts=["a"]), floats(server, texts=["a"], output_dimension=4)
    np.testing.assert_allclose(short, unit(whole[:, :4]), atol=1e-6)


@pytest.mark.parametrize(("truncate", "status"), [("END", 200), (None, 200), ("NONE", 400), ("START", 400)])
def test_truncate(server, truncate: str | None, status: int):
    response = server.http.post("/v2/embed", json={"texts": ["a", LONG], "truncate": truncate})
    assert response.status_code == status
    if status == 200:
        assert response.headers["x-truncated-texts"] == "1"
    else:
        assert "texts[1]: longer than the model's 77 tokens" in assert_error(response, 400)
    assert server.http.post("/v2/embed", json={"texts": ["a"], "truncate": truncate}).status_code == 200


def assert_error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"message"}
    assert CANARY not in response.text
    return response.json()["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "'texts', 'images' and 'inputs'"),
        ({"texts": ["a"], "images": ["aGk="]}, "'texts', 'images' and 'inputs'"),
        ({"texts": []}, "texts"),
        ({"texts": CANARY}, "texts"),
        ({"texts": ["a", 1]}, "texts[1]"),
        ({"texts": ["a"], "embedding_types": [CANARY]}, "embedding_types[0]"),
        ({"texts": ["a"], "embedding_types": []}, "embedding_types"),
        ({"texts": ["a"], "truncate": "MIDDLE"}, "truncate"),
        ({"texts": ["a"], "output_dimension": 17}, "output_dimension"),
        ({"images": ["aGk="]}, "images"),
        ({"images": [f"https://{CANARY}/a.png"]}, "images"),
        ({"inputs": [{"content": []}]}, "inputs[0].content"),
        ({"inputs": [{"content": [{"type": "video"}]}]}, "inputs[0].content[0].type"),
        ({"inputs": [{"content": [{"type": "image_url", "image_url": 3}]}]}, "inputs[0].content[0].image_url"),
    ],
)
def test_a_wrong_field_is_400_and_named(server, body: dict, named: str):
    assert named in assert_error(server.http.post("/v2/embed", json=body), 400)


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_is_400(server, name: str):
    assert_error(server.http.post("/v2/embed", content=BAD_JSON[name]), 400)


def test_errors_that_are_not_the_body_s_have_the_same_envelope(server):
    assert_error(server.http.post("/v2/embed", json={"texts": ["a"], "model": "embed-v4.0"}), 404)
    assert_error(server.http.post("/v2/embed", json={"texts": ["a"] * 9}), 413)
    assert_error(server.http.post("/v2/embed", content=b" " * 4_100_000), 413)
    assert_error(server.http.post("/v2/embed", files={"a": b"b"}), 415)
    assert_error(server.http.post("/v2/embed", json={"texts": ["a"]}, headers={"If-Match": '"x"'}), 412)
    assert_error(server.http.get("/v2/embed"), 405)
