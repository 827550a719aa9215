"""POST /search and the thumbnails of what it finds, where STORE names a store."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...errors import InvalidInput, InvalidStore, ModelMismatch, NotFound, RequestError, StoreUnavailable
from ..shared.answer import embedding_headers, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import image_item, text_item

if TYPE_CHECKING:
    from ...search.store import Store

log = logging.getLogger("openclip_api")
MAX_K = 1000


class SearchRequest(Body):
    """One of text, image and vector."""

    text: str | None = Field(None, description="what to look for", examples=["red sofa"])
    image: str | None = Field(None, description="look for what is like it: base64 or a data URI")
    vector: list[float] | None = Field(None, description="a vector of the store's model, of any length but 0")
    k: int = Field(10, ge=1, le=MAX_K, description="how many results")
    filter: dict[str, Any] = Field(
        {}, description='{"price": {"lt": 10}, "brand": ["a", "b"]}: all must hold; eq, ne, lt, le, gt, ge'
    )
    model: str | None = None


router = APIRouter(tags=["search"])


@router.post("/search", summary="The nearest rows of the store", openapi_extra=schema_of(SearchRequest))
async def search(request: Request) -> Response:
    store: LazyStore = request.app.state.store
    asked = await request_body(request, SearchRequest)
    given = [name for name in ("text", "image", "vector") if getattr(asked, name) is not None]
    if len(given) != 1:
        raise InvalidInput("give one of 'text', 'image' and 'vector'", "body")
    if asked.vector is not None:
        query, fingerprint, headers = np.array(asked.vector, np.float64), None, {}
    else:
        item = image_item(asked.image, "image") if asked.image is not None else text_item(asked.text or "", "text")
        embedded = await embed(request, [item], asked.model)
        query, fingerprint, headers = embedded.vectors[0], embedded.info.fingerprint, embedding_headers(embedded)
    results = await run_in_threadpool(store.search, query, asked.k, asked.filter, fingerprint)
    return json_response({"results": results}, headers=headers)


@router.get(
    "/items/{id:path}/thumbnail",
    summary="A small JPEG of an image in the store",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def item_thumbnail(request: Request, id: str) -> Response:
    settings = request.app.state.settings
    picture = await run_in_threadpool(request.app.state.store.thumbnail, id, settings.max_image_megapixels)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


class LazyStore:
    """STORE, opened when first asked for: the server embeds whether or not it is there. For several threads.

    Raises NotFound without a STORE, StoreUnavailable where it cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: Store | None = None

    def search(
        self, query: NDArray[Any], k: int, filter: dict[str, Any], fingerprint: str | None
    ) -> list[dict[str, Any]]:
        """Raises InvalidInput (vector, filter), ModelMismatch."""
        store = self._store()
        from ...search.filters import filter_expression

        if fingerprint not in (None, store.fingerprint):
            raise ModelMismatch(f"the store holds vectors of {store.model_id} with fingerprint {store.fingerprint}")
        if query.shape != (store.embed_dim,):
            raise InvalidInput(f"vector: the store's have {store.embed_dim} numbers", "vector")
        if not np.isfinite(query).all() or not query.any():
            raise InvalidInput("vector: all numbers must be finite, and one not 0", "vector")
        unit = (query / np.abs(query).max()).astype(np.float32)  # within float32, whatever its length
        rows = self._asked(lambda: store.search(unit, k, filter_expression(filter, store.schema)))
        return [{name: value for name, value in row.items() if name != "path"} for row in rows]

    def thumbnail(self, id: str, max_megapixels: float) -> bytes:
        """Raises NotFound for an id that is not there, or has no image file that can be read."""
        store = self._store()
        from ...search.thumbnails import file_thumbnail

        path = self._asked(lambda: store.path_of(id))
        try:
            if path is not None:
                return file_thumbnail(path, max_megapixels)
        except Exception as error:  # gone, no image, or damaged: a decoder may fail with any error
            log.debug("no thumbnail: %s", type(error).__name__)
        raise NotFound("no such item, or its image is not there any more")

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except RequestError:
            raise
        except Exception as error:
            with self._lock:
                self._open = None
            log.warning("the store %s cannot be read: %s", self._path, type(error).__name__)
            raise StoreUnavailable("the store cannot be read") from error

    def _store(self) -> Store:
        if self._path is None:
            raise NotFound("nothing to search here: the server was started without STORE")
        from ...search.store import Store

        with self._lock:
            if self._open is None:
                try:
                    self._open = Store(self._path)
                except InvalidStore as error:
                    log.warning("%s", error)
                    raise StoreUnavailable("the store is not there, or cannot be read") from error
            return self._open
