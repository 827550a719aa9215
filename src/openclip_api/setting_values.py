"""How the text of a setting becomes its value, and what is said of one that cannot."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from dotenv import dotenv_values
from pydantic import ValidationError

from .errors import InvalidSetting
from .fetch import url
from .fetch.host_names import address_of, is_name
from .fetch.public_address import is_own
from .inputs.formats import table_names

ENV_FILE = ".env"
LONGEST_SHOWN = 100  # characters of a wrong value
OWN_PATHS = ("/openapi.json",)
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.~:@-]+")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?", re.ASCII | re.IGNORECASE)
MAX_WORKERS = 128
PORT_NAMES = ("sagemaker_bind_to_port", "aip_http_port", "port")  # the first that is there counts


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def some_comma_separated(value: object) -> object:
    """As comma_separated, for lists that open the server further when they are empty: that must not be by mistake."""
    parts = comma_separated(value)
    if isinstance(value, str) and not parts:
        raise ValueError("it is empty: leave the setting out, or name at least one")
    return parts


def format_names(value: object) -> object:
    parts = some_comma_separated(value)
    return (list(table_names(parts)) or ["ALL"]) if isinstance(parts, list) and parts else parts


def checked_endpoints(value: list[str]) -> list[str]:
    for entry in value:
        if any(_is_never_asked(host) for host, _ in url.endpoints(entry)):
            raise ValueError("name a host of your own network; a cloud's metadata service is never allowed")
    return value


def checked_hosts(value: list[str]) -> list[str]:
    """Names and addresses as a URL has them, without the port."""
    if not all(is_name(entry.removesuffix(".")) or address_of(entry) for entry in value):
        raise ValueError("name each host as clip.example, without https:// and without a port")
    return value


def checked_hosts_or_any(value: list[str]) -> list[str]:
    checked_hosts([entry for entry in value if entry != "*"])
    return value


def checked_origins(value: list[str]) -> list[str]:
    """As an Origin header has them."""
    if not all(map(_ORIGIN.fullmatch, value)):
        raise ValueError("name each site as https://shop.example or http://localhost:3000, without a path")
    return value


def _is_never_asked(host: str) -> bool:
    address = address_of(host)
    return address is not None and not is_own(host, address)


def route(value: str | None) -> str | None:
    if value is None:
        return None
    parts = value.removeprefix("/").removesuffix("/").split("/")
    is_path = value == "/" or (value.startswith("/") and all(_SEGMENT.fullmatch(part) for part in parts))
    if not is_path or value in OWN_PATHS:
        raise ValueError("expected a path such as /predict")
    return value


def worker_count(value: object) -> object:
    text = str(value).lower()
    if text == "auto":
        return text
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"expected a number from 1 to {MAX_WORKERS}, or auto")
    return int(text)


def invalid_setting(error: ValidationError, flags: Mapping[str, object]) -> InvalidSetting:
    """One line, with the name that the user gave the setting."""
    first = error.errors(include_url=False, include_context=False)[0]
    name, value = str(first["loc"][0]), first["input"]
    name = _port_name(value, flags) if name in PORT_NAMES else name
    message = first["msg"].removeprefix("Value error, ")
    return InvalidSetting(f"{name.upper()}={_shown(value)}: {message[0].lower()}{message[1:]}")


def _port_name(value: object, flags: Mapping[str, object]) -> str:
    given = {name.lower(): text for name, text in {**dotenv_values(ENV_FILE), **os.environ, **flags}.items()}
    return next((name for name in PORT_NAMES if "port" not in flags and given.get(name) == value), "port")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
