"""Answers: JSON with NumPy rows as they are, errors in one shape, the headers that embeddings carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from ..embedder import ModelInfo
from ..errors import (
    DeadlineExceeded,
    InvalidImage,
    InvalidInput,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    QueueFull,
    RequestError,
    TooLarge,
    UnsupportedMedia,
)

# The one table from errors to HTTP: status, and the `type` that a client can switch on.
STATUSES: dict[type[RequestError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid_request"),
    ModelNotFound: (404, "model_not_found"),
    InvalidInput: (422, "invalid_input"),
    InvalidImage: (422, "invalid_image"),
    TooLarge: (413, "too_large"),
    UnsupportedMedia: (415, "unsupported_media_type"),
    QueueFull: (429, "queue_full"),
    NotReady: (503, "not_ready"),
    DeadlineExceeded: (504, "deadline_exceeded"),
}
RETRY_AFTER = {429: "1", 503: "2"}  # seconds


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, media_type="application/json")


def error_response(status: int, kind: str, message: str, param: str | None = None) -> Response:
    headers = {}
    if status in RETRY_AFTER:
        headers["Retry-After"] = RETRY_AFTER[status]
    if status == 413:
        headers["Connection"] = "close"  # the rest of the body is not read
    return json_response({"error": {"type": kind, "message": message, "param": param}}, status, headers)


def request_error_response(error: RequestError) -> Response:
    status, kind = STATUSES[type(error)]
    return error_response(status, kind, error.message, error.param)


def embedding_headers(info: ModelInfo, stages: Mapping[str, float]) -> dict[str, str]:
    timing = ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages.items())
    return {"X-Model-Fingerprint": info.fingerprint, "Server-Timing": timing}
