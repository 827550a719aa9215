"""JSON from a client, parsed only if it is no wider than a request of this server can be.

Each value costs a Python object of some 50 to 250 bytes, and most need two bytes of JSON: 30 MB of `{},{},{},..` would
be 2 GB. So values are counted first, in the bytes, at the speed of memchr. Depth needs no counting: the parser itself
stops at 200.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from ...errors import TooLarge

VALUES_PER_ITEM = 32  # the wordiest protocol has 15 in an item
OTHER_VALUES = 16_384  # a vector to search with, lists of a filter, fields that only others read
MARK = b"\xef\xbb\xbf"  # a byte order mark in UTF-8, which some editors and libraries write: RFC 8259, section 8.1
START = 65_536


def most_values(max_items: int) -> int:
    """How many keys and values a body may have."""
    return OTHER_VALUES + VALUES_PER_ITEM * max_items


def parse_json(content: bytes, most: int) -> Any:
    """most: how many keys and values there may be. Raises ValueError for what is no JSON, TooLarge."""
    content = content.removeprefix(MARK)
    if _is_wider(content, most):
        from_json(content[:START], allow_partial=True)  # what is no JSON at all is told so
        raise TooLarge(f"the body has more than {most} values: send fewer at once", "body")
    return from_json(content)


def _is_wider(content: bytes, most: int) -> bool:
    """Whether there are more commas, colons and opening brackets outside of strings: one stands before each value."""
    if b"\\" in content and b'\\"' in content:
        content = content.replace(b"\\\\", b"").replace(b'\\"', b"")  # from here on each quote begins or ends a string
    outside, end = [], 0
    for _ in range(most + 2):
        start = content.find(b'"', end)
        if start < 0:
            outside.append(content[end:])
            break
        outside.append(content[end:start])
        end = content.find(b'"', start + 1) + 1
        if end == 0:  # a string without an end: the parser will say so
            break
    else:  # more strings than there may be values
        return True
    signs = b"".join(outside)
    return sum(_count(signs, sign, most) for sign in (b",", b":", b"[", b"{")) > most


def _count(content: bytes, sign: bytes, most: int) -> int:
    """How often `sign` occurs, up to most + 1. Unlike bytes.count, it is fast where there are none, and stops early."""
    return len(content.split(sign, most + 1)) - 1
