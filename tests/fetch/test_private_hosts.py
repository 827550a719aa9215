"""URL_ALLOW_PRIVATE: hosts of one's own network, each named, and nothing else with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest

from openclip_api.errors import InvalidInput, InvalidSetting
from openclip_api.fetch.public_address import is_own
from openclip_api.settings import read_settings

from ..support.upstream import PUBLIC_ADDRESS, Backend, Upstream, body, redirect, resolver
from .conftest import fetch

PRIVATE = {"nas.lan": ["192.168.1.5"], "other.lan": ["192.168.1.6"], "ok.test": [PUBLIC_ADDRESS]}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    answers = {
        "/good": body(b"image"),
        "/to-other": redirect("http://other.lan/good"),
        "/to-port": redirect("http://nas.lan:9000/good"),
        "/to-address": redirect("http://192.168.1.5/good"),
        "/to-metadata": redirect("http://169.254.169.254/"),
        "/to-nas": redirect("http://nas.lan/good"),
        "/again": redirect("/good"),
    }
    with Upstream(answers) as upstream:
        yield upstream


def ask(upstream: Upstream, url: str, allowed: str, **options) -> bytes:
    private = read_settings(url_allow_private=allowed).private_endpoints
    names = options.pop("names", PRIVATE)
    return fetch(url, private=private, resolve=resolver(names), backend=Backend(upstream.port), **options)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("nas.lan", "http://nas.lan/good"),
        ("NAS.lan., other.lan", "http://nas.LAN./good"),
        ("nas.lan", "http://nas.lan/again"),
        ("nas.lan:9000", "http://nas.lan:9000/good"),
        ("192.168.1.5", "http://192.168.1.5/good"),
        ("nas.lan", "http://ok.test/to-nas"),
        ("nas.lan,other.lan", "http://nas.lan/to-other"),
        ("nas.lan", "http://ok.test/good"),
    ],
)
def test_a_named_host_is_asked(upstream: Upstream, allowed: str, url: str):
    assert ask(upstream, url, allowed) == b"image"


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("nas.lan", "http://other.lan/good"),
        ("nas.lan", "http://a.nas.lan/good"),
        ("nas.lan", "http://192.168.1.5/good"),
        ("nas.lan", "http://nas.lan:9000/good"),
        ("nas.lan:9000", "http://nas.lan/good"),
        ("nas.lan:9000", "http://ok.test:9000/good"),
        ("nas.lan", "http://nas.lan/to-other"),
        ("nas.lan", "http://nas.lan/to-port"),
        ("nas.lan", "http://nas.lan/to-address"),
        ("nas.lan", "http://nas.lan/to-metadata"),
        ("nas.lan", "http://ok.test/to-other"),
        ("192.168.1.5", "http://192.168.1.6/good"),
    ],
)
def test_nothing_else_is(upstream: Upstream, allowed: str, url: str):
    with pytest.raises(InvalidInput):
        ask(upstream, url, allowed, names={**PRIVATE, "a.nas.lan": ["192.168.1.5"]})


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "fd00:ec2::254"])
def test_a_named_host_whose_dns_leads_elsewhere_is_not(upstream: Upstream, address: str):
    for addresses in ([address], ["192.168.1.5", address]):
        with pytest.raises(InvalidInput):
            ask(upstream, "http://nas.lan/good", "nas.lan", names={"nas.lan": addresses})


def test_named_hosts_stay_beside_url_hosts(upstream: Upstream):
    assert ask(upstream, "http://nas.lan/good", "nas.lan", hosts=["ok.test"]) == b"image"
    with pytest.raises(InvalidInput):
        ask(upstream, "http://other.lan/good", "nas.lan", hosts=["ok.test"])


@pytest.mark.parametrize(
    ("host", "address", "own"),
    [
        ("localhost", "127.0.0.1", True),
        ("images.localhost", "::1", True),
        ("nas.lan", "::ffff:192.168.1.5", True),
        ("nas.lan", "::ffff:127.0.0.1", False),
        ("nas.lan", "fd12::1", True),
        ("nas.lan", "100.64.0.7", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("fd12::5efe:a9fe:a9fe", "fd12::5efe:a9fe:a9fe", False),
        ("198.18.0.1", "198.18.0.1", False),
    ],
)
def test_which_addresses_a_named_host_may_have(host: str, address: str, own: bool):
    assert is_own(host, ipaddress.ip_address(address)) is own


METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:42::42",
    "fd00:c1::a9fe:a9fe",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
]


@pytest.mark.parametrize("address", METADATA)
def test_the_metadata_service_of_a_cloud_is_never_asked(upstream: Upstream, address: str):
    """Not by its name, not where its address is named, and not where a named host leads there."""
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidSetting, match="never"):
        read_settings(url_allow_private=f"nas.lan,{shown}")
    name = "metadata.google.internal"
    with pytest.raises(InvalidInput):
        ask(upstream, f"http://{name}/good", name, names={name: [address]})
    to_it = Upstream({"/good": redirect(f"http://{shown}/good")})
    private = [*read_settings(url_allow_private="nas.lan").private_endpoints, (str(ipaddress.ip_address(address)), 80)]
    with to_it, pytest.raises(InvalidInput):
        fetch("http://nas.lan/good", private=private, resolve=resolver(PRIVATE), backend=Backend(to_it.port))


@pytest.mark.parametrize(
    "value", [",", "http://nas.lan", "nas.lan/path", "10.0.0.0/8", "*.lan", "a:b@nas.lan", "127.1"]
)
def test_what_is_no_host_ends_the_start(value: str):
    with pytest.raises(InvalidSetting, match="URL_ALLOW_PRIVATE="):
        read_settings(url_allow_private=value)
