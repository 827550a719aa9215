"""PNG, GIF, WebP and BMP: how many parts a file has, as Pillow counts them."""

from __future__ import annotations

import re

from .bounds import refuse_over

# PNG: a chunk costs Pillow two microseconds, a compressed one may inflate to 1 MB.
MAX_CHUNKS = 100_000
MAX_COMPRESSED_CHUNKS = 128
COMPRESSED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")

# GIF: XMP and colour profiles are cut into blocks of up to 255 bytes. Only what comes before the first frame is read.
MAX_BLOCKS = 100_000

# BMP: Pillow decodes run-length codes in Python. A screen of 1920 x 1080 fits.
MAX_RUN_LENGTH_PIXELS = MAX_RUN_LENGTH_BYTES = 2_100_000

PNG_NAME = re.compile(rb"\w{4}")
OLD_BMP_HEADER, BMP_RUN_LENGTHS = b"\x0c\0\0\0", (b"\1\0\0\0", b"\2\0\0\0")
GIF_IMAGE, GIF_EXTENSION, GIF_END = b",!;"
GIF_COMMENT, GIF_APPLICATION = b"\xfe", b"\xff"


def check_png(data: bytes) -> None:
    """Chunk after chunk, as Pillow goes: PNG specification, 5.3. It also reads those behind the pixels."""
    at, chunks, compressed = 8, 0, 0
    while at + 8 <= len(data):
        name = data[at + 4 : at + 8]
        if name == b"IEND" or PNG_NAME.fullmatch(name) is None:
            return
        chunks += 1
        compressed += name in COMPRESSED_CHUNKS
        refuse_over(MAX_CHUNKS, chunks, "chunks")
        refuse_over(MAX_COMPRESSED_CHUNKS, compressed, "compressed texts and colour profiles")
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def check_gif(data: bytes) -> None:
    """Block after block up to the first frame, as Pillow goes: GIF89a specification, 23 to 26. It skips other bytes."""
    at = 13 + (3 << (1 + (data[10] & 7)) if data[10:11] >= b"\x80" else 0)  # behind the palette
    blocks = 0
    while at < len(data) and data[at] not in (GIF_IMAGE, GIF_END):
        at, count = _after_extension(data, at) if data[at] == GIF_EXTENSION else (at + 1, 1)
        blocks += count
        refuse_over(MAX_BLOCKS, blocks, "blocks before its first frame")


def _after_extension(data: bytes, at: int) -> tuple[int, int]:
    """Where an extension ends, and how many blocks it has. An empty block ends it, unless Pillow looks for more."""
    label, first = data[at + 1 : at + 2], data[at + 3 : at + 14]
    is_loop = label == GIF_APPLICATION and data[at + 2 : at + 3] >= b"\x0b" and first == b"NETSCAPE2.0"
    least = 0 if label == GIF_COMMENT else 2 if is_loop else 1
    at, blocks = at + 2, 0
    while at < len(data) and blocks <= MAX_BLOCKS:
        length = data[at]
        at += 1 + length
        blocks += 1
        if length == 0 and blocks > least:
            break
    return at, blocks


def check_webp(data: bytes) -> None:
    """Chunk after chunk: RFC 9649, 2.3 and 2.4."""
    at, chunks = 12, 0
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= end:
        chunks += 1
        refuse_over(MAX_CHUNKS, chunks, "chunks")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


def check_bmp(data: bytes) -> None:
    """BITMAPINFOHEADER: width and height at 18 and 22, the compression at 30."""
    if data[14:18] == OLD_BMP_HEADER or data[30:34] not in BMP_RUN_LENGTHS:
        return
    width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
    refuse_over(MAX_RUN_LENGTH_PIXELS, width * height, "pixels in run-length codes")
    refuse_over(MAX_RUN_LENGTH_BYTES, len(data), "bytes of run-length codes")
