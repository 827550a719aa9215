from __future__ import annotations

import tracemalloc

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


WIDE = {
    "many places": (["a" * 100_000], ["{}" * 20_000]),
    "many places, many labels": (["a" * 1000] * 8, ["{}" * 49_999]),
    "many prompts": ([str(i) for i in range(1000)], [f"{i} {{}}" for i in range(1000)]),
    "long prompts": (["a" * 90_000] * 4, ["{} " + "b" * 90_000] * 4),
    "little labels": ([""] * 4000, ["{}" * 4000] * 4),
}


@pytest.mark.parametrize("name", WIDE)
def test_prompts_are_counted_before_there_are_any(server, name: str):
    labels, templates = WIDE[name]
    tracemalloc.start()
    answer = server.http.post("/classify", json={"image": "aGk=", "labels": labels, "templates": templates})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 413, answer.text
    assert peak < 10e6  # of this process: in `make quick` the server is in it
