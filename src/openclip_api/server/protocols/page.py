"""The page for browsers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..web_page import page_response

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The same page: its script shows the API if the address ends in /docs."""
    return page_response(request, "index.html")


@router.get("/page/{path:path}")
async def page_file(request: Request, path: str) -> Response:
    return page_response(request, path)
