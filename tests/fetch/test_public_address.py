"""Which addresses a stranger's URL may lead to."""

from __future__ import annotations

import ipaddress

import pytest

from openclip_api.fetch.public_address import is_public

from .conftest import words

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
def test_an_address_that_is_not_public(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("zone", ["eth0", "1"])
def test_an_address_with_a_zone_is_not_public(zone: str):
    assert not is_public(ipaddress.ip_address(f"2001:4860:4860::8888%{zone}"))
