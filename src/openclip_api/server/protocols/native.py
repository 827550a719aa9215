"""POST /embeddings as the original OpenCLIP-API has it: texts and images come in, vectors go out.

The route also takes plain image bytes. A body with `input` or `messages` is OpenAI's and goes to openai.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from ..shared.answer import embeddings_response
from ..shared.body import Body, media_type, read_json, schema_of, validated
from ..shared.embed import Embedded, embed
from ..shared.fields import StringOrList
from ..shared.image_body import IMAGE_CONTENT, image_body
from ..shared.items import Item, image_items, text_items
from ..shared.vectors import OCTETS, octets_response, wants_octets
from . import openai


class EmbeddingsRequest(Body):
    """One or more texts, one or more images, or both."""

    text: StringOrList | None = Field(None, description="a text, or a list of texts", examples=["red sofa"])
    image: StringOrList | None = Field(
        None, description="an image as base64 or data URI (JPEG, PNG, WebP, GIF, BMP), or a list of them"
    )
    normalize: bool = Field(False, description="scale each vector to length 1")
    truncate: bool = Field(True, description="false: refuse a text that the model would read only the start of")
    model: str | None = Field(None, description="which of the server's models; the first where none is named")
    language: str | None = Field(
        None, description="of the texts, such as de or deu_Latn, for a model that wants to know it (NLLB)"
    )


class EmbeddingsResponse(BaseModel):
    """A vector for each text, then one for each image, in the order asked."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    device: str
    embeddings: list[list[float]]
    duration: float = Field(description="seconds the server spent on this request")


router = APIRouter(tags=["embeddings"])
BINARY = {"schema": {"type": "string", "format": "binary"}}
DOCS: dict[str, Any] = {
    "openapi_extra": schema_of(EmbeddingsRequest, openai.EmbeddingsRequest, **IMAGE_CONTENT),
    "responses": {200: {"model": EmbeddingsResponse | openai.EmbeddingsResponse, "content": {OCTETS: BINARY}}},
}


@router.post("/clip-embed", summary="The same, by the original's later name", **DOCS)
@router.post("/embeddings", summary="Embed texts and images", **DOCS)
async def embeddings(request: Request) -> Response:
    started = time.perf_counter()
    if media_type(request).startswith("image/"):
        return _answer(request, *await _raw_image(request), started)
    content = await read_json(request)
    if isinstance(content, dict) and ("input" in content or "messages" in content):
        return await openai.answer(request, content)
    asked = validated(content, EmbeddingsRequest)
    embedded = await embed(request, _items(asked), asked.model, truncate=asked.truncate, language=asked.language)
    return _answer(request, embedded, asked.normalize, started)


def _answer(request: Request, embedded: Embedded, normalize: bool, started: float) -> Response:
    vectors = unit_length(embedded.vectors) if normalize else embedded.vectors
    if wants_octets(request):
        return octets_response(vectors, embedded)
    answer = {
        "model": embedded.info.model_id,
        "device": embedded.info.device,
        "embeddings": vectors,
        "duration": time.perf_counter() - started,
    }
    return embeddings_response(answer, embedded)


async def _raw_image(request: Request) -> tuple[Embedded, bool]:
    """The body is the image, and the URL may have `model` and `normalize`. Raises UnsupportedMedia, InvalidInput."""
    normalize = request.query_params.get("normalize", "false")
    if normalize not in ("true", "false"):
        raise InvalidInput("normalize: expected true or false", "normalize")
    embedded = await embed(request, [await image_body(request)], request.query_params.get("model"))
    return embedded, normalize == "true"


def _items(asked: EmbeddingsRequest) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    if asked.text is None and asked.image is None:
        raise InvalidInput("give 'text', 'image' or both")
    return chain(text_items("text", asked.text or []), image_items("image", asked.image or []))
