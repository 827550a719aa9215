"""Slow, large and odd requests on the wire: each ends by itself and harms nobody else."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from openclip_api.server import connection

from ..support.raw_http import assert_still_serving, connect, exchange, http_request, read_all, status_of, wait_for
from ..support.server_process import FakeServer

pytestmark = pytest.mark.process

GOOD = b'{"text": "a"}'


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(BODY_TIMEOUT=2, FAKE_BATCH_SECONDS=0.01) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture(autouse=True)
def still_serving(server: FakeServer) -> Iterator[None]:
    yield
    assert_still_serving(server)


def test_slow_headers_are_cut_off(server: FakeServer):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server, timeout=30)) for _ in range(100)]
        for client in clients:
            client.sendall(b"POST /embeddings HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        started = time.monotonic()
        while time.monotonic() - started < 3:
            clients[0].sendall(b"x")
            before = time.monotonic()
            assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
            assert time.monotonic() - before < 2
            time.sleep(0.5)
        assert [read_all(client) for client in clients] == [b""] * 100
        assert time.monotonic() - started < connection.HEADER_SECONDS + 10


def test_an_answer_nobody_reads_holds_up_nobody(server: FakeServer):
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({"text": ["a"] * 256}).encode()
        client.sendall(http_request(body) * 40)
        for _ in range(5):
            assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "headers", "expected"),
    [
        ("100 KB in one", "X-Big: " + "x" * 100_000 + "\r\n", {431}),
        ("10,000 of them", "".join(f"X-{i}: y\r\n" for i in range(10_000)), {431}),
        ("NUL in one", "X-Nul: a\0b\r\n", {400}),
        ("folded", "X-Fold: a\r\n b\r\n", {200, 400}),
        ("no colon", "nonsense\r\n", {400}),
        ("two lengths", "Content-Length: 5\r\n", {400}),
        ("length and chunks", "Transfer-Encoding: chunked\r\n", {400}),
        ("unknown transfer encoding", "Transfer-Encoding: chunked, identity\r\n", {400}),
        ("websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", {200}),
        ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n", {200}),
        ("expect", "Expect: 100-continue\r\n", {100}),
        ("expect nonsense", "Expect: miracles\r\n", {200, 417}),
        ("second host", "Host: a/?x=\r\n", {200, 400}),
    ],
)  # fmt: skip
def test_odd_headers(server: FakeServer, name: str, headers: str, expected: set[int]):
    answer = exchange(server, http_request(GOOD, headers=headers + "Connection: close\r\n"), timeout=5)
    assert status_of(answer) in expected, answer[:200]
    assert answer.count(b"HTTP/1.1 ") <= 2 if name == "expect" else answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"POST /embeddings HTTP/1.0\r\nContent-Length: 13\r\n\r\n" + GOOD, 200),
        (b"POST /embeddings HTTP/1.1\r\nConnection: close\r\nContent-Length: 13\r\n\r\n" + GOOD, 200),  # without Host
        (b"POST /embeddings HTTP/3.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS to a plain port
        (b"\r\n" * 1000, 0),
        (b"\0" * 1000, 400),
        (b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\n\r\n", 400),  # over 64 KiB
        (b"POST /embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", 400),
        (b"POST /embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n", 400),
    ],
)
def test_odd_requests(server: FakeServer, sent: bytes, expected: int):
    assert status_of(exchange(server, sent, timeout=4)) == expected


def test_pipelined_requests_are_answered_in_order(server: FakeServer):
    requests = [http_request(json.dumps({"text": f"number {i}"}).encode()) for i in range(99)]
    last = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = exchange(server, b"".join(requests) + last).split(b"HTTP/1.1 ")[1:]
    bodies = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    alone = server.http.post("/embeddings", json={"text": "number 7"}).json()
    assert len(bodies) == 100
    assert bodies[7]["embeddings"] == alone["embeddings"]
    assert bodies[7]["embeddings"] != bodies[8]["embeddings"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("//embeddings", 404),
        ("/v1/../embeddings", 404),
        ("/%2e%2e/embeddings", 404),
        ("/embeddings;x", 404),
        ("/embeddings/", 404),  # no redirect: it would be built from the Host header
        ("/embeddings%00", 404),
        ("@google.com", 400),
        ("http://other.example/embeddings", 200),  # the absolute form of RFC 9112, section 3.2.2
        ("/embeddings?text=1", 200),
        ("*", 404),
    ],
)
def test_odd_paths(server: FakeServer, path: str, expected: int):
    answer = exchange(server, http_request(GOOD, path, "Connection: close\r\n"), timeout=4)
    assert status_of(answer) == expected
    assert b"location: http://google" not in answer


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "PROPFIND"])
def test_other_methods_are_405(server: FakeServer, method: str):
    answer = server.http.request(method, "/embeddings")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    counted = re.compile(r'method="(other|[A-Z]+)",route="/embeddings",status="405"')
    wait_for(lambda: counted.search(server.http.get("/metrics").text))  # it is counted just after its answer


def test_trailer_fields_are_not_headers():
    with FakeServer(API_KEY="right") as closed:
        head = "POST /embeddings HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{}\r\n"
        key = b"Authorization: Bearer right\r\n"
        chunks = b"d\r\n" + GOOD + b"\r\n0\r\n"
        assert status_of(exchange(closed, head.format("").encode() + chunks + key + b"\r\n")) == 401
        assert status_of(exchange(closed, head.format(key.decode()).encode() + chunks + b"X: y\r\n\r\n")) == 200
        # all in one piece, and late: neither may reach the application, which looks at its headers when it wants
        late = head.format(key.decode()).encode() + chunks + b"Content-Encoding: gzip\r\nX-Request-Id: mine\r\n\r\n"
        answer = exchange(closed, late)
        assert status_of(answer) == 200
        assert b"mine" not in answer


@pytest.mark.parametrize("filler", [b"X-Endless: " + b"x" * 60_000, b"X: y\r\n" * 10_000])
def test_trailer_fields_are_bounded_like_headers(server: FakeServer, filler: bytes):
    with connect(server) as client:
        client.sendall(b"POST /embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"d\r\n" + GOOD + b"\r\n0\r\n")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            for _ in range(20):
                client.sendall(filler)
        assert status_of(read_all(client)) == 431
        assert time.monotonic() - started < 1.5  # BODY_TIMEOUT is 2


def test_an_idle_connection_is_not_kept_by_empty_lines(server: FakeServer):
    with connect(server, timeout=15) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 12:
                client.sendall(b"\r\n")
                time.sleep(0.2)
        assert time.monotonic() - started < 12
