"""POST /embeddings as the original OpenCLIP-API has it: texts and images come in, vectors go out.

The route also takes a form with files, and plain image bytes. A body with `input` or `messages` is OpenAI's and goes to
openai.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ...errors import InvalidInput, TooLarge
from ...inputs.formats import SAFE_FORMATS, label_of
from ...runtime.embedding import unit_length
from ..context import context_of
from ..shared.answer import embeddings_response
from ..shared.body import Body, media_type, read_json, schema_of, validated
from ..shared.embed import Embedded, embed
from ..shared.fields import StringOrList
from ..shared.form import MULTIPART, read_form, utf_8
from ..shared.image_body import BINARY, IMAGE_CONTENT, image_body
from ..shared.items import Item, image_item, image_items, name, text_item, text_items
from ..shared.vectors import OCTETS, octets_response, wants_octets
from . import openai


class EmbeddingsRequest(Body):
    """One or more texts, one or more images, or both."""

    text: StringOrList | None = Field(None, description="a text, or a list of texts", examples=["red sofa"])
    image: StringOrList | None = Field(
        None, description=f"an image as base64 or data URI ({label_of(SAFE_FORMATS)}), or a list of them"
    )
    normalize: bool = Field(False, description="scale each vector to length 1")
    truncate: bool = Field(True, description="false: refuse a text that is too long for the model")
    model: str | None = Field(None, description="one of the server's models (default: the first)")
    language: str | None = Field(
        None, description="the texts' language, such as de or deu_Latn, for a model that needs it (NLLB)"
    )


class FormFields(BaseModel):
    """What a form may have beside `text` and `image`. A form knows strings only, so "true" is a truth value."""

    model_config = ConfigDict(protected_namespaces=())

    normalize: bool = False
    truncate: bool = True
    model: str | None = None
    language: str | None = None


class EmbeddingsResponse(BaseModel):
    """A vector for each text, then one for each image, in the order asked."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    device: str
    embeddings: list[list[float]]
    duration: float = Field(description="seconds the server spent on this request")


router = APIRouter(tags=["embeddings"])
FORM_FIELDS = ("text", "image", *FormFields.model_fields)
OTHER_FIELDS = 8
MANY_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FORM = {  # only files have a type: the rest of a form is strings, whatever its sender had
    "schema": {
        "type": "object",
        "properties": {
            "text": {"description": "a text; may be repeated"},
            "image": MANY_FILES,
            "normalize": {"description": "true or false"},
            "truncate": {"description": "true or false"},
            "model": {"description": "as in JSON"},
            "language": {"description": "as in JSON"},
        },
    }
}
DOCS: dict[str, Any] = {
    "openapi_extra": schema_of(EmbeddingsRequest, openai.EmbeddingsRequest, **{MULTIPART: FORM}, **IMAGE_CONTENT),
    "responses": {200: {"model": EmbeddingsResponse | openai.EmbeddingsResponse, "content": {OCTETS: BINARY}}},
}


@router.post("/clip-embed", summary="The same, by the original's later name", **DOCS)
@router.post("/embeddings", summary="Embed texts and images", **DOCS)
async def embeddings(request: Request) -> Response:
    started = time.perf_counter()
    if media_type(request).startswith("image/"):
        return _answer(request, *await _raw_image(request), started)
    if media_type(request) == MULTIPART:
        fields, items = await _form(request)
        embedded = await embed(request, items, fields.model, truncate=fields.truncate, language=fields.language)
        return _answer(request, embedded, fields.normalize, started)
    content = await read_json(request)
    if isinstance(content, dict) and ("input" in content or "messages" in content):
        return await openai.answer(request, content)
    asked = validated(content, EmbeddingsRequest)
    embedded = await embed(request, _items(asked), asked.model, truncate=asked.truncate, language=asked.language)
    return _answer(request, embedded, asked.normalize, started)


def _answer(request: Request, embedded: Embedded, normalize: bool, started: float) -> Response:
    vectors = unit_length(embedded.vectors) if normalize else embedded.vectors
    if wants_octets(request):
        return octets_response(vectors, embedded)
    answer = {
        "model": embedded.info.model_id,
        "device": embedded.info.device,
        "embeddings": vectors,
        "duration": time.perf_counter() - started,
    }
    return embeddings_response(answer, embedded)


async def _raw_image(request: Request) -> tuple[Embedded, bool]:
    """The body is the image, and the URL may have `model` and `normalize`. Raises UnsupportedMedia, InvalidInput."""
    normalize = request.query_params.get("normalize", "false")
    if normalize not in ("true", "false"):
        raise InvalidInput("normalize: expected true or false", "normalize")
    embedded = await embed(request, [await image_body(request)], request.query_params.get("model"))
    return embedded, normalize == "true"


async def _form(request: Request) -> tuple[FormFields, Iterator[Item]]:
    """Fields `text` and `image`, each any number of times, as strings or files, and those of JSON.

    Raises UnsupportedMedia, InvalidRequest, InvalidInput, TooLarge.
    """
    settings = context_of(request).settings
    files, fields = settings.max_items + 1, settings.max_texts + 1  # so that one too many is told as in JSON
    form = await read_form(request, FORM_FIELDS, max_files=files, max_fields=fields + OTHER_FIELDS, too_many=TooLarge)
    parts = [(field.removesuffix("[]"), content) for field, content in form]  # as PHP and some libraries mark lists
    texts, images = ([content for field, content in parts if field == wanted] for wanted in ("text", "image"))
    if not texts and not images:
        raise InvalidInput("give 'text', 'image' or both")
    chosen = {field: content for field, content in parts if field in FormFields.model_fields}
    items = chain(
        (_text(content, name("text", index, texts)) for index, content in enumerate(texts)),
        (_image(content, name("image", index, images)) for index, content in enumerate(images)),
    )
    return validated(chosen, FormFields), items


def _text(content: str | bytes, param: str) -> Item:
    """Raises InvalidInput, TooLarge."""
    return text_item(content if isinstance(content, str) else utf_8(content, param), param)


def _image(content: str | bytes, param: str) -> Item:
    """Raises InvalidInput."""
    return image_item(content, param) if isinstance(content, str) else Item("image", content, param)


def _items(asked: EmbeddingsRequest) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    if asked.text is None and asked.image is None:
        raise InvalidInput("give 'text', 'image' or both")
    return chain(text_items("text", asked.text or []), image_items("image", asked.image or []))
