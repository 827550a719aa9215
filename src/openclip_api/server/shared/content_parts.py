"""An input of several parts, texts and images, as chat protocols write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ...errors import InvalidInput
from .body import Body
from .items import Item, image_item, text_item


def _url(value: Any) -> Any:
    """Voyage sends a string here. OpenAI, Cohere and vLLM send an object with a `url`."""
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        raise PydanticCustomError("url", "expected a string or an object with a 'url'")
    return url


class Link(Body):
    url: str


class Part(Body):
    """{"type": "text", "text": …}; "image_url" and "image_base64" have a field of the same name too."""

    type: Literal["text", "image_url", "image_base64"]
    text: str | None = None
    image_url: Annotated[str, BeforeValidator(_url, json_schema_input_type=str | Link)] | None = None
    image_base64: str | None = None


def _parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Parts = Annotated[list[Part], Field(min_length=1, fail_fast=True)]


class Input(Body):
    """What becomes one vector: a list of parts, or a string for one text."""

    content: Annotated[Parts, BeforeValidator(_parts, json_schema_input_type=str | Parts)]


Inputs = Annotated[list[Input], Field(min_length=1, fail_fast=True)]


def part_items(field: str, inputs: Sequence[Input]) -> Iterator[Item]:
    """The items of all inputs' parts, one after the other. Raises InvalidInput, TooLarge."""
    for index, one in enumerate(inputs):
        for number, part in enumerate(one.content):
            yield _part_item(part, f"{field}[{index}].content[{number}]")


def part_counts(inputs: Sequence[Input]) -> list[int]:
    return [len(one.content) for one in inputs]


def _part_item(part: Part, param: str) -> Item:
    content = {"text": part.text, "image_url": part.image_url, "image_base64": part.image_base64}[part.type]
    if content is None:
        raise InvalidInput(f"{param}.{part.type}: this field is needed", f"{param}.{part.type}")
    return text_item(content, f"{param}.text") if part.type == "text" else image_item(content, f"{param}.{part.type}")
