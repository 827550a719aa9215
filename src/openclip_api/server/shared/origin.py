"""Which pages in a browser may read the owner's files through this server."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request
from starlette.exceptions import HTTPException

from ..context import context_of

HEADERS = ("sec-fetch-site", "origin", "referer")
OWN = ("same-origin", "none")  # none: the user typed the address, or opened a bookmark


async def own_origin(request: Request) -> None:
    """A route's dependency. Raises HTTPException (403) if another site's page asks and CORS_ORIGINS does not name it.

    A browser sends simple requests, and loads pictures, without asking first: so CORS headers alone keep out nobody.
    """
    origins = context_of(request).settings.named_origins
    if not may_read(origins, request.headers.get("host", ""), *map(request.headers.get, HEADERS)):
        raise HTTPException(403, "a page of another site may not read this: if it is yours, add it to CORS_ORIGINS")


def may_read(named: Collection[str], host: str, site: str | None, origin: str | None, referer: str | None) -> bool:
    """What is no browser sends none of the three headers and may. `named`: of CORS_ORIGINS, if the user has set it."""
    if "*" in named or site in OWN:
        return True
    if origin is None and referer is not None:
        origin = "/".join(referer.split("/")[:3])
    if origin in named:
        return True
    if site is not None:
        return False
    return origin is None or (bool(host) and origin.partition("://")[2].lower() == host.lower())
