"""Images by URL: which addresses are reached, which URLs are refused, and what the answer may do."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from openclip_api.errors import DeadlineExceeded, ImageUnreachable, InvalidInput, QueueFull, RequestError, TooLarge
from openclip_api.fetch.fetcher import ImageFetcher, SystemResolver, parse
from openclip_api.fetch.public_address import is_public

from ..support.upstream import PUBLIC_ADDRESS, Backend, Sentinel, Upstream, body, drip, hang, redirect, resolver


def words(text: str) -> list[str]:
    return text.split()


PRIVATE = [
    *words("""
        0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1 127.1.2.3
        168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1
        192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
        239.255.255.255 240.0.0.1 255.255.255.255 192.31.196.1 192.52.193.1 192.175.48.1 :: ::1 ::ffff:127.0.0.1
        ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::7f00:1 ::ffff:0:7f00:1
        64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b::a83f:8110 2002:7f00:1::
        2002:a00:1:: 2002:a9fe:a9fe:: 2002:0808:0808:: 2001:0:53aa:64c:0:7fff:f5ff:fffe 2001::1 2001:db8::1
        3fff::1 5f00::1 100::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1 ff0e::1
        2001:4860::5efe:7f00:1 2001:4860::200:5efe:a00:1 2620:4f:8000::1 2001:2::1 2001:10::1
    """),
]
PUBLIC = [
    *words("""
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.215.14 100.63.255.255 100.128.0.0 126.255.255.255
        128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
        192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:4860:4860::8888
        2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2a00:1450:4001::1
    """),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_the_public_internet_s(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_up_to_the_edges(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("zone", ["eth0", "1"])
def test_an_address_with_a_zone_is_this_link_s(zone: str):
    assert not is_public(ipaddress.ip_address(f"2001:4860:4860::8888%{zone}"))


def fetch(url: str, take: Any = lambda count: None, **options: Any) -> bytes:
    async def run() -> bytes:
        return await ImageFetcher(**options).fetch(url, take)

    return asyncio.run(run())


# --- zero packets: the real resolver, real connections, a listener that waits for them ---


@pytest.fixture(scope="module")
def sentinels() -> Iterator[dict[str, Sentinel]]:
    sentinels = {"4": Sentinel("127.0.0.1"), "6": Sentinel("::1")}
    yield sentinels
    for sentinel in sentinels.values():
        sentinel.close()


TO_THIS_MACHINE = [
    *words("""
        127.0.0.1 localhost LOCALHOST localhost. 127.1 127.0.1 0 0.0.0.0 2130706433 0x7f000001 0x7f.0.0.1
        0177.0.0.1 017700000001 127.000.000.001 127.0.0.1. ①②⑦.⓪.⓪.① 127。0。0。1 １２７.0.0.1 ⓛocalhost [::1] [::]
        [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [0:0:0:0:0:0:0:1] [::1%25lo] [::1%lo] [64:ff9b::7f00:1]
        [2002:7f00:1::] [::ffff:0:127.0.0.1] [0000::1] [::0001] [::1]. 127.0.0.1%00 127.0.0.1%2e user@127.0.0.1
        user:pass@127.0.0.1 8.8.8.8@127.0.0.1 127.0.0.1@8.8.8.8 127.0.0.1#@8.8.8.8 [127.0.0.1] localhost Host:x
        localhost%2f ::1 127.0.0.1:80:80 127.0.0.1:
    """),
    "8.8.8.8\\@127.0.0.1",
    "127.0.0.1\\@8.8.8.8",
    "127.0.0.1\\.8.8.8.8",
    "127.0.0.1\t",
    "127.0.0.1\n",
    "\t127.0.0.1",
    "127.0.0.1\x00",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", TO_THIS_MACHINE)
def test_no_spelling_of_this_machine_is_reached(sentinels: dict[str, Sentinel], host: str, scheme: str):
    ports = {sentinel.port for sentinel in sentinels.values()}
    for port in ports:
        with pytest.raises((InvalidInput, ImageUnreachable)):
            fetch(f"{scheme}://{host}:{port}/a.png", ports=ports | {80, 443}, seconds=5)
    assert not any(sentinel.was_reached() for sentinel in sentinels.values())


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_to_a_private_address_is_not_connected_to(address: str):
    backend = Backend(1)
    for addresses in ([address], [PUBLIC_ADDRESS, address], [address, PUBLIC_ADDRESS]):
        with pytest.raises(InvalidInput, match="cannot be found, or is none"):
            fetch("http://name.test/", resolve=resolver({"name.test": addresses}), backend=backend)
    assert backend.connected == []


def test_a_name_that_is_not_known_is_told_as_one_that_is_not_allowed():
    messages = set()
    for name in ("private.test", "unknown.test"):
        with pytest.raises(InvalidInput) as caught:
            fetch(f"http://{name}/", resolve=resolver({"private.test": ["10.0.0.1"]}))
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_the_system_s_resolver_finds_this_machine():
    assert "127.0.0.1" in asyncio.run(SystemResolver()("127.0.0.1", 80))


# --- what is no URL of an image ---


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


# --- what a server that is asked may do ---


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
def test_a_good_one_is_fetched_up_to_three_redirects_away(upstream: Upstream, path: str):
    assert get(upstream, path) == b"image"


def test_no_cookie_proxy_or_credential_is_sent(upstream: Upstream):
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


def test_the_connection_goes_to_the_address_that_was_checked(upstream: Upstream):
    answers = iter([[PUBLIC_ADDRESS], ["127.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    backend = Backend(upstream.port)
    assert get(upstream, "/good", resolve=rebinding, backend=backend) == b"image"
    assert backend.connected == [(PUBLIC_ADDRESS, 80)]


def test_a_name_that_cannot_be_resolved_in_time_ends_too():
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(DeadlineExceeded):
        fetch("http://ok.test/", resolve=slow, seconds=0.2)


def test_nothing_listens_and_closed_look_the_same():
    sentinel = Sentinel()
    sentinel.close()
    with pytest.raises(ImageUnreachable, match=r"could not be fetched$"):
        fetch("http://ok.test/", resolve=resolver({"ok.test": [PUBLIC_ADDRESS]}), backend=Backend(sentinel.port))


def test_who_counts_the_bytes_may_end_it(upstream: Upstream):
    taken = []

    def take(count: int) -> None:
        taken.append(count)
        if sum(taken) > 100_000:
            raise QueueFull("no more")

    with pytest.raises(QueueFull):
        get(upstream, "/endless", take=take, max_bytes=10**9)


def test_one_host_is_asked_for_two_at_a_time():
    def slow(request: Any) -> None:
        time.sleep(0.1)
        body(b"image")(request)

    async def run(port: int) -> list[bytes]:
        fetcher = ImageFetcher(resolve=resolver({"ok.test": [PUBLIC_ADDRESS]}), backend=Backend(port))
        answers = await asyncio.gather(*(fetcher.fetch("http://ok.test/a") for _ in range(10)))
        assert fetcher._hosts_busy == {}
        return answers

    with Upstream({"/a": slow}) as upstream:
        assert asyncio.run(run(upstream.port)) == [b"image"] * 10
        assert upstream.most_at_once == 2


# --- TLS ---


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
        with pytest.raises(InvalidInput):  # a redirect never goes from https to http
            fetch("https://ok.test/down", ssl_context=client, seconds=5, **options)
        return image


def test_a_good_certificate_is_accepted(authority: trustme.CA):
    assert over_tls(authority.issue_cert("ok.test"), authority) == b"image"


@pytest.mark.parametrize("fault", ["another name", "expired", "an authority nobody knows"])
def test_a_bad_certificate_is_not(authority: trustme.CA, fault: str):
    import datetime

    certificate = {
        "another name": lambda: authority.issue_cert("other.test"),
        "expired": lambda: authority.issue_cert(
            "ok.test", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        ),
        "an authority nobody knows": lambda: trustme.CA().issue_cert("ok.test"),
    }[fault]()
    with pytest.raises(ImageUnreachable, match=r"could not be fetched$"):
        over_tls(certificate, authority)
