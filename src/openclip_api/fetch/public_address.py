"""Which IP addresses belong to the public internet: a stranger may have this server connect to these only."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# All of IANA's special-purpose registries, as Python's own list differs from version to version. Also addresses that
# look global but lead to the platform of the host, or through a tunnel to an unknown place.
DENIED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services
        "169.254.0.0/16",  # also the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and the old way to write IPv4
        "::ffff:0:0:0/96",  # IPv4 as RFC 2765 once wrote it
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # through which an IPv6-only network reaches IPv4 addresses
ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: bits 64 to 95 of the address; an IPv4 address follows

# Addresses of one's own network: what a host that the owner has named may have beside public ones.
OWN = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
# The metadata services of clouds give out keys to whoever asks from inside: no setting opens these. Those with other
# addresses, such as 169.254.169.254, have none of OWN.
METADATA = [
    ipaddress.ip_network(network)
    for network in (
        "100.100.100.200/32",  # Alibaba Cloud
        "fd00:42::42/128",  # Scaleway
        "fd00:c1::/32",  # Oracle
        "fd00:ec2::/32",  # Amazon
        "fd20:ce::/32",  # Google
    )
]


def is_own(host: str, address: Address) -> bool:
    """Whether an address may be that of a host that the owner of the server has named: public, of a private network,
    or of this machine if the name says so."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_own(host, address.ipv4_mapped)
    if is_public(address):
        return True
    if address.is_loopback:
        return host == str(address) or host == "localhost" or host.endswith(".localhost")
    is_opened = any(address in network for network in OWN) and not _is_tunnel(address)
    return is_opened and not any(address in network for network in METADATA)


def is_public(address: Address) -> bool:
    """Whether an address is public, and so is the IPv4 address that it may hold."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if _is_tunnel(address):
            return False
    return address.is_global and not any(address in network for network in DENIED)


def _is_tunnel(address: Address) -> bool:
    return address.version == 6 and int(address) >> 32 & 0xFFFFFFFF in ISATAP
