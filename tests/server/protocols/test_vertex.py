"""Vertex AI and SageMaker as they start a container: with variables that name the port and the paths."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from openclip_api.errors import InvalidSetting
from openclip_api.settings import read_settings

from ...support.free_port import free_port
from ...support.repository import ROOT
from ...support.server_in_process import build_app, serve_in_process
from ...support.server_process import FakeServer, ServerProcess

PREDICT = "/v1/endpoints/123/deployedModels/456:predict"
HEALTH = "/v1/endpoints/123/deployedModels/456"


@pytest.fixture(scope="module")
def vertex() -> Iterator[ServerProcess]:
    with serve_in_process(build_app(MODEL_NAME="emoji", AIP_HEALTH_ROUTE=HEALTH, AIP_PREDICT_ROUTE=PREDICT)) as server:
        yield server


@pytest.fixture(scope="module")
def picture() -> str:
    return base64.b64encode((ROOT / "samples" / "cat.png").read_bytes()).decode()


@pytest.mark.parametrize("path", [PREDICT, "/predict"])
def test_instances_become_predictions(vertex: ServerProcess, path: str, picture: str):
    instances = [
        "a cat",
        {"text": "a dog"},
        {"image": picture},
        {"image": {"bytesBase64Encoded": picture}},
        {"image": {"b64": picture}},
    ]
    rows = vertex.http.post(path, json={"instances": instances}).json()["predictions"]
    native = {"text": ["a cat", "a dog"], "image": picture, "normalize": True}
    expected = np.array(vertex.http.post("/embeddings", json=native).json()["embeddings"])
    np.testing.assert_allclose(rows, expected[[0, 1, 2, 2, 2]], atol=1e-6)
    for parameters in ({"dimension": 4}, {"dimension": 4.0}, {"dimensions": 4}):
        short = vertex.http.post(path, json={"instances": ["a"], "parameters": parameters}).json()["predictions"]
        assert len(short[0]) == 4


@pytest.mark.parametrize("path", [PREDICT, "/predict"])
@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"instances": []}, 400, "instances"),
        ({"instances": "a"}, 400, "instances"),
        ({"instances": ["a", 1]}, 400, "instances[1]"),
        ({"instances": ["a", {}]}, 400, "instances[1]"),
        ({"instances": ["a", {"text": "a", "image": "b"}]}, 400, "instances[1]"),
        ({"instances": ["a", {"text": 1}]}, 400, "instances[1].text"),
        ({"instances": ["a", {"image": {"b64": 1}}]}, 400, "instances[1].image"),
        ({"instances": ["a", {"image": {"b64": "aGk=", "bytesBase64Encoded": "aGk="}}]}, 400, "instances[1].image"),
        ({"instances": ["a", {"image": {"gcsUri": "gs://a/b.png"}}]}, 400, "instances[1].image: expected base64"),
        ({"instances": ["a", {"image": "aGk="}]}, 400, "instances[1].image"),
        ({}, 400, "instances"),
        ([], 400, "body"),
        ({"instances": ["a"], "parameters": {"dimension": 100_000}}, 400, "parameters.dimension"),
        ({"instances": ["a"], "parameters": {"dimension": 4.5}}, 400, "parameters.dimension"),
        ({"instances": ["a"], "model": "other"}, 404, "model"),
        ({"instances": ["a"] * 2049}, 413, "MAX_TEXTS"),
    ],
)
def test_errors_are_google_s(vertex: ServerProcess, path: str, body: dict, status: int, named: str):
    answer = vertex.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == status
    assert error["status"] == ("NOT_FOUND" if status == 404 else "INVALID_ARGUMENT")
    assert named in error["message"]


@pytest.mark.parametrize("path", [PREDICT, "/predict"])
@pytest.mark.parametrize(
    "media_type",
    [None, "", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "text/plain", "x", "multipart"],
)
def test_json_is_read_whatever_the_media_type(vertex: ServerProcess, path: str, media_type: str | None):
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = vertex.http.post(path, content=b'{"instances": ["a"]}', headers=headers)
    assert len(answer.json()["predictions"]) == 1
    refused = vertex.http.post(path, content=b'{"instances": [', headers=headers)
    assert (refused.status_code, list(refused.json())) == (400, ["error"])


@pytest.mark.parametrize("path", ["/", "/embeddings", "/v1/embeddings", "/invocations", "/clip/compare"])
def test_a_path_that_another_route_has_is_vertex_s(path: str):
    settings = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": path, "API_KEY": "right"}
    with serve_in_process(build_app(MODEL_NAME="emoji", **settings)) as server:
        key = {"Authorization": "Bearer right"}
        assert server.http.get("/health").text == "ok"
        assert "predictions" in server.http.post(path, json={"instances": ["a"]}, headers=key).json()
        assert list(server.http.post(path, json={}, headers=key).json()) == ["error"]
        assert list(server.http.post(path, json={"api_key": "right", "instances": ["a"]}).json()) == ["error"]
        paths = server.http.get("/openapi.json", headers=key).json()["paths"]
        assert paths[path]["post"]["tags"] == paths["/health"]["get"]["tags"] == ["Vertex AI"]
        allowed = server.http.delete(path, headers=key).headers["allow"]
        assert "POST" in allowed


def test_health_and_what_openapi_shows(vertex: ServerProcess):
    assert vertex.http.get(HEALTH).text == "ok"
    paths = vertex.http.get("/openapi.json").json()["paths"]
    assert {HEALTH, PREDICT, "/invocations"} <= paths.keys()
    assert {"application/json", "multipart/form-data"} == paths["/predict"]["post"]["requestBody"]["content"].keys()


def test_immich_s_forms_stay_where_the_path_is_the_same(vertex: ServerProcess):
    form = {"entries": (None, '{"clip": {"textual": {"modelName": "emoji"}}}'), "text": (None, "a cat")}
    for settings in ({}, {"AIP_PREDICT_ROUTE": "/predict"}):
        with serve_in_process(build_app(MODEL_NAME="emoji", **settings)) as server:
            assert "clip" in server.http.post("/predict", files=form).json()
            assert server.http.post("/predict", json={"instances": ["a"]}).status_code == 200


@pytest.mark.process
def test_the_health_route_is_503_while_the_model_loads_and_needs_no_key():
    settings = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": PREDICT, "API_KEY": "right"}
    with FakeServer(ready=False, FAKE_LOAD_SECONDS=2, **settings) as server:
        url = server.wait_until_listening()
        assert httpx.get(f"{url}/health").status_code == 503
        server.wait_until_ready()
        assert server.http.get("/health").status_code == 200
        refused = server.http.post(PREDICT, json={"instances": ["a"]})
        assert (refused.status_code, list(refused.json())) == (401, ["error"])
        keyed = server.http.post(PREDICT, json={"instances": ["a"]}, headers={"Authorization": "Bearer right"})
        assert keyed.status_code == 200


@pytest.mark.process
@pytest.mark.parametrize("name", ["SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"])
def test_the_platform_names_the_port(name: str):
    """PORT is what the container's own image sets."""
    port = free_port()
    with FakeServer(PORT=free_port(), **{name: port}) as server:
        assert server.http.base_url.port == port
        assert server.http.get("/ping").text == "pong"
        rows = server.http.post("/invocations", json={"inputs": ["a", "b"]}).json()
        assert len(rows) == 2


def test_a_flag_goes_before_what_the_platform_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "8080")
    assert read_settings().port == 8080
    assert read_settings(port="1").port == 1


@pytest.mark.parametrize(
    "value",
    [
        "predict",
        "/a b",
        "/{model}",
        "http://a/predict",
        "",
        "//",
        "/a//b",
        "/a/../b",
        "/.",
        "/é",
        "/a%20b",
        "/a?b",
        "/openapi.json",
    ],
)
def test_a_path_that_is_none_ends_the_start(value: str):
    with pytest.raises(InvalidSetting, match=r"AIP_PREDICT_ROUTE=.*expected a path"):
        read_settings(aip_predict_route=value)
