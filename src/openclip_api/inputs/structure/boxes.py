"""The boxes that files of JPEG 2000 and JPEG XL are made of: ISO/IEC 15444-1, annex I.4."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .bounds import refuse_over

MAX_BOXES = 1000


def boxes(data: bytes, opened: Collection[bytes] = ()) -> Iterator[tuple[bytes, int]]:
    """The kind of each box, and where its content begins. Those inside a box of a kind in `opened` follow it.

    Raises InvalidImage for more than MAX_BOXES.
    """
    at, count = 0, 0
    while at + 8 <= len(data):
        count += 1
        refuse_over(MAX_BOXES, count, "boxes")
        size, kind, header = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        yield kind, at + header
        at += header if kind in opened else max(header, size)
