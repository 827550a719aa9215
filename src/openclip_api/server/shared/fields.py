"""Types of fields that several protocols have in their bodies."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError


def _one_or_many(value: Any) -> Any:
    if not isinstance(value, (str, list)):
        raise PydanticCustomError("string_or_list", "expected a string or a list of strings")
    return [value] if isinstance(value, str) else value


# The first wrong item of a list is told. To look for more of them would only cost time and memory.
ManyStrings = Annotated[list[str], Field(fail_fast=True)]
Strings = Annotated[ManyStrings, Field(min_length=1)]
StringOrMany = Annotated[
    ManyStrings,
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
StringOrList = Annotated[
    Strings,
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
