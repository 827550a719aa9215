"""Tensors as the Open Inference Protocol sends them: in JSON, or as bytes behind it (Triton's binary extension).

Source: kserve/open-inference-protocol, inference_rest.md; triton-inference-server/server, extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...errors import InvalidInput
from .body import Body

LENGTH_BYTES = 4  # before each element, little-endian
LARGEST = 2**31


class TensorParameters(Body):
    binary_data_size: int | None = Field(None, ge=0)
    binary_data: bool | None = None
    classification: int | None = Field(None, description="of an output: refused")
    shared_memory_region: str | None = Field(None, description="refused")


class InputTensor(Body):
    name: str
    datatype: Literal["BYTES"]
    shape: Annotated[list[int], Field(min_length=1, max_length=2, fail_fast=True)] = Field(examples=[[1]])
    data: list[Any] | None = Field(None, description="strings; without it the bytes follow the JSON")
    parameters: TensorParameters | None = None


def elements(tensor: InputTensor, param: str, after: memoryview, start: int) -> tuple[Iterator[str | bytes], int]:
    """Its elements: strings from JSON, bytes from what comes after it; and where the next tensor's bytes start.

    after: the bytes behind the JSON. Raises InvalidInput, also while the elements are read.
    """
    count = _count(tensor.shape, f"{param}.shape")
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if (tensor.data is None) == (size is None):
        raise InvalidInput(f"{param}: give 'data' or 'parameters.binary_data_size'", param)
    if tensor.data is not None:
        return _of_json(tensor.data, count, len(tensor.shape), f"{param}.data"), start
    assert size is not None
    if start + size > len(after):
        raise InvalidInput(f"{param}: the body ends before its {size} bytes", param)
    return _of_bytes(after[start : start + size], count, param), start + size


def _count(shape: list[int], param: str) -> int:
    """Raises InvalidInput."""
    count, *others = shape
    if not 0 < count <= LARGEST or others not in ([], [1]):
        raise InvalidInput(f"{param}: expected [n] or [n, 1], for at least one element", param)
    return count


def _of_json(data: list[Any], count: int, rank: int, param: str) -> Iterator[str | bytes]:
    if len(data) != count:
        raise InvalidInput(f"{param}: {len(data)} elements, and the shape has {count}", param)
    for index, value in enumerate(data):
        one = value[0] if rank == 2 and isinstance(value, list) and len(value) == 1 else value
        if not isinstance(one, str):
            raise InvalidInput(f"{param}[{index}]: expected a string", f"{param}[{index}]")
        yield one


def _of_bytes(content: memoryview, count: int, param: str) -> Iterator[str | bytes]:
    place = 0
    for index in range(count):
        length = int.from_bytes(content[place : place + LENGTH_BYTES], "little")
        end = place + LENGTH_BYTES + length
        if end > len(content):
            raise InvalidInput(f"{param}[{index}]: the bytes end before it does", f"{param}[{index}]")
        yield bytes(content[place + LENGTH_BYTES : end])
        place = end
    if place != len(content):
        raise InvalidInput(f"{param}: more bytes than its {count} elements", param)


def output(name: str, rows: NDArray[np.float32], binary: bool) -> tuple[dict[str, object], bytes]:
    """What the answer's JSON has of an output [N, E], and the bytes that follow it."""
    told: dict[str, object] = {"name": name, "datatype": "FP32", "shape": list(rows.shape)}
    if not binary:
        return {**told, "data": rows.reshape(-1)}, b""
    content = np.ascontiguousarray(rows, "<f4").tobytes()
    return {**told, "parameters": {"binary_data_size": len(content)}}, content
