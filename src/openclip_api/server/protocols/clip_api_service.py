"""CLIP-API-service's routes.

POST /encode [{"text": ".."}, {"img_blob": "<base64>"}, {"img_uri": ".."}] → [[..], ..], as the model gives them
POST /rank   {"queries": [..], "candidates": [..]} → {"probabilities", "cosine_similarities"}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field, RootModel
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from ..shared.answer import embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import Item, image_item, text_item
from ..shared.scores import probabilities


class Entry(Body):
    """A text or an image."""

    text: str | None = None
    img_blob: str | None = Field(None, description="an image as base64 or data URI")
    img_uri: str | None = None
    id: str | None = Field(None, description="a name for a candidate, to find it in the answer's ranking")


Entries = Annotated[list[Entry], Field(min_length=1, fail_fast=True)]


class RankRequest(Body):
    queries: Entries
    candidates: Entries
    model: str | None = None


class EncodeRequest(RootModel[Entries]):
    """A bare array."""


router = APIRouter(tags=["CLIP-API-service"])


@router.post("/encode", summary="Embed as CLIP-API-service does", openapi_extra=schema_of(EncodeRequest))
async def encode(request: Request) -> Response:
    asked = await request_body(request, EncodeRequest)
    embedded = await embed(request, _items("body", asked.root), None)
    return embeddings_response(embedded.vectors, embedded)


@router.post("/rank", summary="Which candidate fits each query", openapi_extra=schema_of(RankRequest))
async def rank(request: Request) -> Response:
    """A row for each query, a column for each candidate.

    Where candidates have ids, `ranking` lists them for each query, best first.
    """
    asked = await request_body(request, RankRequest)
    items = chain(_items("queries", asked.queries), _items("candidates", asked.candidates))
    embedded = await embed(request, items, asked.model)
    queries, candidates = np.split(unit_length(embedded.vectors), [len(asked.queries)])
    cosines = queries @ candidates.T
    answer: dict[str, object] = {
        "probabilities": probabilities(cosines, embedded.info),
        "cosine_similarities": cosines,
    }
    if any(candidate.id is not None for candidate in asked.candidates):
        answer["ranking"] = [[asked.candidates[i].id for i in np.argsort(-row)] for row in cosines]
    return embeddings_response(answer, embedded)


def _items(field: str, entries: Sequence[Entry]) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    return (_item(entry, f"{field}[{index}]") for index, entry in enumerate(entries))


def _item(entry: Entry, param: str) -> Item:
    if sum(content is not None for content in (entry.text, entry.img_blob, entry.img_uri)) != 1:
        raise InvalidInput(f"{param}: give one of 'text', 'img_blob' and 'img_uri'", param)
    if entry.text is not None:
        return text_item(entry.text, f"{param}.text")
    if entry.img_blob is not None:
        return image_item(entry.img_blob, f"{param}.img_blob")
    return image_item(entry.img_uri or "", f"{param}.img_uri")
