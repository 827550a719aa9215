"""What a host that is asked for an image may answer, and what is sent to it."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from openclip_api.errors import DeadlineExceeded, ImageUnreachable, InvalidInput, QueueFull, RequestError, TooLarge
from openclip_api.fetch.fetcher import ImageFetcher

from ..support.upstream import PUBLIC_ADDRESS, Backend, Upstream, body, drip, hang, redirect, resolver
from .conftest import fetch


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    endless = drip(0, b"x" * 65536)
    answers = {
        "/good": body(b"image"),
        "/404": body(b"SECRET", 404),
        "/500": body(b"SECRET", 500),
        "/204": body(b"", 204),
        "/gzip": body(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"),
        "/long": body(b"x", Content_Length="10000000000"),
        "/short": body(b"x", Content_Length="5", Connection="close"),
        "/many": body(b"x" * 2000),
        "/endless": endless,
        "/drip": drip(0.1),
        "/hang": hang,
        "/once": redirect("/good"),
        "/3": redirect("http://ok.test/2"),
        "/2": redirect("//ok.test/1"),
        "/1": redirect("good"),
        "/4": redirect("/3"),
        "/loop": redirect("/loop"),
        "/to-metadata": redirect("http://169.254.169.254/latest/meta-data"),
        "/to-loopback": redirect("http://127.0.0.1/"),
        "/to-name": redirect("http://private.test/"),
        "/to-file": redirect("file:///etc/passwd"),
        "/to-port": redirect("http://ok.test:22/"),
        "/to-user": redirect("http://a:b@ok.test/good"),
        "/to-other": redirect("http://other.test/good"),
        "/to-bad": redirect("http://[::1/"),
        "/307": redirect("/good", 307),
        "/cookie": body(b"", 302, Location="/good", Set_Cookie="a=b"),
    }
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Upstream(answers) as upstream:
        yield upstream


def get(upstream: Upstream, path: str, **options: Any) -> bytes:
    names = {"ok.test": [PUBLIC_ADDRESS], "private.test": ["10.0.0.1"], "other.test": [PUBLIC_ADDRESS]}
    backend = options.pop("backend", Backend(upstream.port))
    url = f"http://ok.test{path}"
    return fetch(url, **({"resolve": resolver(names), "backend": backend, "max_bytes": 1000} | options))


@pytest.mark.parametrize("path", ["/good", "/once", "/1", "/3", "/307", "/good?a=b"])
def test_an_image_is_fetched_through_up_to_three_redirects(upstream: Upstream, path: str):
    assert get(upstream, path) == b"image"


def test_nothing_of_the_environment_is_sent(upstream: Upstream):
    get(upstream, "/cookie")
    assert [path for path, _ in upstream.requests] == ["/cookie", "/good"]
    for _, headers in upstream.requests:
        names = {name.lower() for name in headers}
        assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert headers["Accept-Encoding"] == "identity"
        assert headers["Host"] == "ok.test"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/404", ImageUnreachable),
        ("/500", ImageUnreachable),
        ("/204", ImageUnreachable),
        ("/gzip", ImageUnreachable),
        ("/long", TooLarge),
        ("/many", TooLarge),
        ("/endless", TooLarge),
        ("/short", ImageUnreachable),
        ("/drip", DeadlineExceeded),
        ("/hang", DeadlineExceeded),
        ("/4", ImageUnreachable),
        ("/loop", ImageUnreachable),
        ("/to-metadata", InvalidInput),
        ("/to-loopback", InvalidInput),
        ("/to-name", InvalidInput),
        ("/to-file", InvalidInput),
        ("/to-port", InvalidInput),
        ("/to-user", InvalidInput),
        ("/to-bad", InvalidInput),
    ],
)
def test_each_bad_answer_has_its_error(upstream: Upstream, path: str, error: type[RequestError]):
    backend = Backend(upstream.port)
    started = time.monotonic()
    with pytest.raises(error) as caught:
        get(upstream, path, backend=backend, seconds=1)
    assert time.monotonic() - started < 4
    assert "SECRET" not in caught.value.message
    assert {host for host, _ in backend.connected} == {PUBLIC_ADDRESS}
    assert len(backend.connected) <= 4


def test_a_redirect_off_the_list_of_hosts_is_refused(upstream: Upstream):
    assert get(upstream, "/to-other") == b"image"
    with pytest.raises(InvalidInput):
        get(upstream, "/to-other", hosts=["ok.test"])


def test_reserve_may_end_the_fetch(upstream: Upstream):
    reserved = []

    def reserve(count: int) -> None:
        reserved.append(count)
        if sum(reserved) > 100_000:
            raise QueueFull("no more")

    with pytest.raises(QueueFull):
        get(upstream, "/endless", reserve=reserve, max_bytes=10**9)


def test_one_host_gets_two_requests_at_a_time():
    def slow(request: Any) -> None:
        time.sleep(0.1)
        body(b"image")(request)

    async def run(port: int) -> list[bytes]:
        fetcher = ImageFetcher(resolve=resolver({"ok.test": [PUBLIC_ADDRESS]}), backend=Backend(port))
        answers = await asyncio.gather(*(fetcher.fetch("http://ok.test/a") for _ in range(10)))
        assert fetcher._host_slots == {}
        return answers

    with Upstream({"/a": slow}) as upstream:
        assert asyncio.run(run(upstream.port)) == [b"image"] * 10
        assert upstream.most_at_once == 2


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def over_tls(certificate: trustme.LeafCert, trusted: trustme.CA) -> bytes:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    client = ssl.create_default_context()
    trusted.configure_trust(client)
    answers = {"/good": body(b"image"), "/down": redirect("http://ok.test/good")}
    with Upstream(answers, server) as upstream:
        options = {"resolve": resolver({"ok.test": [PUBLIC_ADDRESS]}), "backend": Backend(upstream.port)}
        image = fetch("https://ok.test/good", ssl_context=client, seconds=5, **options)
        with pytest.raises(InvalidInput):
            fetch("https://ok.test/down", ssl_context=client, seconds=5, **options)
        return image


def test_a_good_certificate_is_accepted(authority: trustme.CA):
    assert over_tls(authority.issue_cert("ok.test"), authority) == b"image"


@pytest.mark.parametrize("fault", ["another name", "expired", "an authority nobody knows"])
def test_a_bad_certificate_is_refused(authority: trustme.CA, fault: str):
    certificate = {
        "another name": lambda: authority.issue_cert("other.test"),
        "expired": lambda: authority.issue_cert(
            "ok.test", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        ),
        "an authority nobody knows": lambda: trustme.CA().issue_cert("ok.test"),
    }[fault]()
    with pytest.raises(ImageUnreachable, match=r"could not be fetched$"):
        over_tls(certificate, authority)
