"""Zero-shot classification: which label fits an image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput, TooLarge
from ...runtime.embedding import unit_length
from ..shared.answer import embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import Embedded, embed
from ..shared.fields import StringOrList, Strings
from ..shared.items import Item, image_items, name, text_item
from ..shared.scores import Cosines, probabilities

# A PNG of 8 × 8 pixels, so that the API's description has a complete request to try
RED_SQUARE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII="
MAX_PROMPT_CHARACTERS = 1_000_000  # of all prompts together


class ClassifyRequest(Body):
    """Images and the labels to choose from. Each label is put into each template; the mean of their vectors counts."""

    image: StringOrList | None = Field(
        None, description="an image as base64 or data URI, or a list of them", examples=[RED_SQUARE]
    )
    images: StringOrList | None = Field(None, description="the same")
    labels: Strings = Field(examples=[["a cat", "a dog"]])
    templates: Strings = Field(["a photo of a {}"], description="{} stands for the label")
    model: str | None = None

    @property
    def all_images(self) -> list[str]:
        return [*(self.image or []), *(self.images or [])]


router = APIRouter(tags=["zero-shot"])


@router.post("/classify", summary="Which label fits each image", openapi_extra=schema_of(ClassifyRequest))
async def classify(request: Request) -> Response:
    asked = await request_body(request, ClassifyRequest)
    embedded = await embed(request, _items(asked), asked.model)
    cosines = _cosines(asked, embedded)
    scores = probabilities(cosines, embedded.info)
    results = [
        [{"label": asked.labels[i], "score": row[i], "cosine": cosines[image, i]} for i in np.argsort(-row)]
        for image, row in enumerate(scores)
    ]
    return embeddings_response({"model": embedded.info.model_id, "results": results}, embedded)


def _items(asked: ClassifyRequest) -> Iterator[Item]:
    """The images, then for each label its prompts. Raises InvalidInput, TooLarge."""
    if not asked.all_images:
        raise InvalidInput("give 'image' or 'images'", "image")
    for index, template in enumerate(asked.templates):
        if "{}" not in template:
            param = name("templates", index, asked.templates)
            raise InvalidInput(f"{param}: has no {{}} where the label goes", param)
    _check_length(asked)
    prompts = (template.replace("{}", label) for label in asked.labels for template in asked.templates)
    return chain(image_items("image", asked.all_images), (text_item(prompt, "labels") for prompt in prompts))


def _check_length(asked: ClassifyRequest) -> None:
    """Of all prompts together, before there are any: a template may have thousands of places for a label.
    Raises TooLarge."""
    letters, labels = sum(map(len, asked.labels)), len(asked.labels)
    places = [template.count("{}") for template in asked.templates]
    outside = sum(map(len, asked.templates)) - 2 * sum(places)
    if letters * sum(places) + labels * outside > MAX_PROMPT_CHARACTERS:
        raise TooLarge(f"labels: in the templates they are longer than {MAX_PROMPT_CHARACTERS} characters", "labels")


def _cosines(asked: ClassifyRequest, embedded: Embedded) -> Cosines:
    """[images, labels], with a label's vector from all its prompts (Radford et al. 2021, section 3.1.4)."""
    images, prompts = np.split(unit_length(embedded.vectors), [len(asked.all_images)])
    per_label = prompts.reshape(len(asked.labels), len(asked.templates), -1).mean(axis=1)
    return np.asarray(images @ unit_length(per_label).T, np.float32)
