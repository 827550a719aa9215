"""A small JPEG of an image file, for people to look at."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from ..inputs.images import FORMATS, image_size

SIDE = 256


def thumbnail(data: bytes, max_megapixels: float, side: int = SIDE) -> bytes:
    """Upright, its longer side `side` pixels at most. Raises InvalidImage, and OSError or ValueError if damaged."""
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
