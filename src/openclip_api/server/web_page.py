"""The files of the page for browsers, read once, and the headers that let the page load nothing from other hosts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .etag import has_it

# Nothing from other hosts, nothing inline. Frames are allowed: Hugging Face shows a Space in one, and the page has
# no session that a frame could misuse.
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


def page_response(request: Request, path: str) -> Response:
    """A file of the page, or 304 if the browser has it already. Raises HTTPException (404) if there is no such file."""
    file = _files().get(path)
    if file is None:
        raise HTTPException(404, "the page has no such file")
    headers = {
        "ETag": file.etag,
        "Cache-Control": "no-cache",  # browsers keep it, and ask each time whether it is still the same
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
    }
    if has_it(request, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


@cache
def _files() -> dict[str, PageFile]:
    """All files by their path below page/. A request can reach no other file."""
    folder = Path(__file__).parent / "page"
    return {path.relative_to(folder).as_posix(): _read(path) for path in folder.rglob("*.*")}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    return PageFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
