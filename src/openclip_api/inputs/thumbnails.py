"""A small JPEG of an image, for people to look at."""

from __future__ import annotations

import io

from .formats import installed_formats
from .images import open_image
from .natural_reading import prepared

SIDE = 256


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
