"""A body that is an image's bytes."""

from __future__ import annotations

from fastapi import Request

from ...errors import InvalidInput, UnsupportedMedia
from ...inputs.images import FORMATS
from .body import media_type, read_bytes
from .items import Item

IMAGE_TYPES = [f"image/{format.lower()}" for format in FORMATS]
BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_CONTENT = dict.fromkeys(IMAGE_TYPES, BINARY)  # as OpenAPI shows it


async def image_body(request: Request) -> Item:
    """Raises UnsupportedMedia, InvalidInput, TooLarge."""
    if media_type(request).replace("/jpg", "/jpeg") not in IMAGE_TYPES:
        raise UnsupportedMedia(f"an image may be {', '.join(IMAGE_TYPES)}")
    content = await read_bytes(request)
    if not content:
        raise InvalidInput("body: empty", "body")
    return Item("image", content, "body")
