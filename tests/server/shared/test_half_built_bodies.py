"""Each body that a route takes, with one value in it replaced or gone: refused in the protocol's own words, with the
name of the field, or as its OpenAPI says."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from openclip_api.server.shared.items import EXAMPLE_PNG

from ...support.json_schema import fits
from ...support.server_process import ServerProcess

URI = f"data:image/png;base64,{EXAMPLE_PNG}"
BASE64 = {"type": "base64", "value": EXAMPLE_PNG}
PARTS = [
    {"type": "text", "text": "a"},
    {"type": "image_url", "image_url": {"url": URI}},
    {"type": "image_base64", "image_base64": URI},
]
TEXT = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"], "parameters": {}}
TEXT_OUTPUT = {"name": "text_embedding", "parameters": {"binary_data": False}}
TASK = {"normalize": True, "truncate": True, "truncation_direction": "Right", "dimensions": 4}
LABELS = {"candidate_labels": ["a", "b"], "hypothesis_template": "a {}"}

BODIES: list[tuple[str, Any]] = [
    ("/embeddings", {"text": ["a", "b"], "image": [EXAMPLE_PNG, URI], "normalize": True, "truncate": True}),
    ("/classify", {"image": EXAMPLE_PNG, "labels": ["a", "b"], "templates": ["a {}"]}),
    ("/classify", {"images": [EXAMPLE_PNG], "labels": ["a"]}),
    ("/encode", [{"text": "a"}, {"img_blob": EXAMPLE_PNG, "id": "1"}]),
    ("/rank", {"queries": [{"text": "a"}], "candidates": [{"img_blob": EXAMPLE_PNG, "id": "1"}, {"text": "b"}]}),
    ("/v1/embeddings", {"input": ["a", {"text": "b"}, {"image": URI}], "encoding_format": "float", "dimensions": 4}),
    ("/v1/embeddings", {"input": URI, "modality": "image", "embedding_type": ["int8"], "normalized": True}),
    ("/v1/embeddings", {"messages": [{"role": "user", "content": PARTS}], "truncate": True}),
    ("/v1/embeddings", {"messages": [{"content": "a"}]}),
    ("/embeddings_image", {"input": [URI]}),
    ("/v2/embed", {"texts": ["a", "b"], "embedding_types": ["float"], "input_type": "classification"}),
    ("/v2/embed", {"images": [URI], "output_dimension": 4, "truncate": "END"}),
    ("/v2/embed", {"inputs": [{"content": PARTS}]}),
    ("/v1/multimodalembeddings", {"inputs": [{"content": PARTS}], "truncation": True, "output_dtype": "int8"}),
    ("/v1/multimodalembeddings", {"inputs": [{"content": "a"}], "output_encoding": "base64", "input_type": "query"}),
    ("/vectorize", {"texts": ["a", "b"], "images": [EXAMPLE_PNG]}),
    ("/predict", {"instances": ["a", {"text": "b"}, {"image": {"b64": URI}}], "parameters": {"dimension": 4}}),
    ("/predict", {"instances": [{"image": {"bytesBase64Encoded": URI}}], "parameters": {"normalize": True}}),
    ("/api/embed", {"input": ["a", "b"], "images": [EXAMPLE_PNG], "truncate": True, "dimensions": 4}),
    ("/api/embeddings", {"prompt": "a"}),
    ("/api/show", {"model": ""}),
    ("/api/show", {"name": ""}),
    ("/embed", {"inputs": ["a", {"text": "b"}, {"image": URI}], **TASK}),
    ("/", {"inputs": EXAMPLE_PNG, "parameters": LABELS}),
    ("/", {"inputs": [URI], "parameters": {"candidate_labels": "a, b"}}),
    ("/invocations", {"inputs": {"text": "a"}, "parameters": TASK}),
    ("/v2/models/{name}/infer", {"inputs": [TEXT], "outputs": [TEXT_OUTPUT], "parameters": {}, "id": "1"}),
    ("/clip/embed_text", {"text": ["a", "b"], "id": "1"}),
    ("/clip/embed_image", {"image": [BASE64, EXAMPLE_PNG]}),
    ("/clip/embed_image", {"image": BASE64}),
    ("/clip/compare", {"subject": BASE64, "prompt": ["a", "b"], "subject_type": "image", "prompt_type": "text"}),
    ("/clip/compare", {"subject": ["a"], "subject_type": "text", "prompt": {"x": BASE64}, "prompt_type": "image"}),
]
WRONG: list[Any] = [None, True, 0, -1, 1.5, "", " ", "x", [], [[]], [None], {}, {"type": {}}, {"value": "x"}]
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    whole = part = copy.deepcopy(body)
    for key in path[:-1]:
        part = part[key]
    if value is GONE:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return whole


def message(answer: Any) -> str:
    """Wherever the protocol has it."""
    told = answer.get("error", answer.get("message", answer.get("detail")))
    return told if isinstance(told, str) else told["message"]


@pytest.fixture(scope="module")
def schemas(server: ServerProcess) -> dict[str, Any]:
    paths = server.http.get("/openapi.json").json()["paths"]
    return {
        path: methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, methods in paths.items()
        if "application/json" in methods.get("post", {}).get("requestBody", {}).get("content", {})
    }


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[f"{path}-{number}" for number, (path, _) in enumerate(BODIES)])
def test_one_value_is_wrong(server: ServerProcess, schemas: dict[str, Any], path: str, body: Any):
    model = server.http.get("/v1/models").json()["data"][0]["id"]
    url = path.replace("{name}", model)
    body = dict.fromkeys(body, model) if path == "/api/show" else body
    answers = []
    for place in places(body):
        for value in (*WRONG, GONE)[: None if place else -1]:
            asked = replaced(body, place, value)
            answer = server.http.post(url, json=asked)
            answers.append((place, value, asked, answer))
    for place, value, asked, answer in answers:
        told = f"{path} {place} {value!r:.20}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, told
        if answer.status_code == 200:
            assert fits(asked, schemas[path]), told
            continue
        names = [key for key in place if isinstance(key, str)][:1]
        if value in (GONE, None) or not names or path == "/api/show":
            names = [*names, "body", *schemas[path].get("properties", {"text": None})]
        assert any(name in message(answer.json()) for name in names), told
    assert server.http.post(url, json=body).status_code == 200


def test_each_route_is_here(schemas: dict[str, Any]):
    twins = {"/clip-embed", "/search", "/v2/models/{name}/versions/{version}/infer", "/endpoints/{name}/invocations"}
    assert {path for path, _ in BODIES} | twins == schemas.keys()
