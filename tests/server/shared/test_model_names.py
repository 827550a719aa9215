"""The name of a model that is empty or blank is none of the server's: 404 in each protocol. Without one, or null, it is
the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from openclip_api.server.shared.items import EXAMPLE_PNG

from ...support.server_in_process import ServerInProcess, build_app, serve_in_process

PARTS = {"content": [{"type": "text", "text": "a"}]}
PLACES: list[tuple[str, str, dict[str, Any]]] = [
    ("/embeddings", "model", {"text": "a"}),
    ("/clip-embed", "model", {"text": "a"}),
    ("/classify", "model", {"image": EXAMPLE_PNG, "labels": ["a"]}),
    ("/rank", "model", {"queries": [{"text": "a"}], "candidates": [{"text": "a"}]}),
    ("/v1/embeddings", "model", {"input": "a"}),
    ("/embeddings_image", "model", {"input": EXAMPLE_PNG}),
    ("/v2/embed", "model", {"texts": ["a"]}),
    ("/v1/multimodalembeddings", "model", {"inputs": [PARTS]}),
    ("/predict", "model", {"instances": ["a"]}),
    ("/api/embed", "model", {"input": "a"}),
    ("/api/embeddings", "model", {"prompt": "a"}),
    ("/embed", "model", {"inputs": "a"}),
    ("/", "model", {"inputs": "a"}),
    ("/invocations", "model", {"inputs": "a"}),
    ("/clip/embed_text", "clip_version_id", {"text": "a"}),
    ("/clip/embed_image", "clip_version_id", {"image": EXAMPLE_PNG}),
    ("/clip/compare", "clip_version_id", {"subject": EXAMPLE_PNG, "prompt": "a"}),
]
EMPTY = ["", " ", "\t\n", ":", ":latest"]


@pytest.fixture(scope="module", params=["emoji", "emoji,RN50:openai"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerInProcess]:
    with serve_in_process(build_app(MODELS=request.param, MAX_LOADED_MODELS=1)) as server:
        yield server


@pytest.mark.parametrize(("path", "field", "body"), PLACES)
def test_one_rule_for_all(server: ServerInProcess, path: str, field: str, body: dict[str, Any]):
    for name in EMPTY:
        answer = server.http.post(path, json={**body, field: name})
        assert answer.status_code == 404, (name, answer.text)
        assert "not served here; this server has emoji" in answer.text
    for asked in (body, {**body, field: None}, {**body, field: "emoji"}):
        assert server.http.post(path, json=asked).status_code == 200


@pytest.mark.parametrize("name", EMPTY)
def test_also_where_it_stands_elsewhere(server: ServerInProcess, name: str):
    assert server.http.get("/info", params={"model": name}).status_code == 404
    for asked in ({"model": name}, {"name": name}):
        assert server.http.post("/api/show", json=asked).status_code == 404
    entries = {"clip": {"textual": {"modelName": name}}}
    form = {"entries": (None, json.dumps(entries)), "text": (None, "a")}
    assert server.http.post("/predict", files=form).status_code == 404
    form = {"text": (None, "a"), "model": (None, name)}
    assert server.http.post("/embeddings", files=form).status_code == 404
