"""/, /health, /ready, /info: what runs here and whether it can answer."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...inputs.images import FORMATS, MAX_ASPECT_RATIO
from ..shared.answer import json_response
from ..shared.image_urls import MAX_IMAGE_URLS
from ..shared.items import MAX_TEXT_CHARACTERS
from ..web_page import page_response

router = APIRouter(tags=["status"])


@router.get("/", summary="A page for a browser, JSON for a program")
async def root(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return page_response(request, "index.html")
    links = {"docs": "/docs", "health": "/health", "ready": "/ready", "info": "/info", "embeddings": "/embeddings"}
    content = {"name": "OpenCLIP API", "version": request.app.version, **_status(request), "links": links}
    return json_response(content, headers={"Vary": "Accept"})


@router.get(
    "/health",
    summary="200 while the process is alive, 503 once its engine hangs",
    responses={503: {"description": "restart it"}},
)
async def health(request: Request) -> Response:
    """For what restarts a server: a batch that takes twice as long as requests may wait will help nobody."""
    shelf, settings = request.app.state.shelf, request.app.state.settings
    if shelf.busy_seconds > 2 * settings.request_timeout:
        return json_response({"status": "hanging", "engine_busy_seconds": shelf.busy_seconds}, 503)
    return json_response({"status": "alive"})


@router.get("/ready", summary="200 once the model answers, 503 before", responses={503: {"description": "loading"}})
async def ready(request: Request) -> Response:
    status = _status(request)
    is_ready = status["status"] == "ready"
    return json_response(status, 200 if is_ready else 503, None if is_ready else {"Retry-After": "2"})


@router.get("/info", summary="The model (the first, or the one named) and the limits")
async def info(request: Request, model: str | None = None) -> Response:
    settings, shelf = request.app.state.settings, request.app.state.shelf
    async with shelf.use(model, settings.request_timeout) as embedder:
        facts = dataclasses.asdict(embedder.info)
    limits = {
        "max_body_mb": settings.max_body_mb,
        "max_items": settings.max_items,
        "max_queue": settings.max_queue,
        "max_queue_mb": settings.max_queue_mb,
        "max_batch": settings.max_batch,
        "max_image_megapixels": settings.max_image_megapixels,
        "max_aspect_ratio": MAX_ASPECT_RATIO,
        "max_text_characters": MAX_TEXT_CHARACTERS,
        "image_formats": FORMATS,
        "image_urls": settings.allow_image_urls,
        "max_image_urls": MAX_IMAGE_URLS if settings.allow_image_urls else 0,
        "request_timeout": settings.request_timeout,
    }
    content = {**facts, "models": shelf.names(), "store": settings.store is not None, "limits": limits}
    return json_response(content)


def _status(request: Request) -> dict[str, Any]:
    status: dict[str, Any] = request.app.state.shelf.status()
    return status
