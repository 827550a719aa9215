"""JSON from a client, parsed only if it is no wider than a request of this server can be, and has no endless numbers.

Each value costs a Python object of some 50 to 250 bytes, and most need two bytes of JSON: 30 MB of `{},{},{},..` would
be 2 GB. So values are counted first, in the bytes, at the speed of memchr. Depth needs no counting: the parser itself
stops at 200. To read an integer takes the square of its digits, so these have a bound too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Any

from pydantic_core import from_json

from ...errors import TooLarge
from .unread_fields import MOST_BYTES, MOST_VALUES, check_unread

VALUES_PER_ITEM = 32  # the wordiest protocol has 15 in an item
OTHER_VALUES = 16_384  # a vector to search with, lists of a filter, fields that only others read
LONGEST_NUMBER = 1000  # characters
BLANKS_AND_SIGNS = b" \t\r\n[]{}:"
MARK = b"\xef\xbb\xbf"  # a byte order mark in UTF-8, which some editors and libraries write: RFC 8259, section 8.1
START = 65_536  # bytes
LARGE = 200_000  # bytes: to parse fewer takes a few milliseconds


def most_values(max_items: int) -> int:
    """How many keys and values a body may have."""
    return OTHER_VALUES + VALUES_PER_ITEM * max_items


async def parsed_json(content: bytes, most: int, read: Collection[str] = ()) -> Any:
    """As parse_json. A large body is parsed in a thread: other requests are answered between the steps."""
    if len(content) < LARGE:
        return parse_json(content, most, read)
    return await asyncio.to_thread(parse_json, content, most, read)


def parse_json(content: bytes, most: int, read: Collection[str] = ()) -> Any:
    """most: how many keys and values there may be. read: the fields that matter, or none where all may.

    Raises ValueError for what is no JSON, TooLarge.
    """
    content = content.removeprefix(MARK)
    plain = _without_escapes(content)
    outside = _outside_of_strings(plain, most)
    values = most + 1 if outside is None else sum(_count(outside, sign, most) for sign in (b",", b":", b"[", b"{"))
    if outside is None or values > most:
        _parse(content[:START], allow_partial=True)  # what is no JSON at all is told so
        raise TooLarge(f"the body has more than {most} values: send fewer at once", "body")
    if any(len(part) > LONGEST_NUMBER and _is_long(part) for part in outside.split(b",")):
        _parse(content[:START], allow_partial=True)
        raise TooLarge(f"the body has a number of more than {LONGEST_NUMBER} characters", "body")
    if read and (values > MOST_VALUES or len(content) > MOST_BYTES):
        check_unread(content, plain, read)
    try:
        return _parse(content)
    except ValueError as error:
        if "hex escape" not in str(error):  # "\\ud83d" has no second half, or "\\ude00" no first
            raise
        return _with_surrogates(content)


def _parse(content: bytes, *, allow_partial: bool = False) -> Any:
    """JSON has neither NaN nor infinity: RFC 8259, section 6. Raises ValueError."""
    return from_json(content, allow_inf_nan=False, allow_partial=allow_partial)


def _with_surrogates(content: bytes) -> Any:
    """JSON in which a text was cut inside an emoji, as "\\ud83d". Only what reads that text finds fault with it, so
    that the error can name it. Raises ValueError.

    Whether all the rest is JSON, the usual parser says, of the same content with other escapes.
    """
    plain = content.replace(b"\\\\", b"//")
    _parse(plain.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0"))
    return json.loads(content)


def _without_escapes(content: bytes) -> bytes:
    """As long as the content. From here on each quote begins or ends a string."""
    if b"\\" in content and b'\\"' in content:
        content = content.replace(b"\\\\", b"//").replace(b'\\"', b"//")
    return content


def _outside_of_strings(content: bytes, most: int) -> bytes | None:
    """The content without its strings, or None where there are more strings than `most`.

    A comma, a colon or an opening bracket in what is left stands before each value.
    """
    outside: list[bytes] = []
    end = 0
    for _ in range(most + 2):
        start = content.find(b'"', end)
        if start < 0:
            return b"".join((*outside, content[end:]))
        outside.append(content[end:start])
        end = content.find(b'"', start + 1) + 1
        if end == 0:  # a string without an end: the parser will say so
            return b"".join(outside)
    return None


def _is_long(part: bytes) -> bool:
    """What stands between two commas is one value at most, with blanks and brackets around it."""
    return len(part.strip(BLANKS_AND_SIGNS)) > LONGEST_NUMBER


def _count(content: bytes, sign: bytes, most: int) -> int:
    """How often `sign` occurs, up to most + 1. Unlike bytes.count, it is fast where there are none, and stops early."""
    return len(content.split(sign, most + 1)) - 1
