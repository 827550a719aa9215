from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from openclip_api.server.protocols.classify import RED_SQUARE

from ...support.server_process import FakeServer, ServerProcess


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
        ({"image": "aGk=", "labels": ["a", 1]}, "labels[1]"),
        ({"image": "aGk=", "labels": ["a", None]}, "labels[1]"),
        ({"image": "aGk=", "labels": [""]}, "labels[0]"),
        ({"image": "aGk=", "labels": ["a", " \n"]}, "labels[1]"),
        ({"image": "aGk=", "labels": ["a", "b", "a "]}, "labels[2]"),
        ({"image": ["aGk="], "images": ["aGk=", "?"], "labels": ["a"]}, "images[1]"),
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


@pytest.fixture(scope="module")
def fake():
    with FakeServer(MAX_TEXTS=100, TEXT_CACHE_MB=16) as process:
        yield process


def computed(server: FakeServer) -> float:
    return server.metric("openclip_items_total", kind="text")


TEMPLATES = [f"{i} pictures of {{}}" for i in range(80)]


@pytest.mark.process
def test_a_thousand_labels_and_eighty_templates_whose_vectors_are_kept(fake: FakeServer):
    asked = {"image": RED_SQUARE, "labels": [f"{i} apples" for i in range(1000)], "templates": TEMPLATES}
    first = fake.http.post("/classify", json=asked)
    assert first.status_code == 200, first.text[:300]
    assert len(first.json()["results"][0]) == 1000
    before = computed(fake)
    asked["labels"] = [*reversed(asked["labels"]), "another"]
    again = fake.http.post("/classify", json={**asked, "templates": TEMPLATES[:79]})
    assert again.status_code == 200
    assert computed(fake) > before
    before = computed(fake)
    again = fake.http.post("/classify", json={**asked, "labels": asked["labels"][:1000]})
    assert computed(fake) == before
    cosines = [{row["label"]: row["cosine"] for row in answer.json()["results"][0]} for answer in (first, again)]
    assert cosines[0] == cosines[1]


@pytest.mark.process
def test_labels_that_are_too_many_name_the_setting(fake: FakeServer):
    asked = {"image": RED_SQUARE, "labels": [f"{i} apples" for i in range(1001)], "templates": TEMPLATES}
    answer = fake.http.post("/classify", json=asked)
    assert answer.status_code == 413
    assert "MAX_PROMPTS" in answer.json()["error"]["message"]
    assert "send fewer" not in answer.json()["error"]["message"]


@pytest.mark.process
def test_what_was_computed_before_the_deadline_is_kept():
    settings = {"FAKE_BATCH_SECONDS": 0.05, "REQUEST_TIMEOUT": 1, "TEXT_CACHE_MB": 16, "MAX_TEXTS": 16}
    with FakeServer(**settings) as server:
        asked = {"image": RED_SQUARE, "labels": [f"{i} apples" for i in range(600)], "templates": ["{}"]}
        statuses = []
        while 200 not in statuses and len(statuses) < 10:
            answer = server.http.post("/classify", json=asked)
            statuses.append(answer.status_code)
        assert set(statuses[:-1]) == {504}
        assert statuses[-1] == 200
        assert computed(server) < 900


@pytest.mark.process
def test_the_vectors_kept_are_bounded_in_bytes():
    with FakeServer(TEXT_CACHE_MB=0.1) as server:
        for start in range(0, 3000, 500):
            asked = {"image": RED_SQUARE, "labels": [f"{i} apples" for i in range(start, start + 500)]}
            assert server.http.post("/classify", json=asked).status_code == 200
        before = computed(server)
        assert server.http.post("/classify", json={**asked, "labels": ["0 apples"]}).status_code == 200
        assert computed(server) == before + 1
