"""JPEG: its segments and scans."""

from __future__ import annotations

import re

from ...errors import InvalidImage
from .bounds import MAX_EXIF_BYTES, refuse_over

# JPEG: XMP of 100 MB has 1,600 segments of 64 KB. A directory of EXIF costs Pillow five microseconds an entry.
MAX_SEGMENTS = 4096
MAX_TABLE_SEGMENTS = 64
MAX_PHOTOSHOP_SEGMENTS = 128
MAX_FILLER = 100_000  # bytes between segments, which Pillow reads one by one

# A progressive JPEG may refine its coefficients in any number of scans: 30 KB can cost a minute. Encoders use some ten.
MAX_JPEG_SCANS = 64

JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")
JPEG_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # markers that compressed data cannot contain
JPEG_WITHOUT_LENGTH = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})  # as Pillow reads them
START_OF_SCAN, END_OF_IMAGE, TABLE, EXIF, PHOTOSHOP = 0xDA, 0xD9, 0xDB, 0xE1, 0xED


def check_jpeg(data: bytes) -> None:
    _check_jpeg_header(data)
    _check_jpeg_scans(data)


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
        refuse_over(MAX_SEGMENTS, segments, "segments")
        refuse_over(MAX_FILLER, filler, "bytes between its segments")
        refuse_over(MAX_TABLE_SEGMENTS, tables, "segments of quantisation tables")
        refuse_over(MAX_PHOTOSHOP_SEGMENTS, photoshop, "segments of Photoshop's data")
        refuse_over(MAX_EXIF_BYTES, exif, "bytes of EXIF data")
    refuse_over(MAX_FILLER, filler + len(data) - at, "bytes between its segments")


def _check_jpeg_scans(data: bytes) -> None:
    """Segment after segment up to the image's end, as libjpeg goes."""
    at, segments, scans = 2, 0, 0
    while (found := JPEG_SEGMENT.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == END_OF_IMAGE:
            return
        segments += 1
        scans += marker == START_OF_SCAN
        refuse_over(MAX_SEGMENTS, segments, "segments")
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"the image has more than {MAX_JPEG_SCANS} scans: save it again with fewer")
        at += int.from_bytes(data[at : at + 2], "big")
