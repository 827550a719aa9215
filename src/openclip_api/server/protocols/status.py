"""The server's own routes: what runs here, whether it can answer, and what it counts."""

from __future__ import annotations

import asyncio
import dataclasses

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from ... import __version__
from ...inputs.formats import BY_NAME
from ...inputs.images import MAX_ASPECT_RATIO
from ...runtime.embedding import ModelInfo
from ...settings import Settings
from ..context import context_of
from ..metrics import CONTENT_TYPE
from ..shared.answer import NOT_READY_HEADERS, json_response
from ..shared.bounded_json import most_values
from ..shared.image_urls import MAX_IMAGE_URLS
from ..shared.items import MAX_TEXT_CHARACTERS
from ..summed_metrics import summed_text
from ..web_page import page_response

router = APIRouter(tags=["status"])
LINKS = {"docs": "/docs", "health": "/health", "ready": "/ready", "info": "/info", "embeddings": "/embeddings"}


@router.get("/", summary="A page for a browser, JSON for a program")
async def root(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return page_response(request, "index.html")
    shown = context_of(request).model_pool.readiness().shown
    content = {"name": "OpenCLIP API", "version": request.app.version, **shown, "links": LINKS}
    return json_response(content, headers={"Vary": "Accept"})


@router.get(
    "/health",
    summary="200 while the process is alive, 503 once its engine hangs",
    responses={503: {"description": "restart it"}},
)
async def health(request: Request) -> Response:
    """For programs that restart a server: nobody waits any more for a batch that takes twice the request time-out."""
    context = context_of(request)
    busy_seconds = context.model_pool.busy_seconds
    if busy_seconds > 2 * context.settings.request_timeout:
        return json_response({"status": "hanging", "engine_busy_seconds": busy_seconds}, 503)
    return json_response({"status": "alive"})


@router.get("/ready", summary="200 once the model answers, 503 before", responses={503: {"description": "loading"}})
async def ready(request: Request) -> Response:
    is_ready, shown = context_of(request).model_pool.readiness()
    return json_response(shown) if is_ready else json_response(shown, 503, NOT_READY_HEADERS)


@router.get("/info", summary="The model (the first, or the one named) and the limits")
async def info(request: Request, model: str | None = None) -> Response:
    context = context_of(request)
    async with context.model_pool.use(model, context.settings.request_timeout) as embedder:
        facts = dataclasses.asdict(embedder.info) | _of_tei(embedder.info, context.settings)
    has_store = context.settings.store is not None
    limits = _limits(context.settings)
    return json_response(
        {
            **facts,
            "workers": context.worker.workers if context.worker else 1,
            "cores": context.settings.cores,
            "models": context.model_pool.names(),
            "store": has_store,
            "limits": limits,
        }
    )


@router.get("/metrics", summary="What the server counts, for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    context = context_of(request)
    if context.worker is None:
        return Response(context.metrics.text(), media_type=CONTENT_TYPE)
    figures = [context.metrics.figures(), *await context.worker.figures_of_others()]
    text = await asyncio.to_thread(summed_text, figures, context.worker.workers)
    return Response(text, media_type=CONTENT_TYPE)


def _of_tei(info: ModelInfo, settings: Settings) -> dict[str, object]:
    """What text-embeddings-inference tells at the same path."""
    return {
        "model_dtype": {"fp32": "float32", "bf16": "bfloat16"}.get(info.precision, info.precision),
        "model_type": {"embedding": {"pooling": "cls"}},
        "max_input_length": info.context_length,
        "max_client_batch_size": settings.max_texts,
        "max_concurrent_requests": settings.max_queue,
        "auto_truncate": True,
        "version": __version__,
    }


def _limits(settings: Settings) -> dict[str, object]:
    formats = [BY_NAME[name] for name in settings.served_formats]
    types = [kind for format in formats for kind in format.media_types]
    suffixes = [suffix for format in formats for suffix in format.suffixes]
    return {
        "max_body_mb": settings.max_body_mb,
        "max_texts": settings.max_texts,
        "max_prompts": settings.max_prompts,
        "max_items": settings.max_items,
        "max_values": most_values(settings.most_items),
        "max_queue": settings.max_queue,
        "max_queue_mb": settings.max_queue_mb,
        "max_batch": settings.max_batch,
        "max_image_megapixels": settings.max_image_megapixels,
        "max_aspect_ratio": MAX_ASPECT_RATIO,
        "max_text_characters": MAX_TEXT_CHARACTERS,
        "image_formats": settings.served_formats,
        "image_types": types,
        "image_accept": ",".join([*types, *suffixes]),
        "image_urls": settings.allow_image_urls,
        "max_image_urls": MAX_IMAGE_URLS if settings.allow_image_urls else 0,
        "request_timeout": settings.request_timeout,
    }
