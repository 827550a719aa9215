"""The Open Inference Protocol over HTTP, as KServe, Triton and their clients speak it.

GET  /v2, /v2/health/live, /v2/health/ready, /v2/models/{name}, /v2/models/{name}/ready
POST /v2/models/{name}/infer    inputs "text" and "image", BYTES → outputs "text_embedding" and "image_embedding", FP32

An image is base64 in JSON, or its file's bytes in the binary extension. Vectors are of length 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput, InvalidRequest, ModelNotFound
from ...runtime.embedding import ModelInfo, unit_length
from ..context import context_of
from ..envelope import Envelope
from ..shared.answer import NOT_READY_HEADERS, embedding_headers, json_response
from ..shared.body import Body, parsed_body, read_bytes, schema_of, validated
from ..shared.embed import Embedded, embed
from ..shared.items import Item, image_item, text_item
from ..shared.tensors import InputTensor, TensorParameters, elements, output

JSON_LENGTH = "inference-header-content-length"
NOT_SERVED = ("classification", "shared_memory_region")  # of an output's parameters
OUTPUTS = {"text": "text_embedding", "image": "image_embedding"}  # by input


class OutputTensor(Body):
    name: str
    parameters: TensorParameters | None = None


class InferParameters(Body):
    binary_data_output: bool | None = None


class InferRequest(Body):
    id: str | None = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=len(OUTPUTS), fail_fast=True)] = Field(
        examples=[[{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["red sofa"]}]]
    )
    outputs: Annotated[list[OutputTensor], Field(max_length=len(OUTPUTS), fail_fast=True)] | None = None
    parameters: InferParameters | None = None


async def only_version(request: Request) -> None:
    """Raises ModelNotFound."""
    if request.path_params.get("version", "1") != "1":
        raise ModelNotFound("version: the only version is 1", "version")


router = APIRouter(tags=["Open Inference Protocol"], dependencies=[Depends(only_version)])
ENVELOPE = Envelope(lambda problem: {"error": problem.message}, invalid=400)
VERSION = {"parameters": [{"name": "version", "in": "path", "required": True, "schema": {"const": "1"}}]}
# A name has slashes in it, so of two paths the longer one is the lower decorator: it is tried first.
INFER: dict[str, Any] = {"summary": "Embed as KServe and Triton do", "openapi_extra": schema_of(InferRequest)}


@router.get("/v2", summary="The server, for clients of the Open Inference Protocol")
async def server(request: Request) -> Response:
    told = {"name": "openclip-api", "version": request.app.version, "extensions": ["binary_tensor_data"]}
    return json_response(told)


@router.get("/v2/health/live", summary="200 while the process is alive")
async def live() -> Response:
    return json_response({"live": True})


@router.get("/v2/health/ready", summary="200 once the model answers, 503 before")
async def ready(request: Request) -> Response:
    return _readiness(request)


@router.post("/v2/models/{name:path}/infer", **INFER)
@router.post(
    "/v2/models/{name:path}/versions/{version}/infer", **INFER | {"openapi_extra": INFER["openapi_extra"] | VERSION}
)
async def infer(request: Request, name: str) -> Response:
    asked, after = await _body(request)
    given = [(tensor.name, items) for tensor, items in _inputs(asked, after)]
    names = [OUTPUTS[name] for name, _ in given]
    _check_outputs(asked.outputs or [], names)
    counts: list[int] = []
    embedded = await embed(request, chain.from_iterable(_counted(items, counts) for _, items in given), name)
    return _answer(asked, name, embedded, dict(zip(names, counts, strict=True)))


@router.get("/v2/models/{name:path}/ready", summary="The same, of one model")
@router.get("/v2/models/{name:path}/versions/{version}/ready", summary="The same, of one model", openapi_extra=VERSION)
async def model_ready(request: Request, name: str) -> Response:
    context_of(request).model_pool.check(name)
    return _readiness(request)


@router.get("/v2/models/{name:path}", summary="One model's inputs and outputs")
@router.get(
    "/v2/models/{name:path}/versions/{version}", summary="One model's inputs and outputs", openapi_extra=VERSION
)
async def model(request: Request, name: str) -> Response:
    context = context_of(request)
    async with context.model_pool.use(name, context.settings.request_timeout) as embedder:
        return json_response(_described(name, embedder.info))


async def _body(request: Request) -> tuple[InferRequest, memoryview]:
    """And the bytes behind the JSON. Raises InvalidRequest, InvalidInput, TooLarge."""
    content = await read_bytes(request)
    length = request.headers.get(JSON_LENGTH, str(len(content)))
    if not (length.isascii() and length.isdigit() and len(length) < 12 and int(length) <= len(content)):
        raise InvalidRequest("Inference-Header-Content-Length: expected the number of bytes of the JSON", "body")
    try:
        parsed = await parsed_body(request, content[: int(length)])
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", "body") from error
    return validated(parsed, InferRequest), memoryview(content)[int(length) :]


def _inputs(asked: InferRequest, after: memoryview) -> Iterator[tuple[InputTensor, Iterator[Item]]]:
    """Raises InvalidInput."""
    names, start = [tensor.name for tensor in asked.inputs], 0
    for index, tensor in enumerate(asked.inputs):
        param = f"inputs[{index}]"
        if tensor.name not in OUTPUTS or names.count(tensor.name) > 1:
            raise InvalidInput(f"{param}.name: expected 'text' or 'image', each once", f"{param}.name")
        found, start = elements(tensor, param, after, start)
        yield tensor, _items(tensor.name, param, found)
    if start != len(after):
        raise InvalidInput("inputs: more bytes follow the JSON than they have", "inputs")


def _items(name: str, param: str, found: Iterator[str | bytes]) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    for index, content in enumerate(found):
        place = f"{param}[{index}]"
        if name == "image":
            yield Item("image", content, place) if isinstance(content, bytes) else image_item(content, place)
            continue
        try:
            yield text_item(content.decode() if isinstance(content, bytes) else content, place)
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{place}: not valid UTF-8", place) from error


def _counted(items: Iterator[Item], counts: list[int]) -> Iterator[Item]:
    counts.append(0)
    for item in items:
        counts[-1] += 1
        yield item


def _check_outputs(wanted: list[OutputTensor], names: list[str]) -> None:
    """Raises InvalidInput."""
    asked = [tensor.name for tensor in wanted]
    for index, tensor in enumerate(wanted):
        param = f"outputs[{index}]"
        if tensor.name not in names or asked.count(tensor.name) > 1:
            raise InvalidInput(f"{param}.name: expected {' or '.join(map(repr, names))}, each once", f"{param}.name")
        if any(getattr(tensor.parameters, key, None) is not None for key in NOT_SERVED):
            raise InvalidInput(f"{param}.parameters: an output is vectors, in the answer", f"{param}.parameters")


def _answer(asked: InferRequest, name: str, embedded: Embedded, counts: dict[str, int]) -> Response:
    wanted = asked.outputs or [OutputTensor(name=output) for output in counts]
    all_binary = bool(asked.parameters and asked.parameters.binary_data_output)
    rows, starts, start = unit_length(embedded.vectors), {}, 0
    for output_name, count in counts.items():
        starts[output_name] = start
        start += count
    told, contents = [], []
    for tensor in wanted:
        binary = tensor.parameters.binary_data if tensor.parameters else None
        first = starts[tensor.name]
        part = output(tensor.name, rows[first : first + counts[tensor.name]], all_binary if binary is None else binary)
        told.append(part[0])
        contents.append(part[1])
    answer = {"model_name": name, "model_version": "1", "outputs": told} | ({"id": asked.id} if asked.id else {})
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = embedding_headers(embedded)
    if not any(contents):
        return Response(body, 200, headers, media_type="application/json")
    headers["Inference-Header-Content-Length"] = str(len(body))
    return Response(b"".join([body, *contents]), 200, headers, media_type="application/octet-stream")


def _readiness(request: Request) -> Response:
    is_ready = context_of(request).model_pool.is_ready
    return json_response({"ready": is_ready}, 200 if is_ready else 503, None if is_ready else NOT_READY_HEADERS)


def _described(name: str, info: ModelInfo) -> dict[str, object]:
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in OUTPUTS]
    outputs = [{"name": name, "datatype": "FP32", "shape": [-1, info.embed_dim]} for name in OUTPUTS.values()]
    return {"name": name, "versions": ["1"], "platform": "openclip-api", "inputs": inputs, "outputs": outputs}
