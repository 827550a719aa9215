"""OpenAI's embeddings and models, with the fields that Infinity, Jina, vLLM and Voyage (for texts) added.

POST /v1/embeddings, and POST /embeddings where the body has `input` or `messages`:
    OpenAI    {"input": "text" | ["text"], "encoding_format": "float" | "base64", "dimensions"}
    Infinity  {"input": ["data:image/png;base64,..."], "modality": "image"}
    Jina      {"input": [{"text": ".."}, {"image": ".."}], "embedding_type": "binary" | [..], "normalized"}
    vLLM      {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ".."}}]}]}
    Voyage    {"input": ["text"], "output_dtype": "int8", "output_dimension", "truncation"}
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from ...errors import InvalidInput, ModelNotFound
from ...runtime.embedding import unit_length
from ...settings import Settings
from ..context import context_of, state_of
from ..envelope import Envelope, Problem
from ..shared.answer import embeddings_response, json_response
from ..shared.body import Body, read_json, schema_of, validated
from ..shared.content_parts import Inputs, part_items
from ..shared.embed import Embedded, embed
from ..shared.items import EXAMPLE_PNG, Item, image_item, name, text_item
from ..shared.vectors import (
    Rows,
    VectorType,
    as_base64,
    as_type,
    first_dimensions,
    fused,
    indexed,
    octets_response,
    wants_octets,
)

INFINITY_DEFAULT = "default/not-specified"  # what Infinity's clients call the first model
NO_IDS = "token ids are those of OpenAI's models: send strings (in LangChain, check_embedding_ctx_length=False)"

EmbeddingType = Literal[VectorType, "base64"]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class EmbeddingsRequest(Body):
    input: (
        Annotated[
            list[Any],
            Field(min_length=1),
            BeforeValidator(_listed),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}, "minItems": 1},
                    ]
                }
            ),
        ]
        | None
    ) = Field(None, description='texts; images with `modality` or as {"image": ...}', examples=["red sofa"])
    messages: Inputs | None = Field(None, description="instead of `input`: all their texts and images make one vector")
    model: str | None = Field(None, description="one of the server's models (default: the first)")
    modality: Literal["text", "image"] | None = Field(
        None, description="what the strings in `input` are (default: text)"
    )
    encoding_format: Literal["float", "base64"] | None = None
    embedding_type: EmbeddingType | Annotated[list[EmbeddingType], Field(min_length=1, fail_fast=True)] | None = Field(
        None, validation_alias=AliasChoices("embedding_type", "output_dtype")
    )
    dimensions: int | None = Field(None, validation_alias=AliasChoices("dimensions", "output_dimension"))
    normalized: bool | None = Field(True, description="false: as the model gives them, not scaled to length 1")
    truncate: bool | None = Field(
        True,
        validation_alias=AliasChoices("truncate", "truncation"),
        description="false: refuse a text that is too long for the model",
    )


class EmbeddingsResponse(BaseModel):
    """A vector for each input, in the order asked: a list of numbers, or base64 of little-endian ones."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    model: str
    usage: dict[str, Any]


router = APIRouter(tags=["OpenAI"])


def _error(problem: Problem) -> dict[str, object]:
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    if problem.status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": problem.message, "type": kind, "param": problem.param, "code": problem.kind}}


ENVELOPE = Envelope(_error, invalid=400)


@router.post("/v1/embeddings", summary="Embed as OpenAI does", openapi_extra=schema_of(EmbeddingsRequest))
async def embeddings(request: Request) -> Response:
    return await answer(request, await read_json(request))


async def answer(request: Request, content: object) -> Response:
    """content: the body's JSON. Errors have OpenAI's envelope whatever the path is."""
    state_of(request).envelope = ENVELOPE
    asked = validated(content, EmbeddingsRequest)
    model = None if asked.model == INFINITY_DEFAULT else asked.model
    embedded = await embed(request, _items(asked), model, truncate=asked.truncate is not False)
    vectors = _vectors(asked, embedded)
    if wants_octets(request):
        return octets_response(vectors, embedded)
    told = {
        "object": "list",
        "data": indexed(_rows(vectors, asked)),
        "model": embedded.info.model_id,
        "usage": _usage(embedded),
        "id": f"embd-{state_of(request).request_id}",
        "created": int(time.time()),
    }
    return embeddings_response(told, embedded)


def _images_schema() -> dict[str, Any]:
    schema = schema_of(EmbeddingsRequest)
    fields = schema["requestBody"]["content"]["application/json"]["schema"]["properties"]
    fields["input"] |= {
        "description": "images: base64, data URIs or URLs",
        "examples": [f"data:image/png;base64,{EXAMPLE_PNG}"],
    }
    return schema


