"""What Ollama's clients ask of a server that embeds.

POST /api/embed       {"model", "input": "text" | [".."], "images": ["<base64>"]} → {"embeddings": [[..]]}, length 1
POST /api/embeddings  {"model", "prompt": "text"}                                → {"embedding": [..]}, of any length
GET  /api/tags, /api/version, POST /api/show                                     → which models there are

`images` is not Ollama's own: its vectors follow those of the texts. `options` and `keep_alive` are accepted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput, NotFound
from ...runtime.embedding import unit_length
from ..context import context_of
from ..envelope import Envelope
from ..shared.answer import embeddings_response, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import Embedded, embed
from ..shared.fields import ManyStrings, StringOrMany
from ..shared.items import Item, image_items, text_item, text_items
from ..shared.vectors import first_dimensions

LATEST = ":latest"  # what Ollama adds to a name without a tag
NO_DATE = "1970-01-01T00:00:00Z"  # a checkpoint does not tell when it was made, and clients parse the field


class EmbedRequest(Body):
    model: str | None = Field(None, description="one of GET /api/tags (default: the first)")
    input: StringOrMany | None = Field(None, description="texts", examples=["red sofa"])
    images: ManyStrings | None = Field(None, description="base64 or data URIs; their vectors come after the texts'")
    truncate: bool | None = Field(None, description="false: refuse a text that is too long for the model")
    dimensions: int | None = None


class EmbeddingsRequest(Body):
    model: str | None = None
    prompt: str = Field("", examples=["red sofa"])


class ShowRequest(Body):
    model: str | None = Field(None, description="one of GET /api/tags (default: the first)")
    name: str | None = Field(None, description="what older clients call `model`")


router = APIRouter(tags=["Ollama"])
ENVELOPE = Envelope(lambda problem: {"error": problem.message}, invalid=400)  # clients show it as it is


@router.post("/api/embed", summary="Embed as Ollama does", openapi_extra=schema_of(EmbedRequest))
async def embeddings(request: Request) -> Response:
    started = time.perf_counter_ns()
    asked = await request_body(request, EmbedRequest)
    embedded = await embed(request, _items(asked), _served(request, asked.model), truncate=asked.truncate is not False)
    answer = {
        "model": asked.model or embedded.info.model_id,
        "embeddings": list(unit_length(first_dimensions(embedded.vectors, asked.dimensions, "dimensions"))),
        **_usage(embedded, started),
    }
    return embeddings_response(answer, embedded)


@router.post("/api/embeddings", summary="The same in Ollama's older form", openapi_extra=schema_of(EmbeddingsRequest))
async def one_embedding(request: Request) -> Response:
    asked = await request_body(request, EmbeddingsRequest)
    items = [text_item(asked.prompt, "prompt")] if asked.prompt else []
    embedded = await embed(request, items, _served(request, asked.model))
    return embeddings_response({"embedding": embedded.vectors[0] if items else []}, embedded)


@router.get("/api/tags", summary="The models of this server, as Ollama lists them")
async def tags(request: Request) -> Response:
    return json_response({"models": [_model(name) for name in context_of(request).model_pool.names()]})


@router.get("/api/version", summary="The server's version")
async def version(request: Request) -> Response:
    return json_response({"version": request.app.version})


@router.post("/api/show", summary="One model, as Ollama shows it", openapi_extra=schema_of(ShowRequest))
async def show(request: Request) -> Response:
    asked = await request_body(request, ShowRequest)
    context = context_of(request)
    name = asked.name if asked.model is None else asked.model
    if name is None:
        name = context.model_pool.names()[0]
    async with context.model_pool.use(_served(request, name), context.settings.request_timeout) as embedder:
        info = embedder.info
    facts = {
        "general.architecture": "clip",
        "general.basename": info.name,
        "clip.embedding_length": info.embed_dim,
        "clip.context_length": info.context_length,
        "clip.image_size": info.image_size,
    }
    described = {key: value for key, value in _model(name).items() if key in ("details", "modified_at")}
    empty = {"modelfile": "", "parameters": "", "template": "", "license": ""}
    return json_response({**empty, **described, "model_info": facts, "capabilities": ["embedding", "vision"]})


@router.post("/api/chat", summary="Refused: this server embeds")
@router.post("/api/generate", summary="Refused: this server embeds")
async def no_generation(request: Request) -> Response:
    raise NotFound("this server has models that embed, and none that write: use POST /api/embed")


def _items(asked: EmbedRequest) -> Iterator[Item]:
    """Nothing, as Ollama takes it, loads the model. Raises InvalidInput, TooLarge."""
    texts = asked.input or []
    if len(texts) > 1 and "" in texts:
        param = f"input[{texts.index('')}]"
        raise InvalidInput(f"{param}: an empty text", param)
    yield from text_items("input", texts if texts != [""] else [])
    yield from image_items("images", asked.images or [])


def _served(request: Request, model: str | None) -> str | None:
    """The name without `:latest`, unless a model is called so."""
    if model is None or not model.endswith(LATEST) or model in context_of(request).model_pool.names():
        return model
    return model.removesuffix(LATEST)


def _model(name: str) -> dict[str, object]:
    details = {"parent_model": "", "format": "safetensors", "family": "clip", "families": ["clip"]}
    return {
        "name": name,
        "model": name,
        "modified_at": NO_DATE,
        "size": 0,
        "digest": sha256(name.encode()).hexdigest(),
        "details": {**details, "parameter_size": "", "quantization_level": ""},
    }


def _usage(embedded: Embedded, started: int) -> dict[str, int]:
    nanoseconds = time.perf_counter_ns() - started
    return {"total_duration": nanoseconds, "load_duration": 0, "prompt_eval_count": sum(embedded.tokens)}
