"""TIFF: the first directory. Sources: TIFF 6.0, section 2; BigTIFF (libtiff's bigtiff.html).

Pillow reads a directory entry by entry, and makes a Python object of each strip and tile.
"""

from __future__ import annotations

import struct

from ...errors import TooLarge
from .bounds import refuse_over

MAX_TAGS = 1024
MAX_STRIPS = 20_000  # a scan of 40 megapixels, stored row by row, has some 6,000
MAX_VALUES = 65_536  # of any other tag: a palette of 16 bits has 768
MAX_DIRECTORIES_INSIDE = 8

WIDTH, LENGTH, STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_LENGTH, TILES, TILE_BYTES = 256, 257, 273, 279, 322, 323, 324, 325
DIRECTORIES = (330, 34665, 34853, 40965)  # that Pillow reads too: SubIFDs, EXIF, GPS, interoperability
# A camera's raw file is a TIFF whose first picture is a thumbnail.
KIND, REDUCED, SUB_DIRECTORIES, DNG_VERSION = 254, 1, 330, 50706
BYTES = (1, 2, 6, 7)  # types whose values are one string to Pillow
SIZES = {3: 2, 4: 4, 16: 8}  # of the types that sizes of pictures have


def check_tiff(data: bytes, max_pixels: float) -> None:
    """Raises InvalidImage, TooLarge."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    start = _number(data, order, 8 if is_big else 4, 8 if is_big else 4)
    inside = _check_directory(data, order, is_big, start, max_pixels)
    for directory in inside[:MAX_DIRECTORIES_INSIDE]:
        _check_directory(data, order, is_big, directory, max_pixels)


def is_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera's raw file: DNG, CR2, NEF, ARW and their like."""
    order = "<" if data.startswith(b"II") else ">"
    if b"+" in data[2:4]:
        return False
    start = _number(data, order, 4, 4)
    count = min(_number(data, order, start, 2), MAX_TAGS)
    entries = range(start + 2, start + 2 + 12 * count, 12)
    kinds = {_number(data, order, entry, 2): _number(data, order, entry + 8, 4) for entry in entries}
    is_thumbnail = bool(kinds.get(KIND, 0) & (REDUCED if order == "<" else REDUCED | REDUCED << 16))
    return DNG_VERSION in kinds or data[8:10] == b"CR" or (is_thumbnail and SUB_DIRECTORIES in kinds)


def _check_directory(data: bytes, order: str, is_big: bool, at: int, max_pixels: float) -> list[int]:
    """Where the directories inside it are."""
    width, step = (8, 20) if is_big else (2, 12)
    count = _number(data, order, at, width)
    refuse_over(MAX_TAGS, count, "tags")
    sizes: dict[int, int] = {}
    inside = []
    for entry in range(at + width, at + width + count * step, step):
        tag, kind = _number(data, order, entry, 2), _number(data, order, entry + 2, 2)
        values = _number(data, order, entry + 4, 8 if is_big else 4)
        if tag in (STRIPS, STRIP_BYTES, TILES, TILE_BYTES):
            refuse_over(MAX_STRIPS, values, "strips and tiles")
        elif kind not in BYTES:
            refuse_over(MAX_VALUES, values, "values in a tag")
        if kind in SIZES and values == 1:
            sizes[tag] = _number(data, order, entry + (12 if is_big else 8), SIZES[kind])
        if tag in DIRECTORIES and tag in sizes:
            inside.append(sizes[tag])
    for wide, high in ((WIDTH, LENGTH), (TILE_WIDTH, TILE_LENGTH)):
        if sizes.get(wide, 0) * sizes.get(high, 0) > max_pixels:
            message = f"{sizes[wide]} x {sizes[high]} pixels, more than {max_pixels / 1e6:g} megapixels"
            raise TooLarge(f"the image, or a tile of it, has {message}")
    return inside


def _number(data: bytes, order: str, at: int, size: int) -> int:
    if at + size > len(data):
        return 0
    return int(struct.unpack_from(order + {2: "H", 4: "I", 8: "Q"}[size], data, at)[0])
