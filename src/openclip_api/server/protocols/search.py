"""POST /search, and the images that it finds. All need STORE."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response, StreamingResponse

from ...errors import InvalidInput
from ...runtime.embedding import Vector
from ...search.composed import MAX_PARTS, MAX_WEIGHT, composed
from ...search.search_options import MAX_RESULTS
from ..context import context_of
from ..etag import file_etag, has_it
from ..shared.answer import embedding_headers, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import Item, image_item, text_item
from ..shared.origin import own_origin
from ..store import LazyStore, PageWanted

LIKE = ("text", "image", "vector", "id")


class Like(Body):
    """One of text, image, vector and id."""

    text: str | None = Field(None, description="what to look for", examples=["red sofa"])
    image: str | None = Field(None, description="find what is similar to this image: base64 or a data URI")
    vector: Annotated[list[float], Field(fail_fast=True)] | None = Field(
        None, description="a vector of the store's model, of any length but 0"
    )
    id: str | None = Field(None, description="find what is similar to this row of the store")


class Part(Like):
    weight: float = Field(
        1, ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False, description="below 0 for what you do not want; not 0"
    )


class SearchRequest(Like):
    """One of text, image, vector, id and parts."""

    parts: Annotated[list[Part], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)] | None = Field(
        None, description='several at once: [{"text": "beach"}, {"text": "people", "weight": -1}]'
    )
    k: int = Field(10, ge=1, le=MAX_RESULTS, description="how many results")
    offset: int = Field(
        0, ge=0, le=MAX_RESULTS, description=f"how many of the first results to skip; with k at most {MAX_RESULTS}"
    )
    min_score: float | None = Field(
        None, ge=-1, le=1, allow_inf_nan=False, description="the lowest cosine that a result may have"
    )
    filter: dict[str, Any] = Field(
        {}, description='{"price": {"lt": 10}, "brand": ["a", "b"]}: all must hold; eq, ne, lt, le, gt, ge'
    )
    under: str | None = Field(None, description="only what is below this folder of a root", examples=["2021/beach"])
    fold: bool = Field(False, description="one result for equal and nearly equal images, with the number of copies")
    model: str | None = None


class IdConvertor(Convertor[str]):
    """An id in a path. Unlike Starlette's own `path` it may hold line ends, as a file's name may."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("item_id", IdConvertor())

# What these routes show is the owner's: a page of another site may not read it.
router = APIRouter(tags=["search"], dependencies=[Depends(own_origin)])


@router.get("/search", summary="What there is to search: model, rows, columns")
async def store_facts(request: Request) -> Response:
    return json_response(await run_in_threadpool(context_of(request).store.facts))


@router.post("/search", summary="The nearest rows of the store", openapi_extra=schema_of(SearchRequest))
async def search(request: Request) -> Response:
    asked = await request_body(request, SearchRequest)
    if asked.offset + asked.k > MAX_RESULTS:
        raise InvalidInput(f"offset: at most {MAX_RESULTS} together with k", "offset")
    wanted = PageWanted(asked.k, asked.offset, asked.min_score, asked.filter, asked.under, asked.fold)
    query, headers = await _query(request, asked)
    store = context_of(request).store
    answer = await to_thread.run_sync(store.search, query, wanted, limiter=store.search_limit)
    return json_response(answer, headers=headers)


async def _query(request: Request, asked: SearchRequest) -> tuple[Vector, dict[str, str]]:
    """[E], and the answer's headers. What has to be embedded is embedded together."""
    store = context_of(request).store
    parts = list(_parts(asked))
    items = [item for item in (_item(part, name) for name, part in parts) if item is not None]
    embedded = await embed(request, items, asked.model) if items else None
    if embedded is not None:
        await run_in_threadpool(store.check, embedded.info.fingerprint)
    rows = iter(embedded.vectors if embedded is not None else ())
    vectors = [
        next(rows) if part.text is not None or part.image is not None else await _known(store, part, name)
        for name, part in parts
    ]
    headers = embedding_headers(embedded) if embedded is not None else {}
    return composed(vectors, [part.weight for _, part in parts]), headers


def _parts(asked: SearchRequest) -> Iterator[tuple[str, Part]]:
    """Each with what an error puts before the names of its fields. Raises InvalidInput."""
    given = [name for name in (*LIKE, "parts") if getattr(asked, name) is not None]
    if len(given) != 1:
        raise InvalidInput("give one of 'text', 'image', 'vector', 'id' and 'parts'", "body")
    if asked.parts is None:
        yield "", Part(text=asked.text, image=asked.image, vector=asked.vector, id=asked.id, weight=1.0)
        return
    for index, part in enumerate(asked.parts):
        name = f"parts[{index}]"
        if sum(getattr(part, field) is not None for field in LIKE) != 1:
            raise InvalidInput(f"{name}: give one of 'text', 'image', 'vector' and 'id'", name)
        if part.weight == 0:
            raise InvalidInput(f"{name}.weight: not 0", f"{name}.weight")
        yield f"{name}.", part


def _item(part: Part, name: str) -> Item | None:
    """What has to be embedded. Raises InvalidInput, TooLarge."""
    if part.image is not None:
        return image_item(part.image, f"{name}image")
    if part.text is None:
        return None
    if not part.text.strip():
        raise InvalidInput(f"{name}text: empty", f"{name}text")
    return text_item(part.text, f"{name}text")


async def _known(store: LazyStore, part: Part, name: str) -> Vector:
    """[E], of a vector or an id. Raises InvalidInput."""
    if part.id is not None:
        return await run_in_threadpool(store.vector_of, part.id, f"{name}id")
    return await run_in_threadpool(store.unit, np.array(part.vector, np.float64), f"{name}vector")


@router.get(
    "/items/{id:item_id}/thumbnail",
    summary="A small JPEG of an image in the store",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def item_thumbnail(request: Request, id: str) -> Response:
    context = context_of(request)
    store, most = context.store, context.settings.max_image_megapixels
    is_known = partial(has_it, request)
    etag, picture = await to_thread.run_sync(store.thumbnail, id, most, is_known, limiter=store.thumbnail_limit)
    headers = _image_headers(request, etag)
    return Response(picture, media_type="image/jpeg", headers=headers) if picture else Response(None, 304, headers)


@router.get(
    "/items/{id:item_id}/file",
    summary="An image in the store, as its file is",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}},
)
async def item_file(request: Request, id: str) -> Response:
    """Only a regular file that is an image, and lies below its root without a link that leads out of it."""
    listed, name = await run_in_threadpool(context_of(request).store.file, id)
    from ...search.listed_files import chunks  # it needs pyarrow, which a server without a store may lack

    headers = {
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    } | _image_headers(request, etag := file_etag(listed.state))
    if has_it(request, etag):
        listed.file.close()
        return Response(None, 304, headers)
    return StreamingResponse(chunks(listed), 200, headers, listed.media_type)


def _image_headers(request: Request, etag: str) -> dict[str, str]:
    headers = {"Cache-Control": "private, no-cache", "ETag": etag}
    if not context_of(request).settings.named_origins:
        headers["Cross-Origin-Resource-Policy"] = "same-origin"  # browsers too old to say which site asks know this
    return headers
