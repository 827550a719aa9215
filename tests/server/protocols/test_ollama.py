from __future__ import annotations

import numpy as np
import pytest

from ...support.server_process import ServerProcess

ROUTES = ["/api/embed", "/api/embeddings", "/api/show", "/api/chat", "/api/generate"]


def unit_vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json={**body, "normalize": True}).json()["embeddings"])


@pytest.fixture
def name(server: ServerProcess) -> str:
    return server.http.get("/api/tags").json()["models"][0]["name"]


@pytest.mark.parametrize("given", ["a cat", ["a cat"], ["a cat", "a dog"]])
def test_texts(server: ServerProcess, given):
    answer = server.http.post("/api/embed", json={"input": given, "options": {"num_ctx": 1}, "keep_alive": "5m"}).json()
    np.testing.assert_allclose(answer["embeddings"], unit_vectors(server, text=given), atol=1e-6)
    assert answer["prompt_eval_count"] > 2
    assert answer["total_duration"] > 1000


def test_images_follow_texts(server: ServerProcess, images: list[str]):
    answer = server.http.post("/api/embed", json={"input": "a cat", "images": images}).json()
    expected = unit_vectors(server, text="a cat", image=images)
    np.testing.assert_allclose(answer["embeddings"], expected, atol=1e-6)
    assert len(server.http.post("/api/embed", json={"images": images}).json()["embeddings"]) == len(images)


def test_nothing_loads_the_model(server: ServerProcess):
    assert server.http.post("/api/embed", json={}).json()["embeddings"] == []
    assert server.http.post("/api/embed", json={"input": ""}).json()["embeddings"] == []
    assert server.http.post("/api/embeddings", json={}).json()["embedding"] == []


def test_the_older_form_is_not_of_length_1(server: ServerProcess):
    answer = server.http.post("/api/embeddings", json={"prompt": "a cat"}).json()
    expected = server.http.post("/embeddings", json={"text": "a cat"}).json()["embeddings"][0]
    np.testing.assert_allclose(answer["embedding"], expected, atol=1e-6)


def test_dimensions(server: ServerProcess):
    [short] = server.http.post("/api/embed", json={"input": "a cat", "dimensions": 4}).json()["embeddings"]
    expected = unit_vectors(server, text="a cat")[0, :4]
    np.testing.assert_allclose(short, expected / np.linalg.norm(expected), atol=1e-6)


def test_models(server: ServerProcess, name: str):
    shown = server.http.post("/api/show", json={"model": name}).json()
    dimensions = len(unit_vectors(server, text="a")[0])
    assert shown["model_info"]["clip.embedding_length"] == dimensions
    assert "embedding" in shown["capabilities"]
    for body in ({"name": f"{name}:latest"}, {}):
        assert server.http.post("/api/show", json=body).json() == shown
    assert server.http.post("/api/embed", json={"model": f"{name}:latest", "input": "a"}).status_code == 200
    assert server.http.get("/api/version").json()["version"]


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("/api/embed", {"input": ["a", 1]}, 400, "input[1]"),
        ("/api/embed", {"input": ["a", ""]}, 400, "input[1]"),
        ("/api/embed", {"images": ["aGk=", "?"]}, 400, "images[1]"),
        ("/api/embed", {"input": "word " * 200, "truncate": False}, 400, "77 tokens"),
        ("/api/embed", {"input": "a", "dimensions": 10_000}, 400, "dimensions"),
        ("/api/embed", {"input": "a", "model": "nomic-embed-text"}, 404, "not served"),
        ("/api/embed", {"input": ["a"] * 9}, 413, "MAX_TEXTS"),
        ("/api/embeddings", {"prompt": 1}, 400, "prompt"),
        ("/api/show", {"model": "other"}, 404, "not served"),
        ("/api/chat", {"messages": []}, 404, "/api/embed"),
        ("/api/pull", {"model": "a"}, 404, "not found"),
    ],
)
def test_errors_are_strings(server: ServerProcess, path: str, body: dict, status: int, named: str):
    answer = server.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert named.lower() in answer.json()["error"].lower()
