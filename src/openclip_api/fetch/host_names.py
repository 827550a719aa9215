"""Host names and addresses, as URLs and Host headers have them."""

from __future__ import annotations

import ipaddress
import re

from .public_address import Address

_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)


def is_name(host: str) -> bool:
    return bool(_NAME.fullmatch(host))


def address_of(host: str) -> Address | None:
    """None for a name. IPv6 comes without brackets."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
