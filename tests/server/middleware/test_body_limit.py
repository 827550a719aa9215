"""Bodies that are slow, too large, too many or compressed: each ends by itself and harms nobody else."""

from __future__ import annotations

import contextlib
import gzip
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...support.raw_http import assert_still_serving, connect, http_request, read_all, status_of, wait_for
from ...support.server_process import FakeServer

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(BODY_TIMEOUT=2, MAX_BODY_MB=1, MAX_QUEUE_MB=2.5, FAKE_BATCH_SECONDS=0.01) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture(autouse=True)
def still_serving(server: FakeServer) -> Iterator[None]:
    yield
    assert_still_serving(server)


def test_a_slow_body_is_408(server: FakeServer):
    with connect(server) as client:
        client.sendall(b"POST /embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
        started = time.monotonic()
        time.sleep(1)
        client.sendall(b" ")
        assert server.metric("openclip_queue_items") == 0
        assert status_of(read_all(client)) == 408
        assert 1.5 < time.monotonic() - started < 15


def test_a_declared_length_over_the_limit_is_refused_before_the_body(server: FakeServer):
    with connect(server) as client:
        client.sendall(b"POST /embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
        assert status_of(read_all(client)) == 413  # all of it: closed, since the body never comes


def test_an_endless_chunked_body_ends_at_the_limit(server: FakeServer):
    with connect(server) as client:
        client.sendall(b"POST /embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(1000):
                client.sendall(chunk)
                sent += len(chunk)
        assert sent < 40_000_000
    assert server.metric("openclip_errors_total", type="too_large") >= 1


def test_the_bodies_of_all_requests_share_a_budget(server: FakeServer):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(4)]
        for client in clients:  # 0.8 MB each: the fourth is over 2.5 MB
            with contextlib.suppress(OSError):
                client.sendall(http_request(b" " * 900_000)[:800_000])
        answers = [read_all(client) for client in clients]
    codes = sorted(map(status_of, answers))
    assert codes == [408, 408, 408, 429]
    refused = next(answer for answer in answers if status_of(answer) == 429)
    assert b"retry-after: 1" in refused
    assert b'"queue_full"' in refused


def bomb() -> bytes:
    packed = gzip.compress(b" " * 10_000_000)
    return gzip.compress(packed)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x-unknown"])
def test_compressed_bodies_are_not_read(server: FakeServer, encoding: str):
    answer = server.http.post("/embeddings", content=bomb(), headers={"Content-Encoding": encoding})
    assert answer.status_code == 415


def test_over_the_queue_429_comes_at_once():
    with FakeServer(FAKE_BATCH_SECONDS=0.5, MAX_BATCH=1, MAX_QUEUE=4) as server, ThreadPoolExecutor(4) as clients:
        waiting = [clients.submit(server.http.post, "/embeddings", json={"text": f"number {i}"}) for i in range(4)]
        wait_for(lambda: server.metric("openclip_queue_items") == 4)
        started = time.monotonic()
        answer = server.http.post("/embeddings", json={"text": "a"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert time.monotonic() - started < 0.5
        assert server.http.post("/embeddings", json={"text": list("abcde")}).status_code == 413  # never fits
        assert [request.result().status_code for request in waiting] == [200] * 4
