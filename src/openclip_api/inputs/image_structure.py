"""How many parts an image file is made of, counted before Pillow opens it.

Pillow handles a file's metadata in Python, part by part, and inflates what is compressed. So a small file of many tiny
parts, or of few that inflate to much, costs seconds. Here the parts are counted from their lengths alone: nothing is
inflated, and the count ends at its bound. The bounds are far above what cameras and programs write. The worst file
within them costs half a second (tests/inputs/test_image_structure.py), besides its pixels.
"""

from __future__ import annotations

import re

from ..errors import InvalidImage

# PNG: a chunk costs Pillow two microseconds, a compressed one may inflate to 1 MB.
MAX_CHUNKS = 100_000
MAX_COMPRESSED_CHUNKS = 128
COMPRESSED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")

# JPEG: XMP of 100 MB has 1,600 segments of 64 KB. A directory of EXIF costs Pillow five microseconds an entry.
MAX_SEGMENTS = 4096
MAX_TABLE_SEGMENTS = 64
MAX_PHOTOSHOP_SEGMENTS = 128
MAX_EXIF_BYTES = 256_000
MAX_FILLER = 100_000  # bytes between segments, which Pillow reads one by one

# A progressive JPEG may refine its coefficients in any number of scans: 30 KB can cost a minute. Encoders use some ten.
MAX_JPEG_SCANS = 64

# GIF: XMP and colour profiles are cut into blocks of up to 255 bytes. Only what comes before the first frame is read.
MAX_BLOCKS = 100_000

# BMP: Pillow decodes run-length codes in Python. A screen of 1920 x 1080 fits.
MAX_RUN_LENGTH_PIXELS = MAX_RUN_LENGTH_BYTES = 2_100_000

JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")
JPEG_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # markers that compressed data cannot contain
JPEG_WITHOUT_LENGTH = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})  # as Pillow reads them
START_OF_SCAN, END_OF_IMAGE, TABLE, EXIF, PHOTOSHOP = 0xDA, 0xD9, 0xDB, 0xE1, 0xED
PNG_NAME = re.compile(rb"\w{4}")
OLD_BMP_HEADER, BMP_RUN_LENGTHS = b"\x0c\0\0\0", (b"\1\0\0\0", b"\2\0\0\0")
GIF_IMAGE, GIF_EXTENSION, GIF_END = b",!;"
GIF_COMMENT, GIF_APPLICATION = b"\xfe", b"\xff"


def check_structure(data: bytes) -> None:
    """Raises InvalidImage for a file of more parts than any picture needs. What is no image is left for Pillow."""
    if data.startswith(b"\xff\xd8\xff"):
        _check_jpeg_header(data)
        _check_jpeg_scans(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(data)
    elif data.startswith(b"RIFF"):
        _check_webp(data)
    elif data.startswith(b"BM"):
        _check_bmp(data)


def _refuse_over(limit: int, count: int, what: str) -> None:
    if count > limit:
        raise InvalidImage(f"the image has more than {limit} {what}: save it anew, without metadata or compression")


def _check_png(data: bytes) -> None:
    """Chunk after chunk, as Pillow goes: PNG specification, 5.3. It also reads those behind the pixels."""
    at, chunks, compressed = 8, 0, 0
    while at + 8 <= len(data):
        name = data[at + 4 : at + 8]
        if name == b"IEND" or PNG_NAME.fullmatch(name) is None:
            return
        chunks += 1
        compressed += name in COMPRESSED_CHUNKS
        _refuse_over(MAX_CHUNKS, chunks, "chunks")
        _refuse_over(MAX_COMPRESSED_CHUNKS, compressed, "compressed texts and colour profiles")
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _check_jpeg_header(data: bytes) -> None:
    """Segment after segment up to the first scan, as Pillow goes: ITU-T T.81, B.1.1, and filler in between."""
    at, filler = 2, 0
    segments = tables = photoshop = exif = 0
    while (found := JPEG_MARKER.search(data, at)) is not None:
        filler += found.start() - at
        at, marker = found.end(), data[found.end() - 1]
        if marker < 0xC0 or marker == START_OF_SCAN:
            return
        length = 0 if marker in JPEG_WITHOUT_LENGTH else max(2, int.from_bytes(data[at : at + 2], "big"))
        segments += 1
        tables += marker == TABLE
        photoshop += marker == PHOTOSHOP
        exif += length * (marker == EXIF and data[at + 2 : at + 8] == b"Exif\0\0")
        at += length
        _refuse_over(MAX_SEGMENTS, segments, "segments")
        _refuse_over(MAX_FILLER, filler, "bytes between its segments")
        _refuse_over(MAX_TABLE_SEGMENTS, tables, "segments of quantisation tables")
        _refuse_over(MAX_PHOTOSHOP_SEGMENTS, photoshop, "segments of Photoshop's data")
        _refuse_over(MAX_EXIF_BYTES, exif, "bytes of EXIF data")
    _refuse_over(MAX_FILLER, filler + len(data) - at, "bytes between its segments")


def _check_jpeg_scans(data: bytes) -> None:
    """Segment after segment up to the image's end, as libjpeg goes."""
    at, segments, scans = 2, 0, 0
    while (found := JPEG_SEGMENT.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == END_OF_IMAGE:
            return
        segments += 1
        scans += marker == START_OF_SCAN
        _refuse_over(MAX_SEGMENTS, segments, "segments")
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"the image is drawn over more than {MAX_JPEG_SCANS} times")
        at += int.from_bytes(data[at : at + 2], "big")


def _check_gif(data: bytes) -> None:
    """Block after block up to the first frame, as Pillow goes: GIF89a specification, 23 to 26. It skips other bytes."""
    at = 13 + (3 << (1 + (data[10] & 7)) if data[10:11] >= b"\x80" else 0)  # behind the palette
    blocks = 0
    while at < len(data) and data[at] not in (GIF_IMAGE, GIF_END):
        at, count = _after_extension(data, at) if data[at] == GIF_EXTENSION else (at + 1, 1)
        blocks += count
        _refuse_over(MAX_BLOCKS, blocks, "blocks before its first frame")


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


def _check_webp(data: bytes) -> None:
    """Chunk after chunk: RFC 9649, 2.3 and 2.4."""
    at, chunks = 12, 0
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= end:
        chunks += 1
        _refuse_over(MAX_CHUNKS, chunks, "chunks")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


def _check_bmp(data: bytes) -> None:
    """BITMAPINFOHEADER: width and height at 18 and 22, the compression at 30."""
    if data[14:18] == OLD_BMP_HEADER or data[30:34] not in BMP_RUN_LENGTHS:
        return
    width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
    _refuse_over(MAX_RUN_LENGTH_PIXELS, width * height, "pixels in run-length codes")
    _refuse_over(MAX_RUN_LENGTH_BYTES, len(data), "bytes of run-length codes")
