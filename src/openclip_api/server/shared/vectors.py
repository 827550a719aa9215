"""How vectors travel: cut short, fused, as numbers of several sizes, base64 or plain bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from .answer import embedding_headers
from .embed import Embedded

Rows: TypeAlias = NDArray[np.float32]  # [N, E]
VectorType = Literal["float", "int8", "uint8", "binary", "ubinary"]
OCTETS = "application/octet-stream"


def first_dimensions(vectors: Rows, dimensions: int | None, param: str) -> Rows:
    """[N, E] → [N, dimensions]; None and 0 leave them whole. Raises InvalidInput."""
    if not dimensions:
        return vectors
    if not 1 <= dimensions <= vectors.shape[1]:
        raise InvalidInput(f"{param}: between 1 and {vectors.shape[1]}, which is what the model has", param)
    return vectors[:, :dimensions]


def fused(vectors: Rows, counts: Sequence[int]) -> Rows:
    """One vector for each input of several parts: the mean of their unit vectors, at length 1.

    counts [M]: how many of the N vectors belong to each input. [N, E] → [M, E].
    """
    ends = np.cumsum(counts)
    unit = unit_length(vectors)
    means = [unit[end - count : end].mean(axis=0) for end, count in zip(ends, counts, strict=True)]
    return unit_length(np.stack(means))


def as_type(vectors: Rows, type: VectorType) -> NDArray[Any]:
    """The types of Cohere, Jina, Voyage and vLLM.

    int8: each vector times what makes its largest component 127, so cosines stay and lengths do not; uint8: 128 more.
    ubinary: a bit for each dimension, 1 where it is over 0, eight to a byte, the first highest; binary: 128 less.
    """
    if type == "float":
        return vectors
    if type in ("binary", "ubinary"):
        packed: NDArray[np.uint8] = np.packbits(vectors > 0, axis=-1)
        return packed if type == "ubinary" else (packed.astype(np.int16) - 128).astype(np.int8)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    levels = np.rint(127 * (vectors / np.maximum(largest, np.finfo(np.float32).tiny))).astype(np.int16)
    return np.asarray(levels, np.int8) if type == "int8" else np.asarray(levels + 128, np.uint8)


def as_base64(rows: NDArray[Any]) -> list[str]:
    """The little-endian bytes of each row."""
    return [base64.b64encode(row.tobytes()).decode() for row in _little_endian(rows)]


def wants_octets(request: Request) -> bool:
    """Whether `Accept` asks for the vectors' bytes."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return OCTETS in (media_type.partition(";")[0].strip() for media_type in accepted)


def octets_response(vectors: Rows, embedded: Embedded) -> Response:
    """All rows' float32, little-endian, one row after the other; the shape is in a header."""
    headers = {"X-Shape": ",".join(map(str, vectors.shape)), "X-Dtype": "float32", **embedding_headers(embedded)}
    return Response(_little_endian(vectors).tobytes(), 200, headers, media_type=OCTETS)


def _little_endian(rows: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
