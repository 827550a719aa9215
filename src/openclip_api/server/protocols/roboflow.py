"""Roboflow Inference's routes for CLIP.

POST /clip/embed_text  {"text": "text" | [".."]}                                    → {"embeddings": [[..]]}
POST /clip/embed_image {"image": {"type": "base64", "value": ".."} | [..]}          → {"embeddings": [[..]]}
POST /clip/compare     {"subject": one, "subject_type", "prompt": one, a list or named ones, "prompt_type"}
                                                                                    → {"similarity": [..] | {..}}

Vectors are as the model gives them; a similarity is a cosine. The key may be in the body or the URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Depends, Request
from pydantic import Field, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...errors import InvalidInput, InvalidRequest, UnsupportedMedia
from ...runtime.embedding import unit_length
from ..context import context_of, state_of
from ..envelope import Envelope
from ..shared.answer import embeddings_response
from ..shared.body import Body, read_json, request_body, schema_of, validated
from ..shared.embed import embed
from ..shared.fields import StringOrList
from ..shared.items import EXAMPLE_PNG, Item, image_item, is_url, name, text_item, text_items
from ..shared.keys import CHALLENGE, KEY_NEEDED, is_known

Type: TypeAlias = Literal["image", "text"]


class Image(Body):
    """Without a `type` it is what its value looks like, as a plain string is."""

    type: Literal["base64", "url"] | None = None
    value: str


EXAMPLE_IMAGE = {"type": "base64", "value": EXAMPLE_PNG}
ONE = [{"type": "string"}, Image.model_json_schema()]
MANY = {"type": "array", "items": {"anyOf": ONE}, "minItems": 1}
NAMED = {"type": "object", "additionalProperties": {"anyOf": ONE}, "minProperties": 1}
OneOrMany = Annotated[Any, WithJsonSchema({"anyOf": [*ONE, MANY]})]


class ClipRequest(Body):
    clip_version_id: str | None = Field(None, description="one of the server's models (default: the first)")
    inference_id: str | None = Field(None, alias="id")


class TextRequest(ClipRequest):
    text: StringOrList = Field(examples=["red sofa"])


class ImageRequest(ClipRequest):
    image: OneOrMany = Field(examples=[EXAMPLE_IMAGE])


class CompareRequest(ClipRequest):
    subject: Annotated[Any, WithJsonSchema({"anyOf": [*ONE, MANY | {"maxItems": 1}]})] = Field(examples=[EXAMPLE_IMAGE])
    subject_type: Type = "image"
    prompt: Annotated[Any, WithJsonSchema({"anyOf": [*ONE, MANY, NAMED]})] = Field(
        description="one, a list, or an object of named ones", examples=[["a cat", "a dog"]]
    )
    prompt_type: Type = "text"


async def key_in_body(request: Request) -> None:
    """Roboflow's clients put the API key there. Raises HTTPException (401)."""
    if not state_of(request).key_missing:
        return
    try:
        content = await read_json(request)
    except (InvalidRequest, UnsupportedMedia):
        content = None
    given = content.get("api_key") if isinstance(content, dict) else None
    if not isinstance(given, str) or not is_known(given.encode(errors="replace"), context_of(request).settings.api_key):
        raise HTTPException(401, KEY_NEEDED, CHALLENGE)


router = APIRouter(tags=["Roboflow"], dependencies=[Depends(key_in_body)])
ENVELOPE = Envelope(lambda problem: {"message": problem.message}, invalid=400)


@router.post("/clip/embed_text", summary="Embed texts as Roboflow does", openapi_extra=schema_of(TextRequest))
async def embed_text(request: Request) -> Response:
    asked = await request_body(request, TextRequest)
    return await _embeddings(request, asked, text_items("text", asked.text))


@router.post("/clip/embed_image", summary="Embed images as Roboflow does", openapi_extra=schema_of(ImageRequest))
async def embed_image(request: Request) -> Response:
    asked = await request_body(request, ImageRequest)
    return await _embeddings(request, asked, _items("image", _listed("image", asked.image), "image"))


@router.post("/clip/compare", summary="How alike a subject and prompts are", openapi_extra=schema_of(CompareRequest))
async def compare(request: Request) -> Response:
    started = time.perf_counter()
    asked = await request_body(request, CompareRequest)
    named = asked.prompt if _is_named(asked.prompt, asked.prompt_type) else None
    prompts = _listed("prompt", asked.prompt if named is None else list(named.values()))
    for key in named or ():
        text_item(key, "prompt")  # the answer has it
    subjects = _items("subject", _one("subject", asked.subject), asked.subject_type)
    items = chain(subjects, _items("prompt", prompts, asked.prompt_type))
    embedded = await embed(request, items, asked.clip_version_id)
    subject, *others = unit_length(embedded.vectors)
    cosines = np.asarray(others) @ subject
    similarity = list(cosines) if named is None else dict(zip(named, map(float, cosines), strict=True))
    answer = {"similarity": similarity, "parent_id": None, **_told(asked, started)}
    return embeddings_response(answer, embedded)


async def _embeddings(request: Request, asked: ClipRequest, items: Iterator[Item]) -> Response:
    started = time.perf_counter()
    embedded = await embed(request, items, asked.clip_version_id)
    answer = {"embeddings": list(embedded.vectors), "frame_id": None, **_told(asked, started)}
    return embeddings_response(answer, embedded)


def _told(asked: ClipRequest, started: float) -> Mapping[str, object]:
    return {"inference_id": asked.inference_id, "time": time.perf_counter() - started}


def _is_named(prompt: Any, type: Type) -> bool:
    return isinstance(prompt, dict) and (type == "text" or "value" not in prompt)


def _listed(field: str, value: Any) -> list[Any]:
    """Raises InvalidInput."""
    if not isinstance(value, (str, dict, list)) or value in ([], {}):
        raise InvalidInput(f"{field}: expected one or a list, and not an empty one", field)
    return value if isinstance(value, list) else [value]


def _one(field: str, value: Any) -> list[Any]:
    """Raises InvalidInput."""
    values = _listed(field, value)
    if len(values) > 1:
        raise InvalidInput(f"{field}: expected one, not a list of several", field)
    return values


def _items(field: str, values: list[Any], type: Type) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    for index, value in enumerate(values):
        param = name(field, index, values)
        yield _text(value, param) if type == "text" else _image(value, param)


def _text(value: Any, param: str) -> Item:
    if not isinstance(value, str):
        raise InvalidInput(f"{param}: expected a string", param)
    return text_item(value, param)


def _image(value: Any, param: str) -> Item:
    if isinstance(value, str):
        return image_item(value, param)
    image = validated(value, Image, param)
    if image.type is not None and (image.type == "url") != is_url(image.value):
        raise InvalidInput(f"{param}.value: not of its type, {image.type}", f"{param}.value")
    return image_item(image.value, param)
