"""A small JPEG of an image file, for people to look at."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from ..bulk.items import read_file
from ..inputs.images import FORMATS, image_size

SIDE = 256
LARGEST_FILE = 64_000_000  # bytes


def file_thumbnail(path: str, max_megapixels: float) -> bytes:
    """As `thumbnail`. Also raises Unreadable for what is no regular file, or larger than LARGEST_FILE."""
    return thumbnail(read_file(path, LARGEST_FILE), max_megapixels)


def thumbnail(data: bytes, max_megapixels: float, side: int = SIDE) -> bytes:
    """Upright, the longer side at most `side` pixels. Raises InvalidImage; OSError or ValueError if it is damaged."""
    width, height = image_size(data)
    if width * height > max_megapixels * 1e6:
        raise ValueError("too many pixels")
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    image.draft("RGB", (side, side))
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
