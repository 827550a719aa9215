from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest

from openclip_api.server.protocols.classify import probabilities

from ...conftest import Encode
from ...runtime.test_embedder import INFO
from ...support.server_process import ServerProcess


def unit_vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json={**body, "normalize": True}).json()["embeddings"])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture
def images(photo: Encode) -> list[str]:
    return [base64.b64encode(photo(name)).decode() for name in ("astronaut", "coffee")]


def test_rank_gives_cosines_and_a_softmax_over_candidates(server, images):
    request = {
        "queries": [{"text": "red sofa"}, {"text": "a cat"}],
        "candidates": [{"img_blob": images[0]}, {"img_blob": images[1]}, {"text": "a dog"}],
    }
    answer = server.http.post("/rank", json=request)
    assert answer.status_code == 200
    vectors = unit_vectors(server, text=["red sofa", "a cat", "a dog"], image=images)
    cosines = vectors[:2] @ vectors[[3, 4, 2]].T
    np.testing.assert_allclose(answer.json()["cosine_similarities"], cosines, atol=1e-5)
    np.testing.assert_allclose(answer.json()["probabilities"], softmax(100 * cosines), atol=1e-3)


def test_rank_names_candidates_that_have_ids_best_first(server, images):
    candidates = [{"img_blob": image, "id": name} for name, image in zip(("one", "two"), images, strict=True)]
    answer = server.http.post(
        "/rank", json={"queries": [{"text": "a"}, {"text": "b"}], "candidates": candidates}
    ).json()
    for names, row in zip(answer["ranking"], answer["cosine_similarities"], strict=True):
        assert names == (["one", "two"] if row[0] > row[1] else ["two", "one"])


def test_classify_lists_labels_best_first(server, images):
    labels = ["a cat", "a cup of coffee", "a rocket"]
    request = {"images": images, "labels": labels, "templates": ["a photo of {}", "{}"]}
    results = server.http.post("/classify", json=request).json()["results"]
    assert len(results) == 2
    prompts = [template.replace("{}", label) for label in labels for template in request["templates"]]
    vectors = unit_vectors(server, image=images)
    texts = np.concatenate([unit_vectors(server, text=prompt) for prompt in prompts])
    classes = texts.reshape(3, 2, -1).mean(axis=1)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    scores = softmax(100 * vectors @ classes.T)
    for row, result in zip(scores, results, strict=True):
        assert [entry["label"] for entry in result] == [labels[i] for i in np.argsort(-row)]
        np.testing.assert_allclose([entry["score"] for entry in result], sorted(row, reverse=True), atol=1e-3)


def test_a_model_with_a_bias_is_scored_by_sigmoid():
    siglip = dataclasses.replace(INFO, logit_scale=10.0, logit_bias=-5.0)
    np.testing.assert_allclose(
        probabilities(np.array([[0.5, 0.7]], np.float32), siglip), [[0.5, 1 / (1 + np.exp(-2))]], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/rank", {"queries": [], "candidates": [{"text": "a"}]}, "queries"),
        ("/rank", {"queries": [{"text": "a"}]}, "candidates"),
        ("/rank", {"queries": [{"text": "a"}, {}], "candidates": [{"text": "a"}]}, "queries[1]"),
        ("/rank", {"queries": [{"text": "a", "img_blob": "aGk="}], "candidates": [{"text": "a"}]}, "queries[0]"),
        ("/rank", {"queries": [{"text": "a"}], "candidates": [{"img_uri": "http://127.0.0.1/a.png"}]}, "candidates[0]"),
        ("/rank", {"queries": [{"text": "a"}], "candidates": [{"text": "a"}, {"img_blob": "aGk="}]}, "candidates[1]"),
        ("/rank", {"queries": ["a"], "candidates": [{"text": "a"}]}, "queries[0]"),
        ("/classify", {"labels": ["a"]}, "image"),
        ("/classify", {"image": "aGk=", "labels": []}, "labels"),
        ("/classify", {"image": "aGk="}, "labels"),
        ("/classify", {"image": "aGk=", "labels": ["a"]}, "image"),
        ("/classify", {"image": "aGk=", "labels": ["a"], "templates": ["no place"]}, "templates"),
        ("/classify", {"image": "aGk=", "labels": "cat"}, "labels"),
    ],
)
def test_a_wrong_field_is_named(server, path: str, body: dict, param: str):
    response = server.http.post(path, json=body)
    assert response.status_code == 422, response.text
    assert response.json()["error"]["param"] == param
