"""A body of multipart/form-data: fields as strings, files as bytes, in the order sent. RFC 7578."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypeAlias

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ...errors import InvalidInput, InvalidRequest, RequestError, UnsupportedMedia
from .body import check_encoding, media_type

Form: TypeAlias = list[tuple[str, str | bytes]]  # fields are strings, files bytes

MULTIPART = "multipart/form-data"
BOUNDARY = re.compile(r'boundary=(?:"([^"\\]{1,200})"|([^";,\s]{1,200}))', re.IGNORECASE)


class _Parser(MultiPartParser):
    """Knows whether the last boundary came: Starlette's takes a form that was cut for a shorter one."""

    has_ended = False

    def on_end(self) -> None:
        self.has_ended = True


async def read_form(
    request: Request,
    known: Collection[str],
    *,
    max_files: int,
    max_fields: int,
    too_many: type[RequestError] = InvalidRequest,
) -> Form:
    """known: names of fields that an error may repeat. too_many: what is raised for more files or fields.

    A file field that was left empty is left out, as browsers send it all the same.
    Raises UnsupportedMedia, InvalidRequest, InvalidInput, TooLarge.
    """
    if media_type(request) != MULTIPART:
        raise UnsupportedMedia(f"send a form (Content-Type: {MULTIPART})")
    check_encoding(request)
    boundary = BOUNDARY.search(request.headers["content-type"])
    if boundary is None:
        raise InvalidRequest("the body is not a form: Content-Type has no boundary", "body")
    # Starlette would take the codec that the client names. Latin-1 gives each byte back, to be read as UTF-8.
    content_type = f'{MULTIPART}; charset=latin-1; boundary="{boundary[1] or boundary[2]}"'
    parser = _Parser(
        Headers({"content-type": content_type}), request.stream(), max_files=max_files, max_fields=max_fields
    )
    parser.spool_max_size = 0  # in memory, where the body's limit bounds it, and never on a disk
    try:
        form = await parser.parse()
        if not parser.has_ended:
            await form.close()
            raise InvalidRequest("the body is not a form: it ends before its last boundary", "body")
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise too_many(f"the form has more than {max_files} files or {max_fields} fields", "body") from error
        raise InvalidRequest(f"the body is not a form: {error.message}", "body") from error
    try:
        parts = [
            (name, await _content(name, value, known)) for name, value in form.multi_items() if not _is_left(value)
        ]
    finally:
        await form.close()
    return parts


def utf_8(content: bytes, param: str) -> str:
    """Raises InvalidInput."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{param}: not valid UTF-8", param) from error


def _is_left(value: str | UploadFile) -> bool:
    return isinstance(value, UploadFile) and not value.filename and not value.size


async def _content(name: str, value: str | UploadFile, known: Collection[str]) -> str | bytes:
    """Raises InvalidInput."""
    if isinstance(value, UploadFile):
        return await value.read()
    return utf_8(value.encode("latin-1"), name if name in known else "body")
