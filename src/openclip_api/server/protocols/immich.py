"""What Immich asks its machine-learning service: POST /predict for the CLIP tasks, GET /ping.

A form with `entries`, JSON, and the file `image` or the field `text`:

    {"clip": {"visual": {"modelName": "ViT-B-32__laion2b-s34b-b79k"}}} → {"clip": "[0.1, ..]", "imageHeight": ..}
    {"clip": {"textual": {"modelName": "..", "options": {..}}}}        → {"clip": "[0.1, ..]"}

The vector is a JSON array inside a string. Tasks about faces and text recognition are refused: Immich then asks its
next URL.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from ..context import context_of
from ..envelope import Envelope
from ..shared.answer import NOT_READY_HEADERS, embeddings_response
from ..shared.body import Body, media_type, schema_of, validated
from ..shared.bounded_json import most_values, parse_json
from ..shared.embed import embed
from ..shared.form import MULTIPART, read_form
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


FIELDS = ("entries", "image", "text")

router = APIRouter(tags=["Immich"])
ENVELOPE = Envelope(lambda problem: {"detail": problem.message})
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
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
    if media_type(request) != MULTIPART:
        return await vertex.predict(request)
    form = dict(await read_form(request, FIELDS, max_files=1, max_fields=3))
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


def _item(clip: ClipTask, form: Mapping[str, str | bytes]) -> tuple[Item, TaskModel]:
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
