"""Which URLs are accepted, and what is then asked for."""

from __future__ import annotations

import pytest

from openclip_api.errors import InvalidInput
from openclip_api.fetch.url import parse

from ..support.upstream import PUBLIC_ADDRESS, Backend, Upstream, body, resolver
from .conftest import fetch, words


@pytest.mark.parametrize(
    "url",
    [
        *words("""
            file:///etc/passwd ftp://ok.test/ gopher://ok.test/ dict://ok.test/ jar:http://ok.test!/ unix:/run/x
            data:image/png;base64,aGk= javascript:alert(1) //ok.test/ /etc/passwd ok.test http: http:/ http://
            http:/// http:ok.test http:/ok.test https:///ok.test http://? http://# httpx://ok.test/ :// h
            http://@ok.test/ http://:@ok.test/ http://u@ok.test/ http://u:p@ok.test/ http://ok.test:80@ok.test/
            http://ok.test:/x@y:1/ http://ok_.test%/ http://ok..test/ http://.ok.test/ http://-ok.test/
            http://ok-/ http://[::1 http://::1] http://[ok.test]/ http://[1.2.3.4]/ http://[::g]/ http://[]/
            http://[v1.a]/ http://1.2.3/ http://1.2.3.4.5/ http://256.1.1.1/ http://1.2.3.0x4/ http://ok.0x/
            http://999999999999/ http://ok.test:0/ http://ok.test:22/ http://ok.test:25/ http://ok.test:6379/
            http://ok.test:9200/ http://ok.test:65536/ http://ok.test:99999/ http://ok.test:-80/
            http://ok.test:+80/ http://ok.test:８０/ http://ok.test:8080/ http://ok.test:080x/
            http://ok.test:80:80/ http://оk.test/ http://ok。test/
            http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test/
        """),
        "\\\\host\\share",
        "http://ok.test/a b",
        "http://ok.test/\r\nHost: evil",
        "http://ok.test\t/",
        " http://ok.test/",
        "http://ok.test/ ",
        "http://ok\x00.test/",
        "http://ok.test/\\..\\x",
        "http://ok.test/\ud800",
        "",
        "http://" + "a" * 64 + ".test/",
        "http://" + "a." * 130 + "test/",
        "http://ok.test/" + "a" * 5000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str):
    with pytest.raises(InvalidInput):
        parse(url)
    backend = Backend(1)
    with pytest.raises(InvalidInput):
        fetch(url, resolve=resolver({"ok.test": [PUBLIC_ADDRESS]}), backend=backend)
    assert backend.connected == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://ok.test", ("http", "ok.test", 80, "/")),
        ("HTTPS://OK.Test./A.png?b=C#d", ("https", "ok.test", 443, "/A.png?b=C")),
        ("http://ok.test:443?q", ("http", "ok.test", 443, "/?q")),
        ("http://1.2.3.4:80/", ("http", "1.2.3.4", 80, "/")),
        ("http://[2606:4700::0001]/x", ("http", "2606:4700::1", 80, "/x")),
        ("http://xn--bcher-kva.test/ü%20x.jpg", ("http", "xn--bcher-kva.test", 80, "/%C3%BC%20x.jpg")),
        ("http://my_bucket.ok.test/a@b:c/[1]|2", ("http", "my_bucket.ok.test", 80, "/a@b:c/[1]|2")),
        ("http://ok.test/\"<>`{}^'", ("http", "ok.test", 80, "/%22%3C%3E%60%7B%7D%5E'")),
    ],
)
def test_what_is_asked_for_is_what_was_checked(url: str, expected: tuple[str, str, int, str]):
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("example.com", True),
        ("EXAMPLE.com", True),
        ("example.com.", True),
        ("example.com.evil.io", False),
        ("evilexample.com", False),
        ("www.example.com", False),
        ("example.com%2eevil.io", False),
        ("xn--exmple-cua.com", False),
        ("example.co", False),
        (PUBLIC_ADDRESS, False),
    ],
)
def test_only_listed_hosts(host: str, allowed: bool):
    with Upstream({"/a": body(b"image")}) as upstream:
        backend = Backend(upstream.port)
        options = {"resolve": resolver({host.lower().rstrip("."): [PUBLIC_ADDRESS]}), "backend": backend}
        if allowed:
            assert fetch(f"http://{host}/a", hosts=["Example.com"], **options) == b"image"
        else:
            with pytest.raises(InvalidInput):
                fetch(f"http://{host}/a", hosts=["Example.com"], **options)
            assert backend.connected == []
