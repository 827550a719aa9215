"""POST /embeddings as the original OpenCLIP-API has it: texts and images in, vectors out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..embedder import unit_length
from ..errors import InvalidInput
from .answer import embedding_headers, json_response
from .body import request_body, schema_of
from .embed import embed
from .items import Item, image_items, text_items


def _one_or_many(value: Any) -> Any:
    if not isinstance(value, (str, list)):
        raise PydanticCustomError("string_or_list", "expected a string or a list of strings")
    return [value] if isinstance(value, str) else value


StringOrList = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class EmbeddingsRequest(BaseModel):
    """One or more texts, one or more images, or both."""

    model_config = ConfigDict(strict=True, protected_namespaces=())

    text: StringOrList | None = Field(None, description="a text, or a list of texts", examples=["red sofa"])
    image: StringOrList | None = Field(
        None, description="an image as base64 or data URI (JPEG, PNG, WebP, GIF, BMP), or a list of them"
    )
    normalize: bool = Field(False, description="scale each vector to length 1")
    truncate: bool = Field(True, description="false: refuse a text that the model would read only the start of")
    model: str | None = Field(None, description="which of the server's models; the first where none is named")


class EmbeddingsResponse(BaseModel):
    """A vector for each text, then one for each image, in the order asked."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    device: str
    embeddings: list[list[float]]
    duration: float = Field(description="seconds the server spent on this request")


router = APIRouter(tags=["embeddings"])
DOCS: dict[str, Any] = {
    "openapi_extra": schema_of(EmbeddingsRequest),
    "responses": {200: {"model": EmbeddingsResponse}},
}


@router.post("/embeddings", summary="Embed texts and images", **DOCS)
@router.post("/clip-embed", summary="The same, by the original's later name", **DOCS)
async def embeddings(request: Request) -> Any:
    started = time.perf_counter()
    asked = await request_body(request, EmbeddingsRequest)
    embedded = await embed(request, _items(asked), asked.model, truncate=asked.truncate)
    return json_response(
        {
            "model": embedded.info.model_id,
            "device": embedded.info.device,
            "embeddings": unit_length(embedded.vectors) if asked.normalize else embedded.vectors,
            "duration": time.perf_counter() - started,
        },
        headers=embedding_headers(embedded),
    )


def _items(asked: EmbeddingsRequest) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    if asked.text is None and asked.image is None:
        raise InvalidInput("give 'text', 'image' or both")
    return chain(text_items("text", asked.text or []), image_items("image", asked.image or []))
