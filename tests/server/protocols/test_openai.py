"""OpenAI's protocol, and what Infinity, Jina, vLLM and Voyage add to it, against the real process."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from ...conftest import Encode
from ...support.server_process import FakeServer, ServerProcess
from .test_native import BAD_JSON, CANARY, b64

PATHS = ["/v1/embeddings", "/embeddings"]
LONG = "word " * 200


def ask(server: ServerProcess, path: str = "/v1/embeddings", **body: Any) -> dict[str, Any]:
    response = server.http.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def vectors(server: ServerProcess, **body: Any) -> np.ndarray:
    answer = ask(server, **body)
    assert [row["index"] for row in answer["data"]] == list(range(len(answer["data"])))
    return np.array([row["embedding"] for row in answer["data"]], np.float32)


def raw(server: ServerProcess, **body: Any) -> np.ndarray:
    return np.array(server.http.post("/embeddings", json=body).json()["embeddings"], np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def decoded(row: dict[str, Any], dtype: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(row["embedding"]), dtype)


@pytest.mark.parametrize("path", PATHS)
def test_a_string_as_openai_answers(server, path: str):
    answer = ask(server, path, input="red sofa")
    assert list(answer) == ["object", "data", "model", "usage", "id", "created"]
    assert answer["object"] == "list"
    assert answer["model"] == "OpenCLIP-tiny-clip"
    [row] = answer["data"]
    assert (row["object"], row["index"]) == ("embedding", 0)
    np.testing.assert_allclose(row["embedding"], unit(raw(server, text="red sofa"))[0], atol=1e-6)
    # start-of-text, red, sofa, end-of-text
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_a_list_keeps_its_order_and_is_of_unit_length(server):
    texts = ["red sofa", "a cat", "red sofa"]
    together = vectors(server, input=texts)
    np.testing.assert_allclose(together, unit(raw(server, text=texts)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert ask(server, input=texts)["usage"]["prompt_tokens"] == 12


def test_base64_is_little_endian_float32(server):
    floats = vectors(server, input=["red sofa", "a cat"], encoding_format="float")
    rows = ask(server, input=["red sofa", "a cat"], encoding_format="base64")["data"]
    np.testing.assert_array_equal([decoded(row) for row in rows], floats)


@pytest.mark.parametrize(
    "extra",
    [
        {"encoding_format": None, "dimensions": None, "user": None, "modality": None, "truncate": None},
        {"user": "someone", "colour": "red", "extra": {"a": [1]}},
        {"dimensions": 0, "model": "default/not-specified", "modality": "text"},  # as Infinity's client sends it
    ],
)
def test_nulls_and_unknown_keys_change_nothing(server, extra: dict):
    np.testing.assert_array_equal(vectors(server, input="red sofa", **extra), vectors(server, input="red sofa"))


def test_dimensions_are_cut_and_scaled_to_unit_length(server):
    whole, short = vectors(server, input="red sofa"), vectors(server, input="red sofa", dimensions=5)
    assert short.shape == (1, 5)
    np.testing.assert_allclose(short, unit(whole[:, :5]), atol=1e-6)
    np.testing.assert_array_equal(vectors(server, input="red sofa", dimensions=16), whole)


def test_normalized_false_gives_what_the_model_gives(server):
    expected = raw(server, text="red sofa")
    np.testing.assert_array_equal(vectors(server, input="red sofa", normalized=False), expected)
    np.testing.assert_array_equal(vectors(server, input="red sofa", normalized=False, dimensions=3), expected[:, :3])


def test_infinity_s_images(server, photo: Encode):
    images = [f"data:image/jpeg;base64,{b64(photo(name))}" for name in ("astronaut", "coffee")]
    answer = ask(server, input=images, modality="image")
    rows = np.array([row["embedding"] for row in answer["data"]])
    np.testing.assert_allclose(rows, unit(raw(server, image=images)), atol=1e-6)
    assert answer["usage"]["prompt_tokens"] == 0
    np.testing.assert_allclose(vectors(server, input=b64(photo()), modality="image")[0], rows[0], atol=1e-5)


def test_jina_s_objects_mix_texts_and_images(server, photo: Encode):
    image = b64(photo())
    rows = vectors(server, input=[{"text": "a cat"}, {"image": image}, "red sofa"])
    expected = np.concatenate([raw(server, text="a cat"), raw(server, image=image), raw(server, text="red sofa")])
    np.testing.assert_allclose(rows, unit(expected), atol=1e-5)
    np.testing.assert_allclose(vectors(server, input={"text": "a cat"}), rows[:1], atol=1e-5)


def test_types_of_numbers(server):
    asked = {"input": ["red sofa", "a cat"]}
    floats = vectors(server, **asked)
    ubinary = vectors(server, **asked, embedding_type="ubinary").astype(np.uint8)
    np.testing.assert_array_equal(np.unpackbits(ubinary, axis=1), floats > 0)
    np.testing.assert_array_equal(vectors(server, **asked, embedding_type="binary"), ubinary.astype(int) - 128)
    int8 = vectors(server, **asked, output_dtype="int8")
    assert np.abs(int8).max(axis=1).tolist() == [127, 127]
    assert ((unit(int8) * floats).sum(axis=1) > 0.999).all()
    np.testing.assert_array_equal(vectors(server, **asked, output_dtype="uint8"), int8 + 128)
    rows = ask(server, **asked, embedding_type="base64")["data"]
    np.testing.assert_array_equal([decoded(row) for row in rows], floats)
    rows = ask(server, **asked, output_dtype="ubinary", encoding_format="base64")["data"]
    np.testing.assert_array_equal([decoded(row, "u1") for row in rows], ubinary)


def test_several_types_at_once(server):
    [row] = ask(server, input="red sofa", embedding_type=["float", "base64", "binary"])["data"]
    assert list(row["embedding"]) == ["float", "base64", "binary"]
    np.testing.assert_array_equal(np.float32(row["embedding"]["float"]), vectors(server, input="red sofa")[0])


def test_vllm_s_messages_make_one_vector(server, photo: Encode):
    uri = f"data:image/jpeg;base64,{b64(photo())}"
    parts = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": "a cat"}]
    image = vectors(server, messages=[{"role": "user", "content": parts[:1]}])
    np.testing.assert_allclose(image, unit(raw(server, image=uri)), atol=1e-6)
    text = vectors(server, messages=[{"role": "user", "content": "a cat"}])
    np.testing.assert_allclose(text, unit(raw(server, text="a cat")), atol=1e-6)
    both = vectors(server, messages=[{"role": "user", "content": parts}])
    np.testing.assert_allclose(both, unit(image + text), atol=1e-5)


def test_octets_where_accept_asks_for_them(server):
    response = server.http.post(
        "/v1/embeddings", json={"input": ["a", "b", "c"]}, headers={"Accept": "application/octet-stream"}
    )
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-shape"] == "3,16"
    rows = np.frombuffer(response.content, "<f4").reshape(3, 16)
    np.testing.assert_array_equal(rows, vectors(server, input=["a", "b", "c"]))


def test_the_models_of_this_server(server, tiny):
    key = f"local-dir:{tiny}"
    for path in ("/v1/models", "/models"):
        [model] = server.http.get(path).json()["data"]
        assert (model["id"], model["object"]) == (key, "model")
    assert server.http.get(f"/v1/models/{key}").json()["id"] == key
    assert ask(server, input="a", model=key)["model"] == "OpenCLIP-tiny-clip"
    assert_error(server.http.get("/v1/models/other"), 404, "model")


def test_answers_carry_fingerprint_and_request_id(server):
    response = server.http.post("/v1/embeddings", json={"input": "a"}, headers={"X-Request-Id": "mine"})
    assert response.headers["x-model-fingerprint"] == server.http.get("/info").json()["fingerprint"]
    assert response.json()["id"] == "embd-mine"


def test_cut_texts_are_told_and_refused_on_request(server):
    response = server.http.post("/v1/embeddings", json={"input": ["a", LONG]})
    assert response.headers["x-truncated-texts"] == "1"
    assert response.json()["usage"]["truncated"] == [1]
    assert response.json()["usage"]["prompt_tokens"] == 3 + 77
    for key in ("truncate", "truncation"):
        assert_error(server.http.post("/v1/embeddings", json={"input": ["a", LONG], key: False}), 400, "input[1]")


# --- errors, in OpenAI's envelope ---


def assert_error(response: httpx.Response, status: int, param: str | None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["message"]
    assert CANARY not in response.text
    assert len(response.content) < 1000
    return error


BAD_FIELDS = {
    "neither": ({"model": None}, "input"),
    "both": ({"input": "a", "messages": [{"content": "a"}]}, "input"),
    "null": ({"input": None}, "input"),
    "empty": ({"input": ""}, "input"),
    "empty list": ({"input": []}, "input"),
    "one empty of two": ({"input": ["a", ""]}, "input[1]"),
    "one object with an empty text": ({"input": ["a", {"text": ""}]}, "input[1]"),
    "number": ({"input": 3.5}, "input"),
    "null in a list": ({"input": ["a", None]}, "input[1]"),
    "token ids": ({"input": [1, 2]}, "input[0]"),
    "lists of token ids": ({"input": [[1, 2], [3]]}, "input[0]"),
    "empty object": ({"input": [{}]}, "input"),
    "text and image": ({"input": ["a", {"text": CANARY, "image": "aGk="}]}, "input[1]"),
    "number for text": ({"input": [{"text": 3}]}, "input"),
    "encoding": ({"input": "a", "encoding_format": CANARY}, "encoding_format"),
    "dimensions above": ({"input": "a", "dimensions": 17}, "dimensions"),
    "dimensions below": ({"input": "a", "dimensions": -1}, "dimensions"),
    "dimensions as text": ({"input": "a", "dimensions": "8"}, "dimensions"),
    "audio": ({"input": "a", "modality": "audio"}, "modality"),
    "an image taken for a text": ({"input": ["a", f"data:image/png;base64,{CANARY}"]}, "input[1]"),
    "no base64": ({"input": CANARY + "!", "modality": "image"}, "input"),
    "URL": ({"input": ["aGk=", f"http://{CANARY}/"], "modality": "image"}, "input[1]"),
    "no image": ({"input": b64(CANARY.encode()), "modality": "image"}, "input"),
    "no messages": ({"messages": []}, "messages"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "no parts": ({"messages": [{"content": []}]}, "messages[0].content"),
    "audio part": ({"messages": [{"content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    "no text": ({"messages": [{"content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    "no url": (
        {"messages": [{"content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].image_url",
    ),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_wrong_field_is_400_and_named(server, name: str):
    body, param = BAD_FIELDS[name]
    for path in PATHS if {"input", "messages"} & body.keys() else PATHS[:1]:
        error = assert_error(server.http.post(path, json=body), 400, param)
        assert error["type"] == "invalid_request_error"


def test_token_ids_are_answered_with_what_to_set(server):
    for ids in ([15496, 995], [[15496, 995]]):
        error = assert_error(
            server.http.post("/v1/embeddings", json={"input": ids}), 400, "input[0]" if ids[1:] else "input"
        )
        assert "check_embedding_ctx_length=False" in error["message"]


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_is_400(server, name: str):
    assert_error(server.http.post("/v1/embeddings", content=BAD_JSON[name]), 400, "body")


def test_errors_that_are_not_the_body_s_have_the_same_envelope(server):
    assert assert_error(server.http.post("/v1/embeddings", json={"input": "a", "model": "gpt"}), 404, "model")[
        "code"
    ] == ("model_not_found")
    assert_error(server.http.post("/embeddings", json={"input": "a", "model": "gpt"}), 404, "model")
    assert_error(server.http.post("/v1/embeddings", content=b" " * 4_100_000), 413, "body")
    assert_error(server.http.post("/v1/embeddings", json={"input": ["a"] * 9}), 413, None)
    assert_error(server.http.post("/v1/embeddings", json={"input": "x" * 100_001}), 413, "input")
    assert_error(server.http.post("/v1/embeddings", files={"image": b"x"}), 415, None)
    assert_error(server.http.get("/v1/embeddings"), 405, None)
    mismatch = server.http.post("/v1/embeddings", json={"input": "a"}, headers={"If-Match": '"other"'})
    assert_error(mismatch, 412, "If-Match")


@pytest.mark.process
def test_a_full_queue_is_429_with_retry_after():
    body = {"input": [f"number {i}" for i in range(4)]}
    with FakeServer(FAKE_BATCH_SECONDS=0.5, MAX_QUEUE=4) as server:
        with ThreadPoolExecutor(4) as clients:
            responses = list(clients.map(lambda _: server.http.post("/v1/embeddings", json=body), range(4)))
        refused = [response for response in responses if response.status_code != 200]
        assert 0 < len(refused) < 4
        for response in refused:
            assert assert_error(response, 429, None)["type"] == "rate_limit_error"
            assert int(response.headers["retry-after"]) > 0
        assert server.stop() == 0
