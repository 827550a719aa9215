"""Bytes as they are: an image as the body, vectors as octets."""

from __future__ import annotations

import numpy as np
import pytest

from ...conftest import Encode
from .test_native import assert_clear_error, b64, vectors

FORMATS = {"image/jpeg": "JPEG", "image/jpg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF",
           "image/bmp": "BMP"}  # fmt: skip


@pytest.mark.parametrize("media_type", FORMATS)
def test_an_image_is_the_body(server, photo: Encode, media_type: str):
    data = photo("coffee", FORMATS[media_type], size=(80, 60))
    response = server.http.post("/embeddings", content=data, headers={"Content-Type": media_type})
    assert response.status_code == 200, response.text
    np.testing.assert_array_equal(np.float32(response.json()["embeddings"]), vectors(server, image=b64(data)))


def test_options_stand_in_the_url(server, photo: Encode):
    headers = {"Content-Type": "image/jpeg; charset=binary"}
    options = {"normalize": "true", "model": server.http.get("/info").json()["models"][0]}
    response = server.http.post("/embeddings", content=photo(), headers=headers, params=options)
    assert np.linalg.norm(response.json()["embeddings"]) == pytest.approx(1, abs=1e-6)
    assert_clear_error(
        server.http.post("/embeddings", content=photo(), headers=headers, params={"model": "x"}), 404, "model"
    )
    assert_clear_error(
        server.http.post("/embeddings", content=photo(), headers=headers, params={"normalize": "1"}), 422, "normalize"
    )


@pytest.mark.parametrize("accept", ["application/octet-stream", "text/plain, Application/Octet-Stream;q=0.9"])
def test_vectors_as_octets(server, photo: Encode, accept: str):
    body = {"text": ["a", "b"], "image": b64(photo())}
    response = server.http.post("/embeddings", json=body, headers={"Accept": accept})
    assert response.headers["content-type"] == "application/octet-stream"
    assert (response.headers["x-shape"], response.headers["x-dtype"]) == ("3,16", "float32")
    assert response.headers["x-model-fingerprint"]
    np.testing.assert_array_equal(np.frombuffer(response.content, "<f4").reshape(3, 16), vectors(server, **body))


def test_errors_are_json_even_where_octets_are_wanted(server):
    response = server.http.post("/embeddings", json={"text": 3}, headers={"Accept": "application/octet-stream"})
    assert_clear_error(response, 422, "text")


@pytest.mark.parametrize("media_type", ["image/tiff", "image/svg+xml", "image/heic", "image/*"])
def test_other_image_types_are_415(server, photo: Encode, media_type: str):
    assert_clear_error(
        server.http.post("/embeddings", content=photo(), headers={"Content-Type": media_type}), 415, None
    )


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 422), (b"no image", 422), (b"\xff\xd8\xff" + b"\0" * 4_100_000, 413)]
)
def test_a_body_that_is_no_image_is_refused(server, content: bytes, status: int):
    response = server.http.post("/embeddings", content=content, headers={"Content-Type": "image/jpeg"})
    assert_clear_error(response, status, "body")


def test_a_compressed_image_body_is_415(server, photo: Encode):
    headers = {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}
    assert_clear_error(server.http.post("/embeddings", content=photo(), headers=headers), 415, None)
