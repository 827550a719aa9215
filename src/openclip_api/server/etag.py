"""ETags: a browser keeps what it has got, and asks each time whether it is still the same."""

from __future__ import annotations

import hashlib
import os

from starlette.requests import Request


def file_etag(state: os.stat_result) -> str:
    """Another one when the file changes, also where its size and time were kept."""
    identity = f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    return f'"{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}"'


def has_it(request: Request, etag: str) -> bool:
    """Whether the client has the thing with this tag already: then the answer is 304."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known
