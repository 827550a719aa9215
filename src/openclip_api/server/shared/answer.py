"""Answers: JSON that may hold NumPy rows, errors in each protocol's envelope, the headers of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Scope

from ...errors import (
    BodyTimeout,
    DeadlineExceeded,
    ImageUnreachable,
    InvalidImage,
    InvalidInput,
    InvalidRequest,
    ModelMismatch,
    ModelNotFound,
    NotFound,
    NotReady,
    Overloaded,
    QueueFull,
    RequestError,
    StoreUnavailable,
    TooLarge,
    UnsupportedMedia,
)
from ..context import envelope_of, state_of
from ..envelope import Envelope, Problem
from .embed import Embedded

# The one table from errors to HTTP: the status, and the `type` that a program can compare with.
STATUSES: dict[type[RequestError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid_request"),
    NotFound: (404, "not_found"),
    ModelNotFound: (404, "model_not_found"),
    ModelMismatch: (412, "model_mismatch"),
    BodyTimeout: (408, "request_timeout"),
    InvalidInput: (422, "invalid_input"),
    InvalidImage: (422, "invalid_image"),
    TooLarge: (413, "too_large"),
    UnsupportedMedia: (415, "unsupported_media_type"),
    QueueFull: (429, "queue_full"),
    ImageUnreachable: (502, "image_unreachable"),
    StoreUnavailable: (503, "store_unavailable"),
    Overloaded: (503, "overloaded"),
    NotReady: (503, "not_ready"),
    DeadlineExceeded: (504, "deadline_exceeded"),
}
RETRY_AFTER = {429: "1", 503: "2"}  # seconds
NOT_READY_HEADERS = {"Retry-After": RETRY_AFTER[503]}


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, media_type="application/json")


def error_response(scope: Scope, status: int, kind: str, message: str, param: str | None = None) -> Response:
    """In the envelope of the protocol that the request speaks."""
    envelope = envelope_of(scope)
    state_of(scope).error = kind
    if status == 422:
        status = envelope.invalid
    headers = {}
    if status in RETRY_AFTER:
        headers["Retry-After"] = RETRY_AFTER[status]
    return json_response(envelope.body(Problem(status, kind, message, param)), status, headers)


def error_schemas(envelope: Envelope) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI shows of a protocol's errors."""
    example = envelope.body(Problem(envelope.invalid, "invalid_input", "image[1]: not valid base64", "image[1]"))
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {
        "4XX": {"description": "the request is wrong, or too much is waiting", "content": content},
        "5XX": {"description": "the model is not ready, or no answer came in time", "content": content},
    }


def request_error_response(scope: Scope, error: RequestError) -> Response:
    status, kind = STATUSES[type(error)]
    return error_response(scope, status, kind, error.message, error.param)


def embeddings_response(content: object, embedded: Embedded) -> Response:
    return json_response(content, headers=embedding_headers(embedded))


def embedding_headers(embedded: Embedded) -> dict[str, str]:
    timing = ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in embedded.stages.items())
    headers = {"X-Model-Fingerprint": embedded.info.fingerprint, "Server-Timing": timing}
    if any(embedded.truncated):
        headers["X-Truncated-Texts"] = str(sum(embedded.truncated))
    return headers
