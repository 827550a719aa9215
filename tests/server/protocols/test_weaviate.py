"""Weaviate's inference container: its own smoke checks, and what its module sends and reads."""

from __future__ import annotations

import numpy as np
import pytest

from ...conftest import Encode
from ...golden import IMAGES
from ...support.server_process import ServerProcess
from .test_native import BAD_JSON, CANARY, b64
from .test_openai import raw, unit


def vectorize(server: ServerProcess, texts: list[str], images: list[str]) -> tuple[np.ndarray, np.ndarray]:
    response = server.http.post("/vectorize", json={"texts": texts, "images": images})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {"textVectors", "imageVectors"}
    return np.array(answer["textVectors"], np.float32), np.array(answer["imageVectors"], np.float32)


def test_live_and_ready_are_204_and_empty(server):
    for path in ("/.well-known/live", "/.well-known/ready"):
        response = server.http.get(path)
        assert (response.status_code, response.content) == (204, b"")


def test_meta_is_an_object(server):
    meta = server.http.get("/meta").json()
    assert meta["model_config"] == {"embed_dim": 16, "image_size": 32, "context_length": 77}
    assert meta["fingerprint"] == server.http.get("/info").json()["fingerprint"]


def test_vectors_are_of_unit_length_and_in_order(server, photo: Encode):
    images = [b64(photo("astronaut")), b64(photo("coffee", "PNG", (80, 60)))]
    texts, pictures = vectorize(server, ["a cat", "red sofa"], images)
    np.testing.assert_allclose(texts, unit(raw(server, text=["a cat", "red sofa"])), atol=1e-6)
    np.testing.assert_allclose(pictures, unit(raw(server, image=images)), atol=1e-5)


def test_the_same_item_twice_in_a_request_gives_the_very_same_vector(server, photo: Encode):
    one, other = b64(photo("astronaut")), b64(photo("coffee"))
    texts, images = vectorize(server, ["a cat", "red sofa", "a cat"], [one, other, one, other, one])
    np.testing.assert_array_equal(texts[0], texts[2])
    np.testing.assert_array_equal(images[[0, 1]], images[[2, 3]])
    np.testing.assert_array_equal(images[0], images[4])


@pytest.mark.process
def test_the_same_item_is_computed_once_however_batches_fall(tiny, photo: Encode):
    with ServerProcess(MODEL_NAME=f"local-dir:{tiny}", MAX_QUEUE=2) as server:
        texts, images = vectorize(server, ["a cat"] * 5, [b64(photo())] * 5)
        assert (len(np.unique(texts, axis=0)), len(np.unique(images, axis=0))) == (1, 1)
        assert server.http.post("/vectorize", json={"texts": ["a", "b", "c"]}).status_code == 413
        assert server.stop() == 0


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name in IMAGES if name.startswith("palette")])
def test_palette_images_are_read(server, name: str):
    assert vectorize(server, [], [b64(IMAGES[name])])[1].shape == (1, 16)


@pytest.mark.parametrize("body", [{}, {"texts": [], "images": []}, {"texts": None, "images": None}])
def test_nothing_asked_gives_empty_lists(server, body: dict):
    response = server.http.post("/vectorize", json=body)
    assert response.status_code == 200
    assert response.json() == {"textVectors": [], "imageVectors": []}


def assert_error(response, status: int) -> None:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert isinstance(response.json()["error"], str)
    assert CANARY not in response.text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"texts": CANARY}, "texts"),
        ({"texts": ["a", 3]}, "texts[1]"),
        ({"images": ["aGk=", CANARY + "!"]}, "images[1]"),
        ({"images": ["aGk="]}, "images"),
        ({"images": [f"http://{CANARY}/a.png"]}, "images"),
        ([], "body"),
    ],
)
def test_a_wrong_field_is_422_and_named(server, body: dict, named: str):
    response = server.http.post("/vectorize", json=body)
    assert_error(response, 422)
    assert response.json()["error"].startswith(named)


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json_is_400(server, name: str):
    assert_error(server.http.post("/vectorize", content=BAD_JSON[name]), 400)


def test_errors_that_are_not_the_body_s_have_the_same_envelope(server):
    assert_error(server.http.post("/vectorize", json={"texts": ["a"] * 9}), 413)
    assert_error(server.http.post("/vectorize", content=b" " * 4_100_000), 413)
    assert_error(server.http.post("/vectorize", json={"texts": ["a"]}, headers={"If-Match": '"x"'}), 412)
    assert_error(server.http.get("/vectorize"), 405)
