"""A small JPEG of an image file, for people to look at."""

from __future__ import annotations

import io

from ..bulk.items import read_file
from ..inputs.formats import installed_formats
from ..inputs.images import open_image
from ..inputs.natural_reading import prepared

SIDE = 256
LARGEST_FILE = 64_000_000  # bytes


def file_thumbnail(path: str, max_megapixels: float) -> bytes:
    """As `thumbnail`. Also raises Unreadable for what is no regular file, or larger than LARGEST_FILE."""
    return thumbnail(read_file(path, LARGEST_FILE), max_megapixels)


def thumbnail(data: bytes, max_megapixels: float, side: int = SIDE) -> bytes:
    """As people see it, the longer side at most `side` pixels.

    Raises InvalidImage, TooLarge; OSError or ValueError if it is damaged. It costs what `open_image` bounds.
    """
    image = open_image(data, max_megapixels, installed_formats())
    image.draft(None, (side, side))
    natural = prepared(image, data)
    natural.picture.thumbnail((side, side))
    file = io.BytesIO()
    natural.finish(natural.turn(natural.picture)).convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()
