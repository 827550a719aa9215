"""What Weaviate's multi2vec-clip module asks its inference container.

POST /vectorize {"texts": [".."], "images": ["<base64>"]} → {"textVectors": [[..]], "imageVectors": [[..]]}
"""

from __future__ import annotations

from itertools import chain

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ...runtime.embedding import unit_length
from ..context import context_of
from ..envelope import Envelope
from ..shared.answer import NOT_READY_HEADERS, embeddings_response, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.fields import ManyStrings
from ..shared.items import image_items, text_items


class VectorizeRequest(Body):
    texts: ManyStrings | None = Field(None, examples=[["red sofa"]])
    images: ManyStrings | None = Field(None, description="base64")


router = APIRouter(tags=["Weaviate"])
ENVELOPE = Envelope(lambda problem: {"error": problem.message})  # Weaviate reads this key, and it must be a string


@router.post("/vectorize", summary="Embed for Weaviate", openapi_extra=schema_of(VectorizeRequest))
async def vectorize(request: Request) -> Response:
    asked = await request_body(request, VectorizeRequest)
    texts, images = asked.texts or [], asked.images or []
    embedded = await embed(request, chain(text_items("texts", texts), image_items("images", images)), None)
    vectors = unit_length(embedded.vectors)
    answer = {"textVectors": list(vectors[: len(texts)]), "imageVectors": list(vectors[len(texts) :])}
    return embeddings_response(answer, embedded)


@router.get("/meta", summary="The first model, as Weaviate shows it")
async def meta(request: Request) -> Response:
    context = context_of(request)
    async with context.model_pool.use(None, context.settings.request_timeout) as embedder:
        info = embedder.info
    answer = {
        "model_name": info.name,
        "pretrained": info.tag,
        "model_config": {
            "embed_dim": info.embed_dim,
            "image_size": info.image_size,
            "context_length": info.context_length,
        },
        "fingerprint": info.fingerprint,
    }
    return json_response(answer)


@router.get("/.well-known/live", status_code=204, summary="204 while the process is alive")
async def live() -> Response:
    return Response(status_code=204)


@router.get("/.well-known/ready", status_code=204, summary="204 once the model answers, 503 before")
async def ready(request: Request) -> Response:
    is_ready = context_of(request).model_pool.is_ready
    return Response(status_code=204) if is_ready else Response(status_code=503, headers=NOT_READY_HEADERS)
