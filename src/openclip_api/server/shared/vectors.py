"""The forms in which a protocol may send vectors: fewer dimensions, fused, other number types, base64, plain bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
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
    """[N, E] → [N, dimensions]; None and 0 keep all. Raises InvalidInput."""
    if not dimensions:
        return vectors
    if not 1 <= dimensions <= vectors.shape[1]:
        raise InvalidInput(f"{param}: between 1 and {vectors.shape[1]}, the length of the model's vectors", param)
    return vectors[:, :dimensions]


def fused(vectors: Rows, counts: Sequence[int]) -> Rows:
    """One vector for each input of several parts: the mean of the parts' unit vectors, scaled to length 1.

    counts [M]: how many of the N vectors belong to each input. [N, E] → [M, E].
    """
    ends = np.cumsum(counts)
    unit = unit_length(vectors)
    means = [unit[end - count : end].mean(axis=0) for end, count in zip(ends, counts, strict=True)]
    return unit_length(np.stack(means))


def as_type(vectors: Rows, type: VectorType) -> NDArray[Any]:
    """The number types of Cohere, Jina, Voyage and vLLM.

    int8: each vector is scaled so that its largest component is 127 or -127: cosines stay the same, lengths do not.
    uint8: int8 plus 128. ubinary: one bit for each dimension, 1 if it is over 0; eight bits to a byte, the first is
    the highest. binary: ubinary minus 128.
    """
    if type == "float":
        return vectors
    if type in ("binary", "ubinary"):
        packed: NDArray[np.uint8] = np.packbits(vectors > 0, axis=-1)
        return packed if type == "ubinary" else (packed.astype(np.int16) - 128).astype(np.int8)
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    levels = np.rint(127 * (vectors / np.maximum(largest, np.finfo(np.float32).tiny))).astype(np.int16)
    return np.asarray(levels, np.int8) if type == "int8" else np.asarray(levels + 128, np.uint8)


def indexed(rows: Iterable[object]) -> list[dict[str, object]]:
    """A list of embeddings as OpenAI writes it, and others after it."""
    return [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]


def as_base64(rows: NDArray[Any]) -> list[str]:
    """The little-endian bytes of each row, as base64."""
    return [base64.b64encode(row.tobytes()).decode() for row in _little_endian(rows)]


def wants_octets(request: Request) -> bool:
    """Whether the `Accept` header asks for plain bytes."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return OCTETS in (media_type.partition(";")[0].strip() for media_type in accepted)


def octets_response(vectors: Rows, embedded: Embedded) -> Response:
    """All rows as little-endian float32, one after the other. A header has the shape."""
    headers = {"X-Shape": ",".join(map(str, vectors.shape)), "X-Dtype": "float32", **embedding_headers(embedded)}
    return Response(_little_endian(vectors).tobytes(), 200, headers, media_type=OCTETS)


def _little_endian(rows: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
