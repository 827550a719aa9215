"""POST /search, and thumbnails of what it finds. Both need STORE."""

from __future__ import annotations

import os
from typing import Annotated, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from numpy.typing import NDArray
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...errors import InvalidInput
from ..context import context_of
from ..shared.answer import embedding_headers, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import image_item, text_item
from ..shared.origin import own_origin

MAX_K = 1000

# A thumbnail may decode the largest image: no more at a time than there are cores.
THUMBNAILS = CapacityLimiter(os.cpu_count() or 1)


class SearchRequest(Body):
    """One of text, image and vector."""

    text: str | None = Field(None, description="what to look for", examples=["red sofa"])
    image: str | None = Field(None, description="look for what is like it: base64 or a data URI")
    vector: Annotated[list[float], Field(fail_fast=True)] | None = Field(
        None, description="a vector of the store's model, of any length but 0"
    )
    k: int = Field(10, ge=1, le=MAX_K, description="how many results")
    filter: dict[str, Any] = Field(
        {}, description='{"price": {"lt": 10}, "brand": ["a", "b"]}: all must hold; eq, ne, lt, le, gt, ge'
    )
    model: str | None = None


# What these routes show is the owner's: a page of another site may not read it.
router = APIRouter(tags=["search"], dependencies=[Depends(own_origin)])


@router.post("/search", summary="The nearest rows of the store", openapi_extra=schema_of(SearchRequest))
async def search(request: Request) -> Response:
    asked = await request_body(request, SearchRequest)
    query, fingerprint, headers = await _query(request, asked)
    store = context_of(request).store
    results = await run_in_threadpool(store.search, query, asked.k, asked.filter, fingerprint)
    return json_response({"results": results}, headers=headers)


async def _query(request: Request, asked: SearchRequest) -> tuple[NDArray[np.floating], str | None, dict[str, str]]:
    """The vector to look for, its model's fingerprint if that is known, and the answer's headers."""
    given = [name for name in ("text", "image", "vector") if getattr(asked, name) is not None]
    if len(given) != 1:
        raise InvalidInput("give one of 'text', 'image' and 'vector'", "body")
    if asked.vector is not None:
        return np.array(asked.vector, np.float64), None, {}
    item = image_item(asked.image, "image") if asked.image is not None else text_item(asked.text or "", "text")
    embedded = await embed(request, [item], asked.model)
    return embedded.vectors[0], embedded.info.fingerprint, embedding_headers(embedded)


@router.get(
    "/items/{id:path}/thumbnail",
    summary="A small JPEG of an image in the store",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def item_thumbnail(request: Request, id: str) -> Response:
    context = context_of(request)
    picture = await to_thread.run_sync(
        context.store.thumbnail, id, context.settings.max_image_megapixels, limiter=THUMBNAILS
    )
    headers = {"Cache-Control": "private, max-age=3600"}
    if not context.settings.named_origins:
        headers["Cross-Origin-Resource-Policy"] = "same-origin"  # browsers too old to say which site asks know this
    return Response(picture, media_type="image/jpeg", headers=headers)
