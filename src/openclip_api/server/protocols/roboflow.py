"""Roboflow Inference's routes for CLIP.

POST /clip/embed_text  {"text": "text" | [".."]}                                    → {"embeddings": [[..]]}
POST /clip/embed_image {"image": {"type": "base64", "value": ".."} | [..]}          → {"embeddings": [[..]]}
POST /clip/compare     {"subject", "subject_type", "prompt": one, a list or named ones, "prompt_type"}
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
from ..shared.body import Body, read_json, request_body, schema_of
from ..shared.embed import embed
from ..shared.fields import StringOrList
from ..shared.items import EXAMPLE_PNG, Item, image_item, name, text_item, text_items
from ..shared.keys import CHALLENGE, KEY_NEEDED, is_known

Type: TypeAlias = Literal["image", "text"]

IMAGE = {
    "type": "object",
    "required": ["value"],
    "properties": {"type": {"enum": ["base64", "url"]}, "value": {"type": "string"}},
}
EXAMPLE_IMAGE = {"type": "base64", "value": EXAMPLE_PNG}
ANY_OF_IMAGE = [{"type": "string"}, IMAGE]
OneOrMany = Annotated[
    Any, WithJsonSchema({"anyOf": [*ANY_OF_IMAGE, {"type": "array", "items": {"anyOf": ANY_OF_IMAGE}}]})
]


class ClipRequest(Body):
    clip_version_id: str | None = Field(None, description="one of the server's models; the first where none is named")
    inference_id: str | None = Field(None, alias="id")


class TextRequest(ClipRequest):
    text: StringOrList = Field(examples=["red sofa"])


class ImageRequest(ClipRequest):
    image: OneOrMany = Field(examples=[EXAMPLE_IMAGE])


class CompareRequest(ClipRequest):
    subject: OneOrMany = Field(examples=[EXAMPLE_IMAGE])
    subject_type: Type = "image"
    prompt: OneOrMany = Field(description="one, a list, or an object of named ones", examples=[["a cat", "a dog"]])
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
    named = asked.prompt if isinstance(asked.prompt, dict) and "value" not in asked.prompt else None
    prompts = _listed("prompt", asked.prompt if named is None else list(named.values()))
    for key in named or ():
        text_item(key, "prompt")  # the answer has it
    subjects = _items("subject", _listed("subject", asked.subject)[:1], asked.subject_type)
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


def _listed(field: str, value: Any) -> list[Any]:
    """Raises InvalidInput."""
    if not isinstance(value, (str, dict, list)) or not value:
        raise InvalidInput(f"{field}: expected one or a list, and not an empty one", field)
    return value if isinstance(value, list) else [value]


def _items(field: str, values: list[Any], type: Type) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    for index, value in enumerate(values):
        param = name(field, index, values)
        content = value.get("value") if isinstance(value, dict) and type == "image" else value
        if not isinstance(content, str):
            raise InvalidInput(f"{param}: expected {_expected(type)}", param)
        yield text_item(content, param) if type == "text" else image_item(content, param)


def _expected(type: Type) -> str:
    return "a string" if type == "text" else "an object with 'type' and 'value', or base64"
