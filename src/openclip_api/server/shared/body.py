"""A request's body as a pydantic model. An error names the field that is wrong, and never repeats its value."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import InvalidInput, InvalidRequest, UnsupportedMedia
from ..context import context_of
from .bounded_json import most_values, parsed_json
from .unread_fields import MOST_VALUES


class Body(BaseModel):
    """A JSON object, read strictly: a string is never taken for a number. Unknown keys are ignored."""

    # a bound on strings, even this one, has pydantic refuse those that are not Unicode
    model_config = ConfigDict(strict=True, str_min_length=0, protected_namespaces=())


Parsed = TypeVar("Parsed", bound=BaseModel)

# pydantic's error types, in words that make sense to a client
REASONS = {
    "list_type": "expected a list",
    "too_short": "the list is empty",
    "string_type": "expected a string",
    "string_unicode": "not valid Unicode",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "model_type": "expected an object",
    "missing": "this field is needed",
}


async def request_body(request: Request, schema: type[Parsed]) -> Parsed:
    """Raises InvalidRequest (not JSON), InvalidInput (a field is wrong), UnsupportedMedia, TooLarge."""
    return validated(await read_json(request), schema)


async def read_json(request: Request) -> Any:
    """Raises InvalidRequest, UnsupportedMedia, TooLarge."""
    if media_type(request).startswith(("multipart/", "image/")):
        raise UnsupportedMedia("send JSON (Content-Type: application/json)")
    content = await read_bytes(request)
    try:
        return await parsed_body(request, content)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", "body") from error


async def parsed_body(request: Request, content: bytes) -> Any:
    """Raises ValueError for what is no JSON, TooLarge."""
    # So few bytes are below both bounds of fields that nobody reads: each value takes one at least.
    read = _fields_read(request) if len(content) > MOST_VALUES else ()
    return await parsed_json(content, most_values(context_of(request).settings.most_items), read)


def _fields_read(request: Request) -> frozenset[str]:
    """The names that the route's schema gives to the fields of a JSON object; none where it is a list."""
    described = request.scope["route"].openapi_extra["requestBody"]["content"]["application/json"]["schema"]
    return frozenset(key for schema in (described, *described.get("anyOf", ())) for key in schema.get("properties", ()))


async def read_bytes(request: Request) -> bytes:
    """Raises UnsupportedMedia, TooLarge."""
    check_encoding(request)
    return await request.body()


def check_encoding(request: Request) -> None:
    """Raises UnsupportedMedia."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("compressed bodies are not read: send it without Content-Encoding")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def validated(content: object, schema: type[Parsed], at: str = "") -> Parsed:
    """at: what an error calls the content, where it is not the whole body. Raises InvalidInput."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise _invalid_input(error, at) from error


def _invalid_input(error: ValidationError, at: str) -> InvalidInput:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = at + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    param = f"body{path}" if path[:1] in ("", "[") else path.removeprefix(".")
    reason = REASONS.get(first["type"], first["msg"][:1].lower() + first["msg"][1:])
    return InvalidInput(f"{param}: {reason}", param)


def schema_of(*models: type[BaseModel], **other_content: Any) -> dict[str, Any]:
    """What OpenAPI shows of a body that FastAPI does not parse: JSON of one of the models, or another media type."""
    schemas = [_inlined(schema, schema.pop("$defs", {})) for schema in (model.model_json_schema() for model in models)]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}, **other_content}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with each "$ref" replaced: a model's "$defs" are not found from inside a larger document."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(part, definitions) for key, part in schema.items()}
