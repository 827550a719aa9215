"""What Immich asks its machine-learning service: POST /predict for the CLIP tasks, GET /ping.

A form with `entries`, JSON, and the file `image` or the field `text`:

    {"clip": {"visual": {"modelName": "ViT-B-32__laion2b-s34b-b79k"}}} → {"clip": "[0.1, ..]", "imageHeight": ..}
    {"clip": {"textual": {"modelName": "..", "options": {..}}}}        → {"clip": "[0.1, ..]"}

The vector is a JSON array inside a string. Tasks about faces and text recognition are refused: Immich then asks its
next URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import orjson
from fastapi import APIRouter, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import PlainTextResponse, Response

from ...errors import InvalidInput, InvalidRequest, UnsupportedMedia
from ...runtime.embedding import unit_length
from ..context import context_of
from ..envelope import Envelope
from ..shared.answer import NOT_READY_HEADERS, embeddings_response
from ..shared.body import Body, media_type, read_json, schema_of, validated
from ..shared.bounded_json import most_values, parse_json
from ..shared.embed import embed
from ..shared.items import Item, text_item
from . import vertex


class TaskOptions(Body):
    language: str | None = None


class TaskModel(Body):
    modelName: str
    options: TaskOptions | None = None


class ClipTask(Body):
    """One of the two."""

    visual: TaskModel | None = None
    textual: TaskModel | None = None


class Entries(Body):
    clip: ClipTask


Form: TypeAlias = Mapping[str, str | bytes]  # fields are strings, files bytes

FIELDS = ("entries", "image", "text")
BOUNDARY = re.compile(r'boundary=(?:"([^"\\]{1,200})"|([^";,\s]{1,200}))', re.IGNORECASE)

router = APIRouter(tags=["Immich"])
ENVELOPE = Envelope(lambda problem: {"detail": problem.message})
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["entries"],
                    "properties": {
                        "entries": {
                            "type": "string",
                            "description": "JSON",
                            "examples": ['{"clip": {"textual": {"modelName": "emoji"}}}'],
                        },
                        "image": {"type": "string", "format": "binary"},
                        "text": {"type": "string", "examples": ["red sofa"]},
                    },
                }
            },
            **schema_of(vertex.PredictRequest)["requestBody"]["content"],
        },
    }
}


@router.get("/ping", summary="pong once the model answers, 503 before", response_class=PlainTextResponse)
async def ping(request: Request) -> Response:
    if context_of(request).model_pool.is_ready:
        return PlainTextResponse("pong")
    return PlainTextResponse("loading", 503, NOT_READY_HEADERS)


@router.post("/predict", summary="Embed for Immich", openapi_extra=FORM)
async def predict(request: Request) -> Response:
    if media_type(request) == "application/json":
        content = await read_json(request)
        if isinstance(content, dict) and "instances" in content:
            return await vertex.answer(request, content)
    form = await _form(request)
    asked = _entries(form.get("entries"), most_values(context_of(request).settings.most_items))
    item, model = _item(asked.clip, form)
    served = _served_name(model.modelName, context_of(request).model_pool.names())
    language = model.options.language if model.options else None
    embedded = await embed(request, [item], served, language=language, must_know_language=False)
    [vector], [embedding] = unit_length(embedded.vectors), embedded.embeddings
    answer: dict[str, object] = {"clip": orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode()}
    if embedding.image_size is not None:
        answer["imageWidth"], answer["imageHeight"] = embedding.image_size
    return embeddings_response(answer, embedded)


async def _form(request: Request) -> Form:
    """Raises UnsupportedMedia, InvalidRequest, InvalidInput, TooLarge."""
    if media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("send a form (Content-Type: multipart/form-data)")
    boundary = BOUNDARY.search(request.headers["content-type"])
    if boundary is None:
        raise InvalidRequest("the body is not a form: Content-Type has no boundary", "body")
    # Starlette would take the codec that the client names. Latin-1 gives each byte back, to be read as UTF-8.
    content_type = f'multipart/form-data; charset=latin-1; boundary="{boundary[1] or boundary[2]}"'
    parser = MultiPartParser(Headers({"content-type": content_type}), request.stream(), max_files=1, max_fields=3)
    parser.spool_max_size = 0  # in memory, where the body's limit bounds it, and never on a disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"the body is not a form: {error.message}", "body") from error
    try:
        return {name: await _content(name, value) for name, value in form.multi_items()}
    finally:
        await form.close()


async def _content(name: str, value: str | UploadFile) -> str | bytes:
    """Raises InvalidInput."""
    if isinstance(value, UploadFile):
        return await value.read()
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        param = name if name in FIELDS else "body"
        raise InvalidInput(f"{param}: not valid UTF-8", param) from error


def _entries(given: str | bytes | None, most: int) -> Entries:
    """Raises InvalidInput, TooLarge."""
    if not isinstance(given, str):
        raise InvalidInput("entries: this field is needed", "entries")
    try:
        content = parse_json(given.encode(), most)
    except ValueError as error:
        raise InvalidInput("entries: not JSON", "entries") from error
    if not isinstance(content, dict) or content.keys() != {"clip"}:
        raise InvalidInput("entries: only the task 'clip' is served here", "entries")
    return validated(content, Entries)


def _item(clip: ClipTask, form: Form) -> tuple[Item, TaskModel]:
    """Raises InvalidInput, TooLarge."""
    if (clip.visual is None) == (clip.textual is None):
        raise InvalidInput("entries: give clip.visual or clip.textual", "entries")
    if clip.textual is not None:
        text = form.get("text")
        if not isinstance(text, str):
            raise InvalidInput("text: this field is needed", "text")
        return text_item(text, "text"), clip.textual
    assert clip.visual is not None
    image = form.get("image")
    if not isinstance(image, bytes):
        raise InvalidInput("image: this file is needed", "image")
    return Item("image", image, "image"), clip.visual


def _served_name(name: str, served: list[str]) -> str:
    """Immich writes name__tag with hyphens in the tag, where this server has "ViT-B-32:laion2b_s34b_b79k"."""

    def plain(name: str) -> str:
        return name.replace("__", ":").replace("_", "-").lower()

    return next((candidate for candidate in served if plain(candidate) == plain(name)), name)
