"""The page for a browser: its files, as they were when the server started, with the headers that keep it to itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

# Nothing from anywhere else, nothing inline. Frames are allowed: Hugging Face shows a Space in one, and the page
# has no session that a frame could misuse.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFile:
    content: bytes
    media_type: str
    etag: str


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The same page: its script shows the API where the address ends in /docs."""
    return page_response(request, "index.html")


@router.get("/page/{path:path}")
async def page_file(request: Request, path: str) -> Response:
    return page_response(request, path)


def page_response(request: Request, path: str) -> Response:
    """One of the page's files, or 304 where the browser has it already. Raises HTTPException: there is none."""
    file = _files().get(path)
    if file is None:
        raise HTTPException(404, "the page has no such file")
    headers = {
        "ETag": file.etag,
        "Cache-Control": "no-cache",  # kept, but asked for after an upgrade
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


@cache
def _files() -> dict[str, PageFile]:
    """By their path below page/. A request can name no other file."""
    folder = Path(__file__).parent / "page"
    return {path.relative_to(folder).as_posix(): _read(path) for path in folder.rglob("*.*")}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    return PageFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
