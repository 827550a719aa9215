"""What every embedding route has in common: If-Match, cut texts, bounds on items."""

from __future__ import annotations

import pytest

LONG = "word " * 200


@pytest.fixture
def fingerprint(server) -> str:
    return server.http.get("/info").json()["fingerprint"]


@pytest.mark.parametrize("form", ["{0}", '"{0}"', "*", '"other", "{0}"', '"other","{0}" , "third"'])
def test_if_match_with_this_model_s_fingerprint(server, fingerprint: str, form: str):
    headers = {"If-Match": form.format(fingerprint)}
    assert server.http.post("/embeddings", json={"text": "a"}, headers=headers).status_code == 200


@pytest.mark.parametrize("form", ['"other"', 'W/"{0}"', '"{0}0"', '"a", "b"'])
def test_if_match_with_another_fingerprint_is_412(server, fingerprint: str, form: str):
    headers = {"If-Match": form.format(fingerprint)}
    response = server.http.post("/embeddings", json={"text": "a"}, headers=headers)
    assert response.status_code == 412
    assert response.json()["error"]["type"] == "model_mismatch"
    assert fingerprint in response.json()["error"]["message"]
    rank = {"queries": [{"text": "a"}], "candidates": [{"text": "b"}]}
    assert server.http.post("/rank", json=rank, headers=headers).status_code == 412


def test_if_match_over_two_headers(server, fingerprint: str):
    headers = [("If-Match", '"other"'), ("If-Match", f'"{fingerprint}"')]
    assert server.http.post("/embeddings", json={"text": "a"}, headers=headers).status_code == 200


def test_cut_texts_are_told(server):
    whole = server.http.post("/embeddings", json={"text": ["a", "word " * 75]})
    assert "x-truncated-texts" not in whole.headers
    cut = server.http.post("/embeddings", json={"text": ["a", LONG, LONG]})
    assert cut.headers["x-truncated-texts"] == "2"


def test_cut_texts_are_refused_on_request(server):
    asked = {"text": ["a", LONG], "truncate": False}
    response = server.http.post("/embeddings", json=asked)
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "text[1]"
    assert "77 tokens" in response.json()["error"]["message"]
    assert server.http.post("/embeddings", json={"text": "word " * 75, "truncate": False}).status_code == 200


def test_a_million_prompts_are_refused_before_they_are_built(server):
    asked = {"image": "aGk=", "labels": ["a"] * 200_000, "templates": ["{}"] * 200_000}
    image_free = {"images": ["AAAA"] * 9, "labels": ["a"]}
    for body in (asked, image_free):
        response = server.http.post("/classify", json=body)
        assert response.status_code == 413
        assert response.json()["error"]["type"] == "too_large"
