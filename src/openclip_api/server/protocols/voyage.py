"""Voyage's POST /v1/multimodalembeddings. Voyage's route for texts alone, /v1/embeddings, is in openai.py.

    {"inputs": [{"content": [{"type": "text", "text"}, {"type": "image_base64", "image_base64"}, ..]}],
     "truncation", "output_dimension", "output_dtype", "output_encoding" | "encoding_format": "base64"}

Voyage's models read all parts of an input together. A CLIP has one tower for images and one for texts, so an
input's vector is the mean of its parts' unit vectors, at length 1.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import AliasChoices, Field
from starlette.responses import Response

from ...runtime.embedding import unit_length
from ..envelope import Envelope
from ..shared.answer import embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.content_parts import Inputs, part_counts, part_items
from ..shared.embed import Embedded, embed
from ..shared.vectors import VectorType, as_base64, as_type, first_dimensions, fused, indexed


class EmbeddingsRequest(Body):
    inputs: Inputs
    model: str | None = None
    input_type: str | None = None
    truncation: bool | None = Field(True, description="false: refuse a text that would be cut")
    output_dimension: int | None = None
    output_dtype: VectorType | None = None
    output_encoding: Literal["base64"] | None = Field(
        None, validation_alias=AliasChoices("output_encoding", "encoding_format")
    )


router = APIRouter(tags=["Voyage"])
ENVELOPE = Envelope(lambda problem: {"detail": problem.message}, invalid=400)


@router.post("/v1/multimodalembeddings", summary="Embed as Voyage does", openapi_extra=schema_of(EmbeddingsRequest))
async def embeddings(request: Request) -> Response:
    asked = await request_body(request, EmbeddingsRequest)
    items = part_items("inputs", asked.inputs)
    embedded = await embed(request, items, asked.model, truncate=asked.truncation is not False)
    vectors = fused(embedded.vectors, part_counts(asked.inputs))
    vectors = unit_length(first_dimensions(vectors, asked.output_dimension, "output_dimension"))
    rows = as_type(vectors, asked.output_dtype or "float")
    answer = {
        "object": "list",
        "data": indexed(as_base64(rows) if asked.output_encoding else rows),
        "model": embedded.info.model_id,
        "usage": _usage(embedded),
    }
    return embeddings_response(answer, embedded)


def _usage(embedded: Embedded) -> dict[str, int]:
    sizes = [embedding.image_size for embedding in embedded.embeddings if embedding.image_size is not None]
    tokens = sum(embedded.tokens)
    return {
        "text_tokens": tokens,
        "image_pixels": sum(width * height for width, height in sizes),
        "video_pixels": 0,  # there are none, but Voyage's client reads it
        "total_tokens": tokens,
    }
