"""Zero-shot classification: which label fits an image."""

from __future__ import annotations

from itertools import chain

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ...errors import InvalidInput
from ..shared.answer import embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.fields import StringOrList, Strings
from ..shared.items import image_items
from ..shared.zero_shot import Fields, classify_images

FIELDS = Fields("labels", "templates")
# A PNG of 8 × 8 pixels, so that the API's description has a complete request to try
RED_SQUARE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII="


class ClassifyRequest(Body):
    """Images and the labels to choose from. Each label is put into each template; the mean of their vectors counts."""

    image: StringOrList | None = Field(
        None, description="an image as base64 or data URI, or a list of them", examples=[RED_SQUARE]
    )
    images: StringOrList | None = Field(None, description="the same")
    labels: Strings = Field(examples=[["a cat", "a dog"]])
    templates: Strings = Field(["a photo of a {}"], description="{} stands for the label")
    model: str | None = None


router = APIRouter(tags=["zero-shot"])


@router.post("/classify", summary="Which label fits each image", openapi_extra=schema_of(ClassifyRequest))
async def classify(request: Request) -> Response:
    asked = await request_body(request, ClassifyRequest)
    if asked.image is None and asked.images is None:
        raise InvalidInput("give 'image' or 'images'", "image")
    images = chain(image_items("image", asked.image or []), image_items("images", asked.images or []))
    found = await classify_images(request, images, asked.labels, asked.templates, asked.model, FIELDS)
    results = [
        [{"label": asked.labels[i], "score": row[i], "cosine": found.cosines[image, i]} for i in found.ranking(image)]
        for image, row in enumerate(found.scores)
    ]
    return embeddings_response({"model": found.embedded.info.model_id, "results": results}, found.embedded)
