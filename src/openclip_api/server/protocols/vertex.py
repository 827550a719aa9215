"""What Google's Vertex AI asks its containers, at the paths that it names in the environment: see docs/protocols.

{"instances": ["text", {"text": ".."}, {"image": "<base64>"}], "parameters": {"dimension", "normalize"}}
    → {"predictions": [[..], ..]}, a vector for each instance

POST /predict answers the same, unless the body is a form: that is Immich's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema
from starlette.responses import PlainTextResponse, Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from ...settings import Settings
from ..context import context_of, state_of
from ..envelope import Envelope, Problem
from ..shared.answer import NOT_READY_HEADERS, embeddings_response
from ..shared.body import Body, request_body, schema_of
from ..shared.embed import embed
from ..shared.items import Item, image_item, text_item
from ..shared.vectors import first_dimensions

SHARED = "/predict"  # immich.py has it, and hands over what is no form
ENCODED = ("bytesBase64Encoded", "b64")


def _whole(value: Any) -> Any:
    # Google's clients have no integers: they write 4.0
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Parameters(Body):
    dimension: Annotated[int, BeforeValidator(_whole)] | None = Field(
        None, validation_alias=AliasChoices("dimension", "dimensions")
    )
    normalize: bool | None = Field(None, description="false: as the model gives them, not scaled to length 1")


class PredictRequest(Body):
    instances: Annotated[
        list[Any],
        Field(min_length=1),
        WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}, "minItems": 1}),
    ] = Field(examples=[["red sofa", {"text": "a cat"}]])
    parameters: Parameters | None = None
    model: str | None = Field(None, description="one of the server's models (default: the first)")


# google.rpc.Code, as Google's APIs name it in their errors: https://google.aip.dev/193
STATUSES = {
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _error(problem: Problem) -> dict[str, object]:
    status = STATUSES.get(problem.status, "INVALID_ARGUMENT" if problem.status < 500 else "UNKNOWN")
    return {"error": {"code": problem.status, "message": problem.message, "status": status}}


ENVELOPE = Envelope(_error, invalid=400)


def vertex_router(settings: Settings) -> APIRouter:
    """The routes that the environment asks for."""
    router = APIRouter(tags=["Vertex AI"])
    if settings.aip_health_route is not None:
        router.get(settings.aip_health_route, summary="200 once the model answers, 503 before")(health)
    if settings.aip_predict_route not in (None, SHARED):
        extra = schema_of(PredictRequest)
        router.post(settings.aip_predict_route, summary="Embed for Vertex AI", openapi_extra=extra)(predict)
    return router


async def health(request: Request) -> Response:
    if context_of(request).model_pool.is_ready:
        return PlainTextResponse("ok")
    return PlainTextResponse("loading", 503, NOT_READY_HEADERS)


async def predict(request: Request) -> Response:
    """Errors have Vertex's envelope whatever the path is."""
    state_of(request).envelope = ENVELOPE
    asked = await request_body(request, PredictRequest)
    embedded = await embed(request, _items(asked.instances), asked.model)
    dimension = asked.parameters.dimension if asked.parameters else None
    vectors = first_dimensions(embedded.vectors, dimension, "parameters.dimension")
    if asked.parameters is None or asked.parameters.normalize is not False:
        vectors = unit_length(vectors)
    return embeddings_response({"predictions": list(vectors)}, embedded)


def _items(instances: list[Any]) -> Iterator[Item]:
    return (_item(value, f"instances[{index}]") for index, value in enumerate(instances))


def _item(value: Any, param: str) -> Item:
    """Raises InvalidInput, TooLarge."""
    if isinstance(value, str):
        return text_item(value, param)
    if not isinstance(value, dict) or ("text" in value) == ("image" in value):
        raise InvalidInput(f"{param}: expected a string, or an object with 'text' or 'image'", param)
    if "image" in value:
        return image_item(_encoded(value["image"], f"{param}.image"), f"{param}.image")
    if not isinstance(value["text"], str):
        raise InvalidInput(f"{param}.text: expected a string", f"{param}.text")
    return text_item(value["text"], f"{param}.text")


def _encoded(image: Any, param: str) -> str:
    """The base64 itself, or where Google's own models and TensorFlow Serving have it. Raises InvalidInput."""
    given = [image[key] for key in ENCODED if key in image] if isinstance(image, dict) else [image]
    if len(given) != 1 or not isinstance(given[0], str):
        raise InvalidInput(f"{param}: expected base64, or an object with {' or '.join(map(repr, ENCODED))}", param)
    return given[0]
