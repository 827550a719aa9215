"""Clients that leave, and what the engine does wrong: only those concerned notice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...support.fake_server import vector_of
from ...support.raw_http import connect, http_request, wait_for
from ...support.server_process import FakeServer

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(FAKE_BATCH_SECONDS=0.2, MAX_BATCH=4, MAX_QUEUE=64) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


def test_a_client_that_left_is_dropped_before_the_engine(server: FakeServer):
    before = server.metric("openclip_items_total")
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.http.post, "/embeddings", json={"text": ["busy", "busier", "busiest", "too busy"]})
        wait_for(lambda: server.metric("openclip_queue_items") == 4)
        leaving = [connect(server) for _ in range(10)]
        for client in leaving:
            client.sendall(http_request(b'{"text": ["left", "left too"]}'))
        wait_for(lambda: server.metric("openclip_queue_items") >= 20)
        for client in leaving:
            client.close()
        wait_for(lambda: server.metric("openclip_queue_items") == 0)
        assert busy.result().status_code == 200
    engine_saw = server.metric("openclip_items_total") - before
    assert engine_saw <= 4 + 4  # one batch may have started before they left
    assert server.metric("openclip_errors_total", type="client_gone") == 10
    assert server.metric("openclip_requests_total", status="500") == 0


@pytest.mark.parametrize("evil", ["poison", "nan", "short of rows", "wide"])
def test_one_item_that_breaks_the_engine_fails_its_request_alone(server: FakeServer, evil: str):
    texts = ["one", "two", evil, "three"]
    with ThreadPoolExecutor(5) as pool:
        pool.submit(server.http.post, "/embeddings", json={"text": "busy"})
        wait_for(lambda: server.metric("openclip_queue_items") == 1)
        answers = list(pool.map(lambda text: server.http.post("/embeddings", json={"text": text}), texts))
    assert answers[2].status_code == 500
    assert answers.pop(2).json()["error"]["type"] == "internal_error"
    texts.remove(evil)
    assert [answer.json()["embeddings"] for answer in answers] == [[vector_of(text)] for text in texts]


def test_a_batch_too_large_for_memory_is_halved(server: FakeServer):
    texts = [f"memory {i}" for i in range(8)]
    answer = server.http.post("/embeddings", json={"text": texts})
    assert answer.json()["embeddings"] == [vector_of(text) for text in texts]


def test_the_deadline_ends_what_the_engine_does_not(monkeypatch: pytest.MonkeyPatch):
    with FakeServer(WORKERS=1, REQUEST_TIMEOUT=0.5, MAX_QUEUE=3, GRACE_SECONDS=1) as server:
        assert server.http.post("/embeddings", json={"text": "hang"}).status_code == 504
        for _ in range(6):  # more than the queue holds: those given up make room
            answer = server.http.post("/embeddings", json={"text": "a"})
            assert answer.status_code == 504
            assert answer.json()["error"]["type"] == "deadline_exceeded"
        assert server.metric("openclip_queue_items") == 1
        wait_for(lambda: server.http.get("/health").status_code == 503)
        assert server.metric("openclip_engine_busy_seconds") > 1
        assert server.stop() == 0
