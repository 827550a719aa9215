from __future__ import annotations

import numpy as np
import pytest

from ...support.server_process import ServerProcess


def unit_vectors(server: ServerProcess, **body):
    return np.array(server.http.post("/embeddings", json={**body, "normalize": True}).json()["embeddings"])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


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


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"labels": ["a"]}, "image"),
        ({"image": "aGk=", "labels": []}, "labels"),
        ({"image": "aGk="}, "labels"),
        ({"image": "aGk=", "labels": ["a"]}, "image"),
        ({"image": "aGk=", "labels": ["a"], "templates": ["no place"]}, "templates"),
        ({"image": "aGk=", "labels": "cat"}, "labels"),
    ],
)
def test_a_wrong_field_is_named(server, body: dict, param: str):
    response = server.http.post("/classify", json=body)
    assert response.status_code == 422, response.text
    assert response.json()["error"]["param"] == param
