"""No packet goes to an address that is not public, however it is spelled and whatever names resolve to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from openclip_api.errors import DeadlineExceeded, ImageUnreachable, InvalidInput
from openclip_api.fetch.network import SystemResolver

from ..support.upstream import PUBLIC_ADDRESS, Backend, Sentinel, Upstream, body, resolver
from .conftest import fetch, words
from .test_public_address import PRIVATE


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
def test_a_name_with_a_private_address_is_not_connected_to(address: str):
    backend = Backend(1)
    for addresses in ([address], [PUBLIC_ADDRESS, address], [address, PUBLIC_ADDRESS]):
        with pytest.raises(InvalidInput, match="cannot be found, or the server may not"):
            fetch("http://name.test/", resolve=resolver({"name.test": addresses}), backend=backend)
    assert backend.connected == []


def test_an_unknown_name_and_a_forbidden_one_get_the_same_error():
    messages = set()
    for name in ("private.test", "unknown.test"):
        with pytest.raises(InvalidInput) as caught:
            fetch(f"http://{name}/", resolve=resolver({"private.test": ["10.0.0.1"]}))
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_the_system_s_resolver_finds_this_machine():
    assert "127.0.0.1" in asyncio.run(SystemResolver(1)("127.0.0.1", 80))


def test_the_connection_goes_to_the_address_that_was_checked():
    answers = iter([[PUBLIC_ADDRESS], ["127.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    with Upstream({"/good": body(b"image")}) as upstream:
        backend = Backend(upstream.port)
        assert fetch("http://ok.test/good", resolve=rebinding, backend=backend) == b"image"
    assert backend.connected == [(PUBLIC_ADDRESS, 80)]


def test_a_name_that_cannot_be_resolved_in_time_ends_too():
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(DeadlineExceeded):
        fetch("http://ok.test/", resolve=slow, seconds=0.2)


def test_a_closed_port_has_no_error_of_its_own():
    sentinel = Sentinel()
    sentinel.close()
    with pytest.raises(ImageUnreachable, match=r"could not be fetched$"):
        fetch("http://ok.test/", resolve=resolver({"ok.test": [PUBLIC_ADDRESS]}), backend=Backend(sentinel.port))