@router.post("/embeddings_image", summary="Images in Infinity's older form", openapi_extra=_images_schema())
async def image_embeddings(request: Request) -> Response:
    content = await read_json(request)
    return await answer(request, content | {"modality": "image"} if isinstance(content, dict) else content)


@router.get("/v1/models", summary="The models of this server")
async def models(request: Request) -> Response:
    names = context_of(request).model_pool.names()
    return json_response({"object": "list", "data": [_model(name) for name in names]})


@router.get("/models", summary="The same, in Infinity's form")
async def infinity_models(request: Request) -> Response:
    context = context_of(request)
    loaded = context.model_pool.loaded()
    waiting = {name: embedder.queue.items for name, embedder in loaded.items()}
    names = context.model_pool.names()
    told = [_model(name) | _of_infinity(waiting.get(name, 0), context.settings) for name in names]
    return json_response({"object": "list", "data": told})


@router.get("/v1/models/{model:path}", summary="One model of this server")
async def model(request: Request, model: str) -> Response:
    if model not in context_of(request).model_pool.names():
        raise ModelNotFound("model: not served here; GET /v1/models lists the models", "model")
    return json_response(_model(model))


def _model(model: str) -> dict[str, object]:
    # OpenAI's `created` is the time when the model was made. No checkpoint has it, and it must be a number.
    return {"id": model, "object": "model", "created": 0, "owned_by": "openclip"}


def _of_infinity(waiting: int, settings: Settings) -> dict[str, object]:
    """waiting: items in flight."""
    stats = {"queue_fraction": waiting / settings.max_queue, "queue_absolute": waiting, "results_pending": waiting}
    told = {"owned_by": "infinity", "backend": "openvino", "capabilities": ["embed", "image_embed"]}
    return {**told, "stats": {**stats, "batch_size": settings.max_batch}}


def _items(asked: EmbeddingsRequest) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    if (asked.input is None) == (asked.messages is None):
        raise InvalidInput("give 'input' or 'messages'", "input")
    for index, value in enumerate(asked.input or []):
        yield _input_item(value, name("input", index, asked.input or []), asked.modality)
    yield from part_items("messages", asked.messages or [])


def _input_item(value: Any, param: str, modality: str | None) -> Item:
    if isinstance(value, (int, list)):
        raise InvalidInput(f"{param}: {NO_IDS}", param)
    if isinstance(value, str) and value:
        if modality is None and value[:11].lower() == "data:image/":
            raise InvalidInput(
                f"{param}: this is an image: add 'modality': 'image', or send it as {{'image': ..}}", param
            )
        return image_item(value, param) if modality == "image" else text_item(value, param)
    if isinstance(value, dict) and isinstance(value.get("text"), str) and value["text"] and "image" not in value:
        return text_item(value["text"], param)
    if isinstance(value, dict) and isinstance(value.get("image"), str) and "text" not in value:
        return image_item(value["image"], param)
    raise InvalidInput(f"{param}: expected a string that is not empty, or an object with 'text' or 'image'", param)


def _vectors(asked: EmbeddingsRequest, embedded: Embedded) -> Rows:
    """Raises InvalidInput."""
    vectors = embedded.vectors if asked.messages is None else fused(embedded.vectors, [len(embedded.vectors)])
    vectors = first_dimensions(vectors, asked.dimensions, "dimensions")
    return vectors if asked.normalized is False else unit_length(vectors)


def _rows(vectors: Rows, asked: EmbeddingsRequest) -> Sequence[object]:
    """The `embedding` of each vector: an object with all types if the request has a list of types."""

    def of_type(type: EmbeddingType) -> Sequence[object]:
        if type == "base64":
            return as_base64(vectors)
        rows = as_type(vectors, type)
        return as_base64(rows) if asked.encoding_format == "base64" else list(rows)

    if isinstance(asked.embedding_type, list):
        by_type = {type: of_type(type) for type in dict.fromkeys(asked.embedding_type)}
        return [dict(zip(by_type, row, strict=True)) for row in zip(*by_type.values(), strict=True)]
    return of_type(asked.embedding_type or "float")


def _usage(embedded: Embedded) -> dict[str, object]:
    tokens = sum(embedded.tokens)
    usage: dict[str, object] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if any(embedded.truncated):
        usage["truncated"] = [index for index, truncated in enumerate(embedded.truncated) if truncated]
    return usage
