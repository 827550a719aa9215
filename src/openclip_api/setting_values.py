"""How the text of a setting becomes its value."""

from __future__ import annotations

import re

from .fetch import url
from .inputs.formats import table_names


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def some_comma_separated(value: object) -> object:
    """As comma_separated, for lists that open the server further when they are empty: that must not be by mistake."""
    parts = comma_separated(value)
    if isinstance(value, str) and not parts:
        raise ValueError("nothing is named: leave the setting out, or name at least one")
    return parts


def format_names(value: object) -> object:
    parts = some_comma_separated(value)
    return (list(table_names(parts)) or ["ALL"]) if isinstance(parts, list) and parts else parts


def checked_endpoints(value: list[str]) -> list[str]:
    for entry in value:
        url.endpoints(entry)
    return value


def route(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"/[\w.~:@/-]*", value):
        raise ValueError("expected a path such as /predict")
    return value
