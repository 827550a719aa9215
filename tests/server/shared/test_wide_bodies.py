"""Bodies of millions of values: refused before they become objects, on every route, and cheap to refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import BaseModel

import openclip_api.server.app  # noqa: F401 - all protocols
from openclip_api.errors import TooLarge
from openclip_api.server.shared.bounded_json import most_values, parse_json

from ...support.server_process import FakeServer

MEGABYTES = 3
MAX_ITEMS = 8
WIDE = most_values(MAX_ITEMS)


def filled(start: str, item: str, end: str) -> bytes:
    return (start + item * int(MEGABYTES * 1e6 / len(item)) + end).encode()


BODIES = {
    "numbers for texts": ("/embeddings", filled('{"text":[', "1,", "1]}")),
    "objects for images": ("/embeddings", filled('{"image":[', "{},", "{}]}")),
    "token ids": ("/v1/embeddings", filled('{"input":[', "[1],", "1]}")),
    "messages": ("/v1/embeddings", filled('{"messages":[', "1,", "1]}")),
    "parts": ("/v1/embeddings", filled('{"messages":[{"content":[', "{},", "{}]}]}")),
    "types": ("/v1/embeddings", filled('{"input":"a","embedding_type":[', '"x",', '"x"]}')),
    "inputs": ("/v2/embed", filled('{"inputs":[', "{},", "{}]}")),
    "Cohere's types": ("/v2/embed", filled('{"texts":["a"],"embedding_types":[', "1,", "1]}")),
    "Voyage's inputs": ("/v1/multimodalembeddings", filled('{"inputs":[', "0,", "0]}")),
    "Weaviate's texts": ("/vectorize", filled('{"texts":[', "0,", "0]}")),
    "Ollama's input": ("/api/embed", filled('{"input":[', "0,", "0]}")),
    "inputs of TEI": ("/embed", filled('{"inputs":[', "{},", "{}]}")),
    "labels of a task": ("/", filled('{"inputs":"aGk=","parameters":{"candidate_labels":[', "0,", "0]}}")),
    "SageMaker's inputs": ("/invocations", filled('{"inputs":[', "[1],", "1]}")),
    "instances": ("/predict", filled('{"instances":[', "{},", "{}]}")),
    "a tensor's data": ("/v2/models/fake/infer", filled('{"inputs":[{"data":[', "0,", "0]}]}")),
    "a tensor's shape": ("/v2/models/fake/infer", filled('{"inputs":[{"shape":[', "0,", "0]}]}")),
    "prompts of Roboflow": ("/clip/compare", filled('{"subject":"a","prompt":[', "0,", "0]}")),
    "wrong entries": ("/encode", filled("[", "0,", "0]")),
    "empty entries": ("/encode", filled("[", "{},", "{}]")),
    "candidates": ("/rank", filled('{"queries":[{"text":"a"}],"candidates":[', "0,", "0]}")),
    "labels": ("/classify", filled('{"image":"aGk=","labels":[', "0,", "0]}")),
    "a vector": ("/search", filled('{"vector":[', '"",', '""]}')),
    "parts of a search": ("/search", filled('{"parts":[', "{},", "{}]}")),
    "a filter": ("/search", filled('{"text":"a","filter":{"x":[', "0,", "0]}}")),
    "keys": ("/embeddings", filled('{"text":"a"', ',"":0', "}")),
    "commas in a string": ("/embed", filled('{"inputs":"x","parameters":{"candidate_labels":"', ",", '"}}')),
    "a field that is not read": ("/embeddings", filled('{"text":"a","own":"', "a", '"}')),
    "another, before": ("/v1/embeddings", filled('{"own":["', '\\\\\\"', '"],"input":"a"}')),
    "one of a known name inside": ("/v2/embed", filled('{"own":{"texts":"', "a", '"},"texts":["a"]}')),
    "one that is written in escapes": ("/vectorize", filled('{"texts":["a"],"\\u006fwn":"', "a", '"}')),
    "spaces between": ("/embeddings", filled('{"text":[', " 1 , ", "1]}")),
}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with FakeServer(MAX_TEXTS=MAX_ITEMS, MAX_ITEMS=MAX_ITEMS, MAX_BODY_MB=8) as server:
        yield server


@pytest.mark.process
@pytest.mark.parametrize("name", BODIES)
def test_a_wide_body_is_413_and_cheap(fake: FakeServer, name: str):
    path, body = BODIES[name]
    seconds, bytes = fake.metric("process_cpu_seconds_total"), fake.metric("process_resident_memory_bytes")
    answer = fake.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text[:300]
    assert fake.metric("process_cpu_seconds_total") - seconds < 0.5
    assert fake.metric("process_resident_memory_bytes") - bytes < 40e6


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "a", "own": "a" * 1_900_000}, 200),
        ({"text": "a", "own": "a" * 1_000_000, "others": "a" * 1_100_000}, 413),
        ({"text": ["a"] * 1100}, 413),  # more than MAX_TEXTS, as ever
        ({"text": "a", "model": None, "normalize": True, "image": ["a" * 2_100_000]}, 422),
    ],
)
def test_fields_that_are_not_read_may_be_small(fake: FakeServer, body: dict, status: int):
    answer = fake.http.post("/embeddings", json=body)
    assert answer.status_code == status, answer.text[:300]
    assert ("unknown field" in answer.text) == (status == 413 and "own" in body)


@pytest.mark.parametrize("own", [[0] * 16_000, {str(i): i for i in range(8_000)}, [[]] * 8_000])
def test_nor_may_they_have_as_many_values_as_others(own: object):
    for fields in ({"text": "a", "own": own}, {"own": own, "text": "a"}, {"text": ["a"] * 60_000, "own": own}):
        assert parse_json(json.dumps(fields).encode(), 81_920, {"text"}) == fields
    for fields in ({"text": "a", "own": [own, own]}, {"own": own, "text": "a", "x": {"text": own}}):
        with pytest.raises(TooLarge, match="an unknown field"):
            parse_json(json.dumps(fields).encode(), 81_920, {"text"})
        assert parse_json(json.dumps(fields).encode(), 81_920) == fields


@pytest.mark.process
@pytest.mark.parametrize("number", ["9" * 4000, "0." + "9" * 4000, " 9" + "9" * 1000 + " "])
def test_long_numbers_are_413_and_cheap(fake: FakeServer, number: str):
    seconds = fake.metric("process_cpu_seconds_total")
    answer = fake.http.post("/embeddings", content=filled('{"text":"a","x":[', f"{number},", "1]}"))
    assert answer.status_code == 413, answer.text[:300]
    assert "number" in answer.json()["error"]["message"]
    assert fake.metric("process_cpu_seconds_total") - seconds < 0.2


def test_numbers_may_stand_among_blanks():
    number = "9" * 1000
    content = f'{{"x": [ {" " * 2000}{number}{" " * 2000}\n , 1 ], "a": {" " * 2000}1.5{" " * 2000}}}'
    assert parse_json(content.encode(), WIDE) == {"x": [int(number), 1], "a": 1.5}


@pytest.mark.process
@pytest.mark.parametrize("path", ["/v2/embed", "/v1/embeddings"])
def test_a_type_that_is_asked_for_often_is_computed_once(fake: FakeServer, path: str):
    field = {"/v2/embed": "embedding_types", "/v1/embeddings": "embedding_type"}[path]
    seconds = fake.metric("process_cpu_seconds_total")
    body = {"input": "a"} if path == "/v1/embeddings" else {"texts": ["a"]}
    answer = fake.http.post(path, json={**body, field: ["base64", "float"] * 8_000})
    assert answer.status_code == 200
    assert fake.metric("process_cpu_seconds_total") - seconds < 0.2


def bodies(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in of.__subclasses__():
        yield model
        yield from bodies(model)


def lists(schema: object) -> Iterator[dict]:
    if isinstance(schema, dict):
        if schema.get("type") == "list" and schema["items_schema"]["type"] != "any":
            yield schema
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else []:
        yield from lists(part)


def test_every_list_of_a_body_stops_at_its_first_wrong_item():
    ours = [model for model in bodies() if model.__module__.startswith("openclip_api.server.protocols.")]
    read = [model for model in ours if not model.__name__.endswith("Response")]
    found = {model.__name__: list(lists(model.__pydantic_core_schema__)) for model in read}
    assert {"ClassifyRequest", "EncodeRequest", "SearchRequest", "VectorizeRequest"} <= set(found)
    assert sum(map(len, found.values())) > 12
    assert [name for name, schemas in found.items() if not all(schema.get("fail_fast") for schema in schemas)] == []


@pytest.mark.parametrize(
    "body",
    [
        {"text": ["[{,:" * 20_000, '"' * 50_000, "\\" * 50_001, '\\"' * 20_000, "\n, \u00e9" * 9_000]},
        {"text": "a", "vector": [0.5] * 4096, "filter": {f"column{i}": list(range(900)) for i in range(13)}},
        {"text": "a", "own": [{}] * 8_000},
    ],
)
def test_what_looks_wide_but_is_not_is_read(body: dict):
    assert parse_json(json.dumps(body).encode(), WIDE) == body


def test_values_are_counted_to_the_last_one():
    random = np.random.default_rng(0)
    strings = ["", "a,b", '"', "\\", '\\"', "[{:", "\u00e9"]

    def made(depth: int) -> object:
        kind = random.integers(4) if depth < 5 else 0
        if kind == 3:
            return {f"{random.choice(strings)}{i}": made(depth + 1) for i in range(random.integers(1, 5))}
        if kind:
            return [made(depth + 1) for _ in range(random.integers(1, 5))]
        return random.choice([*strings, 1, True, None]) if random.integers(2) else str(random.choice(strings))

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + sum(1 + count(part) for part in value.values())
        return 1 + sum(map(count, value)) if isinstance(value, list) else 1

    for _ in range(2000):
        value = json.loads(json.dumps(made(0), default=str))
        content, values = json.dumps(value).encode(), count(value)
        assert parse_json(content, values - 1) == value  # the outermost has no comma before it
        if values > 1:
            with pytest.raises(Exception, match="values"):
                parse_json(content, values - 2)
