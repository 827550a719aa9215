"""Cohere's POST /v2/embed.

    {"texts": [".."] | "images": ["data:image/png;base64,.."] | "inputs": [{"content": [part, ..]}],
     "embedding_types": ["float", "int8", "uint8", "binary", "ubinary", "base64"], "output_dimension", "truncate"}

`input_type` is accepted: a CLIP has one space for queries and documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from ..context import state_of
from ..envelope import Envelope
from ..shared.answer import embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.content_parts import Inputs, part_counts, part_items
from ..shared.embed import Embedded, embed
from ..shared.fields import Strings
from ..shared.items import Item, image_items, text_items
from ..shared.vectors import Rows, VectorType, as_base64, as_type, first_dimensions, fused

EmbeddingType = Literal[VectorType, "base64"]


class EmbedRequest(Body):
    texts: Strings | None = Field(None, examples=[["red sofa"]])
    images: Strings | None = Field(None, description="data URIs or base64")
    inputs: Inputs | None = Field(None, description="one vector each: the mean of their parts' unit vectors")
    model: str | None = None
    input_type: str | None = None
    embedding_types: Annotated[list[EmbeddingType], Field(min_length=1, fail_fast=True)] | None = None
    output_dimension: int | None = None
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="END cuts a text that is too long; with NONE and START it is refused"
    )


router = APIRouter(tags=["Cohere"])
ENVELOPE = Envelope(lambda problem: {"message": problem.message}, invalid=400)


@router.post("/v2/embed", summary="Embed as Cohere does", openapi_extra=schema_of(EmbedRequest))
async def embeddings(request: Request) -> Response:
    asked = await request_body(request, EmbedRequest)
    embedded = await embed(request, _items(asked), asked.model, truncate=asked.truncate in (None, "END"))
    vectors = fused(embedded.vectors, part_counts(asked.inputs)) if asked.inputs else embedded.vectors
    vectors = unit_length(first_dimensions(vectors, asked.output_dimension, "output_dimension"))
    answer = {
        "id": state_of(request).request_id,
        "embeddings": _by_type(vectors, asked),
        "texts": asked.texts or [],
        "meta": {"api_version": {"version": "2"}, "billed_units": _billed_units(embedded)},
        "response_type": "embeddings_by_type",
    }
    return embeddings_response(answer, embedded)


def _items(asked: EmbedRequest) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    if sum(field is not None for field in (asked.texts, asked.images, asked.inputs)) != 1:
        raise InvalidInput("give one of 'texts', 'images' and 'inputs'", "texts")
    yield from text_items("texts", asked.texts or [])
    yield from image_items("images", asked.images or [])
    yield from part_items("inputs", asked.inputs or [])


def _by_type(vectors: Rows, asked: EmbedRequest) -> dict[str, list[object]]:
    wanted: list[EmbeddingType] = asked.embedding_types or ["float"]
    return {
        type: list(as_base64(vectors) if type == "base64" else as_type(vectors, type))
        for type in dict.fromkeys(wanted)  # each once, however often it is asked for
    }


def _billed_units(embedded: Embedded) -> dict[str, int]:
    images = sum(embedding.image_size is not None for embedding in embedded.embeddings)
    return {"input_tokens": sum(embedded.tokens), "images": images}
