"""text-embeddings-inference, Hugging Face's tasks, and SageMaker, whose containers take the same bodies."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from ...conftest import Encode
from ...support.server_process import ServerProcess

EMBEDDING = ["/embed", "/", "/invocations"]  # tests/clients asks /endpoints/{name}/invocations
CLASSIFYING = ["/", "/invocations"]


def unit_vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json={**body, "normalize": True}).json()["embeddings"])


@pytest.mark.parametrize("path", EMBEDDING)
@pytest.mark.parametrize("given", ["a cat", ["a cat"], ["a cat", "a dog"], [{"text": "a cat"}, "a dog"]])
def test_texts(server: ServerProcess, path: str, given):
    rows = server.http.post(path, json={"inputs": given, "truncate": True, "prompt_name": None}).json()
    plain = [
        value if isinstance(value, str) else value["text"] for value in (given if isinstance(given, list) else [given])
    ]
    np.testing.assert_allclose(rows, unit_vectors(server, text=plain), atol=1e-6)


@pytest.mark.parametrize("path", EMBEDDING)
def test_images(server: ServerProcess, path: str, images: list[str]):
    inputs = [f"data:image/jpeg;base64,{images[0]}", {"image": images[1]}, "a cat"]
    rows = server.http.post(path, json={"inputs": inputs}).json()
    np.testing.assert_allclose(rows[:2], unit_vectors(server, image=images[:2]), atol=1e-6)
    np.testing.assert_allclose(rows[2:], unit_vectors(server, text="a cat"), atol=1e-6)


@pytest.mark.parametrize("place", ["above", "in parameters"])
def test_options(server: ServerProcess, place: str):
    def ask(**options):
        body = options if place == "above" else {"parameters": options}
        return server.http.post("/embed", json={"inputs": "a cat", **body}).json()

    raw = server.http.post("/embeddings", json={"text": "a cat"}).json()["embeddings"]
    np.testing.assert_allclose(ask(normalize=False), raw, atol=1e-6)
    assert len(ask(dimensions=4)[0]) == 4
    assert np.linalg.norm(ask(dimensions=4)) == pytest.approx(1)


@pytest.mark.parametrize("path", CLASSIFYING)
@pytest.mark.parametrize("labels", [["a cat", "a cup of coffee", "a rocket"], "a cat, a cup of coffee, a rocket"])
def test_zero_shot_image_classification(server: ServerProcess, path: str, images: list[str], labels):
    parameters = {"candidate_labels": labels, "hypothesis_template": "a photo of {}"}
    rows = server.http.post(path, json={"inputs": images[0], "parameters": parameters}).json()
    classified = {
        "image": images[0],
        "labels": ["a cat", "a cup of coffee", "a rocket"],
        "templates": ["a photo of {}"],
    }
    [expected] = server.http.post("/classify", json=classified).json()["results"]
    assert [row["label"] for row in rows] == [row["label"] for row in expected]
    np.testing.assert_allclose([row["score"] for row in rows], [row["score"] for row in expected], atol=1e-6)
    many = server.http.post(path, json={"inputs": [{"image": image} for image in images], "parameters": parameters})
    assert [len(rows) for rows in many.json()] == [3] * len(images)


def test_sagemaker_takes_an_image_s_bytes(server: ServerProcess, photo: Encode):
    image = photo(size=(64, 48))
    answer = server.http.post("/invocations", content=image, headers={"Content-Type": "image/jpeg"})
    np.testing.assert_allclose(answer.json(), unit_vectors(server, image=base64.b64encode(image).decode()), atol=1e-6)
    refused = server.http.post("/invocations", content=b"hello", headers={"Content-Type": "image/png"})
    assert refused.status_code == 400


@pytest.mark.parametrize("path", EMBEDDING)
@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 422, "inputs"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": 1}, 422, "inputs"),
        ({"inputs": ["a", ""]}, 422, "inputs[1]"),
        ({"inputs": ["a", {"text": ""}]}, 422, "inputs[1]: an empty text"),
        ({"inputs": ["a", [1, 2]]}, 422, "inputs[1]: token ids"),
        ({"inputs": ["a", {"image": "?"}]}, 422, "inputs[1]"),
        ({"inputs": ["a", {"picture": "?"}]}, 422, "inputs[1]"),
        ({"inputs": "word " * 200, "truncate": False}, 422, "77 tokens"),
        ({"inputs": "word " * 200, "truncate": True, "truncation_direction": "Left"}, 422, "77 tokens"),
        ({"inputs": "a", "prompt_name": "query"}, 422, "prompt_name"),
        ({"inputs": "a", "dimensions": 10_000}, 422, "dimensions"),
        ({"inputs": ["a"] * 9}, 413, "MAX_TEXTS"),
        ({"inputs": "a", "model": "other"}, 404, "not served"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": ["a"]}}, 422, "inputs"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": []}}, 422, "candidate_labels"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": ""}}, 422, "parameters.candidate_labels[0]: an empty"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": "a, ,b"}}, 422, "parameters.candidate_labels[1]"),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": ["a", 1]}}, 422, "parameters.candidate_labels[1]"),
        (
            {"inputs": "aGk=", "parameters": {"candidate_labels": ["a", "a"]}},
            422,
            "parameters.candidate_labels[1]: the",
        ),
        ({"inputs": "aGk=", "parameters": {"candidate_labels": ["a"], "hypothesis_template": "a"}}, 422, "template"),
    ],
)
def test_errors_are_the_original_s(server: ServerProcess, path: str, body: dict, status: int, named: str):
    answer = server.http.post(path, json=body)
    if path == "/invocations":
        status = 400 if status == 422 else status
        assert list(answer.json()) == ["code", "message"]
    else:
        assert answer.json()["error_type"] == "Validation"
    assert answer.status_code == status, answer.text
    assert named in answer.json()["message" if path == "/invocations" else "error"]


@pytest.mark.parametrize("path", ["/embed_all", "/embed_sparse"])
def test_vectors_that_no_clip_has_are_refused(server: ServerProcess, path: str):
    answer = server.http.post(path, json={"inputs": "a"})
    assert answer.status_code == 404
    assert "/embed" in answer.json()["error"]


def test_info_has_what_tei_tells_too(server: ServerProcess):
    info = server.http.get("/info").json()
    assert info["model_dtype"] == "float32"
    assert info["max_input_length"] == 77
    assert info["max_client_batch_size"] == 8
    assert info["auto_truncate"] is True
    assert "embedding" in info["model_type"]
