"""Zero-shot: which label fits an image."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import ModelInfo, unit_length
from ..shared.answer import embedding_headers, json_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import image_items, name, text_item
from .native import StringOrList

Cosines = NDArray[np.float32]  # [queries, candidates]
Labels = Annotated[list[str], Field(min_length=1)]

# A PNG of 8 × 8 pixels, so that the API's description has a whole request to try
RED_SQUARE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII="


class ClassifyRequest(Body):
    """Images and the labels to choose from. Each label is put into each template; the mean of their vectors counts."""

    image: StringOrList | None = Field(
        None, description="an image as base64 or data URI, or a list of them", examples=[RED_SQUARE]
    )
    images: StringOrList | None = Field(None, description="the same")
    labels: Labels = Field(examples=[["a cat", "a dog"]])
    templates: Labels = Field(["a photo of a {}"], description="{} stands for the label")
    model: str | None = None


router = APIRouter(tags=["zero-shot"])


@router.post("/classify", summary="Which label fits each image", openapi_extra=schema_of(ClassifyRequest))
async def classify(request: Request) -> Response:
    asked = await request_body(request, ClassifyRequest)
    images = [*(asked.image or []), *(asked.images or [])]
    if not images:
        raise InvalidInput("give 'image' or 'images'", "image")
    for index, template in enumerate(asked.templates):
        if "{}" not in template:
            param = name("templates", index, asked.templates)
            raise InvalidInput(f"{param}: has no {{}} where the label goes", param)
    prompts = (template.replace("{}", label) for label in asked.labels for template in asked.templates)
    items = chain(image_items("image", images), (text_item(prompt, "labels") for prompt in prompts))
    embedded = await embed(request, items, asked.model)
    vectors = unit_length(embedded.vectors)
    # prompt ensembling: Radford et al. 2021, section 3.1.4
    per_label = vectors[len(images) :].reshape(len(asked.labels), len(asked.templates), -1).mean(axis=1)
    cosines = vectors[: len(images)] @ unit_length(per_label).T
    scores = probabilities(cosines, embedded.info)
    results = [
        [
            {"label": asked.labels[i], "score": scores[row, i], "cosine": cosines[row, i]}
            for i in np.argsort(-scores[row])
        ]
        for row in range(len(images))
    ]
    return json_response({"model": embedded.info.model_id, "results": results}, headers=embedding_headers(embedded))


def probabilities(cosines: Cosines, info: ModelInfo) -> Cosines:
    """Scores as the model was trained: a sigmoid for each pair (SigLIP, which has a bias), else a softmax per row.

    Zhai et al. 2023, arXiv:2303.15343; Radford et al. 2021, arXiv:2103.00020.
    """
    logits = cosines.astype(np.float64) * (info.logit_scale or 1.0)
    if info.logit_bias is not None:
        return np.asarray(1 / (1 + np.exp(-(logits + info.logit_bias))), np.float32)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
