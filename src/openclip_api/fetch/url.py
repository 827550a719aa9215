"""Parse a URL once, strictly: what is checked is exactly what is asked for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from ..errors import InvalidInput

PORTS = (80, 443)
MAX_URL_CHARACTERS = 4096
NOT_A_URL = "not a plain http or https URL"

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


Endpoint: TypeAlias = tuple[str, int]  # a host as a Target has it, and a port


class Target(NamedTuple):
    """Where a URL leads: what is checked, and exactly what is then asked for."""

    scheme: str
    host: str  # lower case; a name without the dot at its end, or an IP address
    port: int
    path: str  # with the query, percent-encoded


def endpoints(entry: str) -> list[Endpoint]:
    """ "nas.lan" → its usual ports; "nas.lan:9000" → that port. Raises ValueError."""
    authority = _AUTHORITY.fullmatch(entry)
    if authority is None:
        raise ValueError("expected names or addresses, such as nas.lan or nas.lan:9000")
    try:
        host = _host(authority)
    except InvalidInput as error:
        raise ValueError("expected names or addresses, such as nas.lan or nas.lan:9000") from error
    return [(host, int(port)) for port in ([authority["port"]] if authority["port"] else PORTS)]


def parse(url: str, ports: Collection[int] = PORTS, private: Collection[Endpoint] = ()) -> Target:
    """Raises InvalidInput for anything but http(s)://host[:port][/path][?query][#ignored] on an allowed port.

    private: hosts with ports of their own.
    """
    match = _URL.fullmatch(url)
    if match is None or len(url) > MAX_URL_CHARACTERS or re.search(r"[\x00-\x20\x7f\\\ud800-\udfff]", url):
        raise InvalidInput(NOT_A_URL)
    scheme, path = match[1].lower(), match[3]
    authority = _AUTHORITY.fullmatch(match[2])  # no user, no password, no escapes, nothing beyond ASCII
    if authority is None:
        raise InvalidInput(NOT_A_URL)
    port = int(authority["port"] or {"http": 80, "https": 443}[scheme])
    host = _host(authority)
    if port not in ports and (host, port) not in private:
        raise InvalidInput(f"the URL's port is not one of {', '.join(map(str, ports))}")
    path = quote(path, safe="%/?:@!$&'()*+,;=-._~[]|")
    return Target(scheme, host, port, path if path.startswith("/") else f"/{path}")


def _host(authority: re.Match[str]) -> str:
    try:
        if authority["ipv6"]:
            return str(ipaddress.IPv6Address(authority["ipv6"]))
        host = normal_host(authority["name"])
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):  # 127.1, 0x7f000001 and 2130706433 are addresses to some programs
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise InvalidInput(NOT_A_URL) from error
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidInput(NOT_A_URL)
    return host


def normal_host(name: str) -> str:
    return name.lower().removesuffix(".")
