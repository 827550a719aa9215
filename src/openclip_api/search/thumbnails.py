"""A small JPEG of an image file, for people to look at."""

from __future__ import annotations

import io

from PIL import ImageOps

from ..bulk.items import read_file
from ..inputs.image_structure import MAX_EXIF_BYTES
from ..inputs.images import open_image

SIDE = 256
LARGEST_FILE = 64_000_000  # bytes


def file_thumbnail(path: str, max_megapixels: float) -> bytes:
    """As `thumbnail`. Also raises Unreadable for what is no regular file, or larger than LARGEST_FILE."""
    return thumbnail(read_file(path, LARGEST_FILE), max_megapixels)


def thumbnail(data: bytes, max_megapixels: float, side: int = SIDE) -> bytes:
    """Upright, the longer side at most `side` pixels.

    Raises InvalidImage, TooLarge; OSError or ValueError if it is damaged. It costs what `open_image` bounds.
    """
    image = open_image(data, max_megapixels)
    image.draft("RGB", (side, side))
    if len(image.info.get("exif", b"")) <= MAX_EXIF_BYTES:  # a PNG or WebP may have any number of bytes
        image = ImageOps.exif_transpose(image)
    image = image.convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
