"""JPEG XL: the size and orientation in its header. Source: ISO/IEC 18181-1, SizeHeader and ImageMetadata; 18181-2.

Its decoder gives the whole picture at once, so nobody else asks for the size before.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InvalidImage, TooLarge
from .boxes import boxes

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
LENGTHS = (9, 13, 18, 30)  # bits of a side
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height
LONGEST_HEADER = 32  # bytes


@dataclass(frozen=True)
class Header:
    """The picture's size as shown, and how its decoder turns it: 1 for not at all, as in EXIF."""

    width: int
    height: int
    orientation: int


def check_jpeg_xl(data: bytes, max_pixels: float) -> None:
    """Raises InvalidImage, TooLarge."""
    header = read_header(data)
    if header.width * header.height > max_pixels:
        message = f"{header.width} x {header.height} pixels, more than {max_pixels / 1e6:g} megapixels"
        raise TooLarge(f"the image has {message}")


def read_header(data: bytes) -> Header:
    """Raises InvalidImage."""
    start = len(CODESTREAM) if data.startswith(CODESTREAM) else _codestream(data)
    bits = int.from_bytes(data[start : start + LONGEST_HEADER], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    is_small = take(1)
    height = 8 * (take(5) + 1) if is_small else take(LENGTHS[take(2)]) + 1
    ratio = take(3)
    if ratio:
        across, down = RATIOS[ratio - 1]
        width = height * across // down
    else:
        width = 8 * (take(5) + 1) if is_small else take(LENGTHS[take(2)]) + 1
    is_default = take(1)
    has_more = 0 if is_default else take(1)
    return Header(width, height, take(3) + 1 if has_more else 1)


def _codestream(data: bytes) -> int:
    """Where it begins, behind its own first two bytes."""
    for kind, at in boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            return at + (4 if kind == b"jxlp" else 0) + len(CODESTREAM)
    raise InvalidImage("the image cannot be decoded: there is no picture in it")
