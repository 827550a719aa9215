"""Hugging Face's way to ask: `inputs` to embed, or an image and the labels to choose from.

{"inputs": "text" | [".."] | "data:image/..;base64,.." | {"image": ".."}, "normalize", "dimensions"} → [[..]]
{"inputs": "<base64>", "parameters": {"candidate_labels": [".."]}} → [{"score", "label"}, ..], the best first
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from ...errors import InvalidInput
from ...runtime.embedding import unit_length
from .answer import embeddings_response
from .body import Body
from .embed import embed
from .fields import Strings
from .items import Item, image_item, name, text_item
from .vectors import first_dimensions
from .zero_shot import Fields, classify_images

FIELDS = Fields("parameters.candidate_labels", "parameters.hypothesis_template")
NO_IDS = "token ids are another model's: send strings"


def _some(value: Any) -> Any:
    if not isinstance(value, (str, dict, list)):
        raise PydanticCustomError("inputs", "expected a string, an object or a list of them")
    if value == []:
        raise PydanticCustomError("inputs", "the list is empty")
    return value


def _labels(value: Any) -> Any:
    # 30 MB of commas would be 2 GB of labels. What is left in one piece is refused as too long.
    return [label.strip() for label in value.split(",", MOST_SPLIT)] if isinstance(value, str) else value


MOST_SPLIT = 100_000
INPUT = {"anyOf": [{"type": "string"}, {"type": "object"}]}
Inputs = Annotated[
    Any,
    BeforeValidator(_some),
    WithJsonSchema({"anyOf": [*INPUT["anyOf"], {"type": "array", "items": INPUT, "minItems": 1}]}),
]


class Options(Body):
    """How to embed; `parameters` may have it too."""

    normalize: bool | None = Field(None, description="false: as the model gives them, not scaled to length 1")
    truncate: bool | None = Field(None, description="false: refuse a text that is too long for the model")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = Field(
        None, description="with left, a text that is too long is refused"
    )
    prompt_name: str | None = Field(None, description="refused: no CLIP has prompts of its own")
    dimensions: int | None = None


class Parameters(Options):
    candidate_labels: Annotated[Strings, BeforeValidator(_labels, json_schema_input_type=str | Strings)] | None = Field(
        None, description="the labels to choose from, as a list or comma-separated"
    )
    hypothesis_template: str = Field("This is a photo of {}.", description="{} stands for the label")


class Task(Options):
    inputs: Inputs = Field(description="texts, or images as data URIs or {'image': ..}", examples=["red sofa"])
    parameters: Parameters | None = None
    model: str | None = Field(None, description="one of the server's models (default: the first)")

    @property
    def listed(self) -> list[Any]:
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]


async def task_answer(request: Request, asked: Task) -> Response:
    """Raises as `embed` and `classify_images`."""
    if asked.parameters is not None and asked.parameters.candidate_labels is not None:
        return await _classify(request, asked, asked.parameters, asked.parameters.candidate_labels)
    return await _embed(request, asked)


async def _embed(request: Request, asked: Task) -> Response:
    options = Options(**{key: _option(asked, key) for key in Options.model_fields})
    if options.prompt_name is not None:
        param = _place(asked, "prompt_name")
        raise InvalidInput(f"{param}: the model has no prompts: put the prompt into the texts", param)
    cuts_start = (options.truncation_direction or "").lower() == "left"
    truncate = options.truncate is not False and not cuts_start
    embedded = await embed(request, _items(asked.listed), asked.model, truncate=truncate)
    vectors = first_dimensions(embedded.vectors, options.dimensions, _place(asked, "dimensions"))
    return embeddings_response(vectors if options.normalize is False else unit_length(vectors), embedded)


async def _classify(request: Request, asked: Task, parameters: Parameters, labels: list[str]) -> Response:
    """A list of labels for each image; for one that is not in a list, its labels alone."""
    images = (_image(value, name("inputs", index, asked.listed)) for index, value in enumerate(asked.listed))
    found = await classify_images(request, images, labels, [parameters.hypothesis_template], asked.model, FIELDS)
    rows = [
        [{"score": row[i], "label": labels[i]} for i in found.ranking(image)] for image, row in enumerate(found.scores)
    ]
    return embeddings_response(rows if isinstance(asked.inputs, list) else rows[0], found.embedded)


def _option(asked: Task, key: str) -> Any:
    given = getattr(asked, key)
    return getattr(asked.parameters, key) if given is None and asked.parameters is not None else given


def _place(asked: Task, key: str) -> str:
    return f"parameters.{key}" if getattr(asked, key) is None else key


def _items(inputs: list[Any]) -> Iterator[Item]:
    """Raises InvalidInput, TooLarge."""
    for index, value in enumerate(inputs):
        param = name("inputs", index, inputs)
        if isinstance(value, (int, list)):
            raise InvalidInput(f"{param}: {NO_IDS}", param)
        if value == "" or (isinstance(value, dict) and value.get("text") == ""):
            raise InvalidInput(f"{param}: an empty text", param)
        if isinstance(value, str) and value[:11].lower() != "data:image/":
            yield text_item(value, param)
        elif isinstance(value, dict) and isinstance(value.get("text"), str) and "image" not in value:
            yield text_item(value["text"], param)
        else:
            yield _image(value, param)


def _image(value: Any, param: str) -> Item:
    content = value.get("image") if isinstance(value, dict) and "text" not in value else value
    if not isinstance(content, str):
        raise InvalidInput(f"{param}: expected a string, or an object with 'text' or 'image'", param)
    return image_item(content, param)
