"""CLIP-API-service's /encode with its bare arrays, and /rank."""

from __future__ import annotations

import numpy as np
import pytest

from ...conftest import Encode
from .test_classify import softmax, unit_vectors
from .test_native import CANARY, assert_clear_error, b64
from .test_openai import raw


def test_encode_takes_and_gives_bare_arrays_as_the_model_gives_them(server, photo: Encode):
    image = b64(photo())
    items = [{"text": "a cat"}, {"img_blob": image}, {"img_uri": f"data:image/jpeg;base64,{image}"}]
    response = server.http.post("/encode", json=items)
    assert response.status_code == 200
    rows = np.array(response.json(), np.float32)
    np.testing.assert_allclose(rows[:2], raw(server, text="a cat", image=image), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows[1], rows[2])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "body"),
        ({"text": "a"}, "body"),
        ([{}], "body[0]"),
        ([{"text": "a"}, {"text": 3}], "body[1].text"),
        ([{"text": "a", "img_blob": "aGk="}], "body[0]"),
        ([{"text": "a"}, {"img_blob": CANARY}], "body[1].img_blob"),
        ([{"img_uri": f"http://{CANARY}/a.png"}], "body[0].img_uri"),
    ],
)
def test_a_wrong_item_is_named(server, body: object, param: str):
    assert_clear_error(server.http.post("/encode", json=body), 422, param)


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


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"queries": [], "candidates": [{"text": "a"}]}, "queries"),
        ({"queries": [{"text": "a"}]}, "candidates"),
        ({"queries": [{"text": "a"}, {}], "candidates": [{"text": "a"}]}, "queries[1]"),
        ({"queries": [{"text": "a", "img_blob": "aGk="}], "candidates": [{"text": "a"}]}, "queries[0]"),
        ({"queries": [{"text": "a"}], "candidates": [{"img_uri": "http://127.0.0.1/a.png"}]}, "candidates[0].img_uri"),
        ({"queries": [{"text": "a"}], "candidates": [{"text": "a"}, {"img_blob": "aGk="}]}, "candidates[1].img_blob"),
        ({"queries": ["a"], "candidates": [{"text": "a"}]}, "queries[0]"),
    ],
)
def test_a_wrong_field_of_a_ranking_is_named(server, body: dict, param: str):
    assert_clear_error(server.http.post("/rank", json=body), 422, param)
