"""ICO and JPEG 2000. Sources: Microsoft's ICONDIR; ISO/IEC 15444-1, annexes A and I."""

from __future__ import annotations

from ...errors import TooLarge
from .bounds import refuse_over
from .boxes import boxes
from .common import BMP_RUN_LENGTHS, MAX_RUN_LENGTH_BYTES, check_png

# ICO: an icon has some ten pictures of up to 256 x 256, each a PNG or a BMP that says its own size.
MAX_PICTURES = 256
MAX_ICON_PIXELS = 1024 * 1024
PNG_START = b"\x89PNG\r\n\x1a\n"

# JPEG 2000: Pillow reads its boxes and markers in Python, and OpenJPEG keeps facts of each tile.
MAX_MARKERS = 4096
MAX_TILES = 4096
CODESTREAM = b"\xff\x4f\xff\x51"
START_OF_TILE, END = 0x90, 0xD9


def check_ico(data: bytes) -> None:
    """Raises InvalidImage, TooLarge."""
    count = int.from_bytes(data[4:6], "little")
    refuse_over(MAX_PICTURES, count, "pictures")
    for entry in range(6, 6 + 16 * count, 16):
        at = int.from_bytes(data[entry + 12 : entry + 16], "little")
        if data.startswith(PNG_START, at):
            check_png(data[at : at + int.from_bytes(data[entry + 8 : entry + 12], "little")])
            width, height = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (16, 20))
        else:
            width, height = (abs(int.from_bytes(data[at + i : at + i + 4], "little", signed=True)) for i in (4, 8))
            height //= 2
            if data[at + 16 : at + 20] in BMP_RUN_LENGTHS:
                refuse_over(MAX_RUN_LENGTH_BYTES, len(data) - at, "bytes of run-length codes")
        if width * height > MAX_ICON_PIXELS:
            raise TooLarge("a picture of the icon has more than 1024 x 1024 pixels")


def check_jpeg_2000(data: bytes, max_pixels: float) -> None:
    """Raises InvalidImage, TooLarge."""
    at = 0 if data.startswith(CODESTREAM) else _codestream(data)
    markers = 0
    while at <= len(data) - 4:
        marker = data[at + 1]
        if marker in (START_OF_TILE, END):
            return
        markers += 1
        refuse_over(MAX_MARKERS, markers, "segments")
        if marker == 0x4F:  # the start itself, without a length
            at += 2
            continue
        if marker == 0x51:
            _check_size(data, at, max_pixels)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _check_size(data: bytes, at: int, max_pixels: float) -> None:
    """SIZ, A.5.1: the grid's end and start, the tiles' size and start."""
    right, bottom, left, top, tile_width, tile_height = (
        int.from_bytes(data[at + i : at + i + 4], "big") for i in range(6, 30, 4)
    )
    width, height = max(0, right - left), max(0, bottom - top)
    if width * height > max_pixels:
        raise TooLarge(f"the image has {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels")
    tiles = -(-right // max(1, tile_width)) * -(-bottom // max(1, tile_height))
    refuse_over(MAX_TILES, tiles, "tiles")


def _codestream(data: bytes) -> int:
    """Where it begins, behind the boxes. Those inside the header count too."""
    return next((at for kind, at in boxes(data, (b"jp2h", b"res ")) if kind == b"jp2c"), len(data))
