"""Each protocol tells errors in its own words, also those that come before its route is reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from safetensors.numpy import save

from ...support.hub_server import Hub, Slow
from ...support.server_process import FakeServer, ServerProcess
from ...support.tiny_checkpoint import CONFIG, tiny_weights

# Route → a body that it takes, and the keys of its errors
NATIVE = ["error"]
ROUTES: dict[str, tuple[Any, list[str]]] = {
    "/embeddings": ({"text": "a"}, NATIVE),
    "/classify": ({"images": ["aGk="], "labels": ["a"]}, NATIVE),
    "/rank": ({"queries": [{"text": "a"}], "candidates": [{"text": "b"}]}, NATIVE),
    "/encode": ([{"text": "a"}], NATIVE),
    "/v1/embeddings": ({"input": "a"}, ["error"]),
    "/v2/embed": ({"texts": ["a"]}, ["message"]),
    "/v1/multimodalembeddings": ({"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, ["detail"]),
    "/vectorize": ({"texts": ["a"]}, ["error"]),
    "/api/embed": ({"input": "a"}, ["error"]),
    "/api/embeddings": ({"prompt": "a"}, ["error"]),
    "/embed": ({"inputs": "a"}, ["error", "error_type"]),
    "/": ({"inputs": "a"}, ["error", "error_type"]),
    "/invocations": ({"inputs": "a"}, ["code", "message"]),
    "/endpoints/a/invocations": ({"inputs": "a"}, ["code", "message"]),
    "/v2/models/ViT-B-32/infer": (
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        ["error"],
    ),
    "/clip/embed_text": ({"text": "a"}, ["message"]),
    "/predict": ({"entries": (None, '{"clip": {"textual": {"modelName": "fake"}}}'), "text": (None, "a")}, ["detail"]),
}


def post(server: ServerProcess, path: str, model: str = "ViT-B-32", **options: Any) -> httpx.Response:
    body = ROUTES[path][0]
    return server.http.post(
        path.replace("ViT-B-32", model), **({"files": body} if path == "/predict" else {"json": body}), **options
    )


def assert_envelope(path: str, response: httpx.Response, status: int) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ROUTES[path][1]
    if path == "/v1/embeddings":
        assert set(body["error"]) == {"message", "type", "param", "code"}
    elif path in ("/embeddings", "/classify", "/rank", "/encode"):
        assert set(body["error"]) == {"type", "message", "param"}
    else:
        assert isinstance(next(iter(body.values())), str)


@pytest.fixture(scope="module")
def closed() -> Iterator[FakeServer]:
    with FakeServer(API_KEY="key-1") as server:
        yield server


@pytest.mark.process
@pytest.mark.parametrize("path", ROUTES)
def test_without_a_key(closed: FakeServer, path: str):
    assert_envelope(path, post(closed, path), 401)
    assert post(closed, path, headers={"Authorization": "Bearer key-1"}).status_code in (200, 404, 422)


@pytest.mark.process
@pytest.mark.parametrize("path", sorted(ROUTES.keys() - {"/classify", "/predict"}))
def test_an_error_of_the_server_s_own(closed: FakeServer, path: str):
    body = json.dumps(ROUTES[path][0]).replace('"a"', '"poison"')
    response = closed.http.post(path, content=body, headers={"Authorization": "Bearer key-1"})
    assert_envelope(path, response, 500)
    assert response.headers["x-request-id"] in response.text
    assert "poison" not in response.text


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    files = {
        "open_clip_config.json": json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}).encode(),
        "open_clip_model.safetensors": save(tiny_weights()),
    }
    with Hub({"org/tiny-clip": files}) as hub:
        hub.fault = Slow(pause=60)
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": tmp_path_factory.mktemp("home"),
            "MODEL_NAME": "hf-hub:org/tiny-clip",
        }
        with ServerProcess(ready=False, **settings) as server:
            server.http.base_url = server.wait_until_listening()
            yield server


@pytest.mark.process
@pytest.mark.parametrize("path", ROUTES)
def test_while_the_model_loads(loading: ServerProcess, path: str):
    if path == "/predict":
        entries = {"clip": {"textual": {"modelName": "hf-hub:org/tiny-clip"}}}
        files = {"entries": (None, json.dumps(entries)), "text": (None, "a")}
        response = loading.http.post(path, files=files)
    else:
        response = post(loading, path, "hf-hub:org/tiny-clip")
    assert_envelope(path, response, 503)
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.process
def test_what_others_ask_for_readiness(loading: ServerProcess):
    assert loading.http.get("/.well-known/live").status_code == 204
    for path in ("/.well-known/ready", "/ping"):
        response = loading.http.get(path)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", sorted(ROUTES.keys() - {"/"}))  # that is a page's too
def test_a_method_that_is_not_there(server: ServerProcess, path: str):
    assert_envelope(path, server.http.delete(path), 405)
