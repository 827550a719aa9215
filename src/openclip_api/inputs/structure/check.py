"""How many parts an image file is made of, counted before Pillow opens it.

Pillow handles a file's metadata in Python, part by part, and inflates what is compressed. So a small file of many tiny
parts, or of few that inflate to much, costs seconds. Here the parts are counted from their lengths alone: nothing is
inflated, and the count ends at its bound. The bounds are far above what cameras and programs write. The worst file
within them costs half a second (tests/inputs/test_image_structure.py), besides its pixels.

Where a file says in more than one place how large its picture is, each of them is held to the bound on pixels.
"""

from __future__ import annotations

import math

from . import jpeg_xl
from .common import check_bmp, check_gif, check_png, check_webp
from .iso_media import check_iso_media
from .jpeg import check_jpeg
from .rare import check_ico, check_jpeg_2000
from .tiff import check_tiff


def check_structure(data: bytes, max_pixels: float = math.inf) -> None:
    """Raises InvalidImage for a file of more parts than any picture needs, and TooLarge for one with a part of more
    than `max_pixels`. What is no image is left for Pillow."""
    if data.startswith(b"\xff\xd8\xff"):
        check_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        check_png(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        check_gif(data)
    elif data.startswith(b"RIFF"):
        check_webp(data)
    elif data.startswith(b"BM"):
        check_bmp(data)
    else:
        _check_others(data, max_pixels)


def _check_others(data: bytes, max_pixels: float) -> None:
    if data[4:8] == b"ftyp":
        check_iso_media(data, max_pixels)
    elif data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")):
        check_tiff(data, max_pixels)
    elif data.startswith(b"\0\0\1\0"):
        check_ico(data)
    elif data.startswith((jpeg_xl.CODESTREAM, jpeg_xl.CONTAINER)):
        jpeg_xl.check_jpeg_xl(data, max_pixels)
    elif data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        check_jpeg_2000(data, max_pixels)
