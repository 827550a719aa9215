"""Requests as large as OpenAI-style clients send them, with the default limits."""

from __future__ import annotations

import base64

import pytest

from ...conftest import Encode
from ...support.server_in_process import build_app, serve_in_process
from ...support.server_process import FakeServer, ServerProcess

LARGEST = 2048
FIELDS = {
    "/embeddings": ("text", "embeddings"),
    "/v1/embeddings": ("input", "data"),
    "/v2/embed": ("texts", "texts"),
    "/vectorize": ("texts", "textVectors"),
}


@pytest.fixture(scope="module")
def emoji():
    with serve_in_process(build_app(MODEL_NAME="emoji")) as server:
        yield server


@pytest.mark.parametrize("path", FIELDS)
def test_2048_texts_are_one_request(emoji: ServerProcess, path: str):
    field, rows = FIELDS[path]
    answer = emoji.http.post(path, json={field: [f"thing {i}" for i in range(LARGEST)]})
    assert answer.status_code == 200, answer.text[:300]
    assert len(answer.json()[rows]) == LARGEST
    answer = emoji.http.post(path, json={field: [f"thing {i}" for i in range(LARGEST + 1)]})
    assert answer.status_code == 413
    assert "MAX_TEXTS" in answer.text


def test_texts_and_images_are_counted_apart(server: ServerProcess, photo: Encode):
    texts, image = [str(i) for i in range(8)], base64.b64encode(photo(size=(64, 48))).decode()
    assert server.http.post("/embeddings", json={"text": texts, "image": [image] * 8}).status_code == 200
    over = server.http.post("/embeddings", json={"text": texts, "image": [image] * 9})
    assert over.status_code == 413
    assert "MAX_ITEMS" in over.text


@pytest.mark.process
def test_more_than_the_queue_holds_names_the_setting():
    with FakeServer(MAX_QUEUE=100) as server:
        answer = server.http.post("/embeddings", json={"text": [str(i) for i in range(101)]})
        assert answer.status_code == 413
        assert "MAX_QUEUE=100" in answer.text
