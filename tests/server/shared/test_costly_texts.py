"""Texts that are hard to clean: no route fails on one, and none holds up the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...support.server_process import FakeServer

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII="
MANY_DIGITS = "&#" + "9" * 4301
MARKS = "\u0345" * 25_000 + "\u0301" * 25_000 + "\u0327" * 25_000 + "\u0334" * 24_990
MANY = 64


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


BODIES = {
    "/embeddings": {"text": MANY_DIGITS},
    "/v1/embeddings": {"input": MANY_DIGITS},
    "/v2/embed": {"texts": [MANY_DIGITS]},
    "/v1/multimodalembeddings": {"inputs": [{"content": [{"type": "text", "text": MANY_DIGITS}]}]},
    "/vectorize": {"texts": [MANY_DIGITS]},
    "/encode": [{"text": MANY_DIGITS}],
    "/rank": {"queries": [{"text": MANY_DIGITS}], "candidates": [{"text": f"&amp;{MANY_DIGITS[1:]}"}]},
    "/classify": {"image": IMAGE, "labels": [MANY_DIGITS, "a"], "templates": ["{}", "&#0{}"]},
}


@pytest.mark.process
@pytest.mark.parametrize("path", BODIES)
def test_an_entity_of_many_digits_is_a_text_like_any(fake: FakeServer, path: str):
    answer = fake.http.post(path, json=BODIES[path])
    assert answer.status_code == 200, answer.text


@pytest.mark.process
def test_the_same_in_a_form(fake: FakeServer):
    model = fake.http.get("/v1/models").json()["data"][0]["id"]
    entries = json.dumps({"clip": {"textual": {"modelName": model}}})
    answer = fake.http.post("/predict", files={"entries": (None, entries), "text": (None, MANY_DIGITS)})
    assert answer.status_code == 200, answer.text


@pytest.mark.process
@pytest.mark.parametrize(
    "hard",
    [MARKS, "\n" * 99_990, "&" + "amp;" * 24_990, "\n\x7f" * 49_990, "\u00c3\u00a0\u00e9" * 33_000],
    ids=["marks", "newlines", "nested entities", "lines of nothing", "mojibake"],
)
def test_many_hard_texts_cost_little_and_hold_up_nothing(fake: FakeServer, hard: str):
    """Without bounds one of the first takes half a minute, in which nothing else is answered."""
    texts = [f"{number}{hard}" for number in range(MANY)]
    seconds = fake.metric("process_cpu_seconds_total")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(fake.http.post, "/embeddings", json={"text": texts})
        waits = []
        while not asked.done():
            started = time.monotonic()
            assert fake.http.get("/health").status_code == 200
            waits.append(time.monotonic() - started)
            time.sleep(0.01)
    assert asked.result().status_code == 200, asked.result().text
    assert fake.metric("process_cpu_seconds_total") - seconds < 8
    assert max(waits) < 2
