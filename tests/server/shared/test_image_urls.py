"""Images by URL through the server: off unless switched on, and then only what is public."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...conftest import Encode
from ...support.server_process import FakeServer
from ...support.upstream import Sentinel, Upstream, body, hang

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def upstream(photo: Encode) -> Iterator[Upstream]:
    answers = {
        "/good.jpg": body(photo("coffee")),
        "/page.html": body(b"<html>SECRET</html>", Content_Type="image/png"),
        "/empty": body(b""),
        "/404": body(b"SECRET", 404),
        "/large": body(bytes(3_000_000)),
        "/hang": hang,
    }
    with Upstream(answers) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[FakeServer]:
    settings = {"FAKE_UPSTREAM": f"ok.test={upstream.port}", "ALLOW_IMAGE_URLS": "true", "URL_TIMEOUT": 2}
    with FakeServer(MAX_BODY_MB=2, **settings) as process:
        yield process
        assert process.stop() == 0
        assert "SECRET" not in process.output
        assert "ok.test" not in process.output


def ask(server: FakeServer, *urls: str):
    return server.http.post("/embeddings", json={"image": list(urls)})


def test_by_url_as_by_base64(server: FakeServer, photo: Encode):
    encoded = base64.b64encode(photo("coffee")).decode()
    answer = ask(server, encoded, "http://ok.test/good.jpg")
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["embeddings"]
    assert first == second


def test_the_same_url_is_fetched_once_in_a_request(server: FakeServer, upstream: Upstream):
    before = len(upstream.requests)
    assert len(ask(server, *["http://ok.test/good.jpg"] * 20).json()["embeddings"]) == 20
    assert len(upstream.requests) == before + 1


@pytest.mark.parametrize(
    ("path", "status", "type"),
    [
        ("/page.html", 422, "invalid_image"),
        ("/empty", 422, "invalid_image"),
        ("/404", 502, "image_unreachable"),
        ("/large", 413, "too_large"),
        ("/hang", 504, "deadline_exceeded"),
    ],
)
def test_what_is_no_image_is_named(server: FakeServer, path: str, status: int, type: str):
    answer = ask(server, "http://ok.test/good.jpg", f"http://ok.test{path}")
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == (type, "image[1]")
    assert "SECRET" not in answer.text
    assert "ok.test" not in answer.text


def test_a_request_has_so_many_urls(server: FakeServer):
    assert ask(server, *[f"http://ok.test/good.jpg?{i}" for i in range(33)]).status_code == 413


def test_private_addresses_are_not_reached():
    sentinel = Sentinel()
    with FakeServer(ALLOW_IMAGE_URLS="true") as server:
        for url in (f"http://127.0.0.1:{sentinel.port}/", "http://127.0.0.1/", "http://localhost/", "http://[::1]/"):
            answer = ask(server, url)
            assert answer.status_code == 422
            assert answer.json()["error"]["type"] == "invalid_input"
    assert not sentinel.was_reached()
    sentinel.close()


def test_off_unless_switched_on():
    sentinel = Sentinel()
    with FakeServer() as server:
        answer = ask(server, f"http://127.0.0.1:{sentinel.port}/")
        assert answer.status_code == 422
        assert "ALLOW_IMAGE_URLS" in answer.json()["error"]["message"]
        assert server.http.get("/info").json()["limits"]["image_urls"] is False
    assert not sentinel.was_reached()
    sentinel.close()


def test_hosts_that_hang_hold_up_no_texts(server: FakeServer):
    with ThreadPoolExecutor(40) as clients:
        hanging = [clients.submit(ask, server, f"http://ok.test/hang?{i}") for i in range(40)]
        for _ in range(20):
            started = time.monotonic()
            assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
            assert time.monotonic() - started < 2
        assert {request.result().status_code for request in hanging} == {504}
