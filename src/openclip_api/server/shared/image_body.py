"""A body that is an image's bytes."""

from __future__ import annotations

from fastapi import Request

from ...errors import InvalidInput, UnsupportedMedia
from ...inputs.formats import BY_NAME, FORMATS
from ..context import context_of
from .body import media_type, read_bytes
from .items import Item

BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_CONTENT = dict.fromkeys((format.media_types[0] for format in FORMATS), BINARY)  # as OpenAPI shows it


async def image_body(request: Request) -> Item:
    """Raises UnsupportedMedia, InvalidInput, TooLarge."""
    served = [BY_NAME[name].media_types for name in context_of(request).settings.served_formats]
    if not any(media_type(request) in types for types in served):
        raise UnsupportedMedia(f"an image may be {', '.join(types[0] for types in served)}")
    content = await read_bytes(request)
    if not content:
        raise InvalidInput("body: empty", "body")
    return Item("image", content, "body")
