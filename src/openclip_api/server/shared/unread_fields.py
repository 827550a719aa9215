"""The fields of a JSON object that its route does not read: a client of another server may send some, but no more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from pydantic_core import from_json

from ...errors import TooLarge

MOST_VALUES, MOST_BYTES = 16_384, 2_000_000  # of all such fields together
BEFORE_VALUES = b",:[{"
COLON = re.compile(rb"[ \t\r\n]*:")


def check_unread(content: bytes, without_escapes: bytes, read: Collection[str]) -> None:
    """without_escapes: the content, as long as it is, in which each quote begins or ends a string.

    Raises TooLarge.
    """
    values = size = 0
    is_unread = False
    for start, end, key, inside in _pieces(content, without_escapes):
        if key is not None:
            is_unread = key not in read
        if is_unread:
            size += end - start
            values += sum(inside.count(sign) for sign in BEFORE_VALUES)
            if values > MOST_VALUES or size > MOST_BYTES:
                raise TooLarge(f"an unknown field has more than {MOST_VALUES} values or 2 MB", "body")


def _pieces(content: bytes, plain: bytes) -> Iterator[tuple[int, int, str | None, bytes]]:
    """Each string with what follows it up to the next one: where it begins and ends, its name if it is a key of the
    outermost object, and what follows it."""
    start = plain.find(b'"')
    depth = _deeper(plain[: max(0, start)])
    while start >= 0:
        behind = plain.find(b'"', start + 1) + 1
        if behind == 0:  # a string without an end: the parser will say so
            return
        following = plain.find(b'"', behind)
        end = len(plain) if following < 0 else following
        is_key = depth == 1 and COLON.match(plain, behind) is not None
        inside = plain[behind:end]
        yield start, end, _name(content[start:behind]) if is_key else None, inside
        depth += _deeper(inside)
        start = following


def _deeper(between: bytes) -> int:
    return between.count(b"{") + between.count(b"[") - between.count(b"}") - between.count(b"]")


def _name(key: bytes) -> str:
    try:
        return str(from_json(key))
    except ValueError:  # half of a surrogate pair, or no JSON at all
        return ""
