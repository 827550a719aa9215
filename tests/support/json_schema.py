"""Does a value fit a JSON schema? For the keywords that our own OpenAPI has; another one fails."""

from __future__ import annotations

from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
SAY_NOTHING = {"title", "description", "default", "examples", "format"}
BOUNDS = {
    "minItems": lambda value, least: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda value, most: not isinstance(value, list) or len(value) <= most,
    "minProperties": lambda value, least: not isinstance(value, dict) or len(value) >= least,
    "minLength": lambda value, least: not isinstance(value, str) or len(value) >= least,
    "minimum": lambda value, least: not _is_number(value) or value >= least,
    "maximum": lambda value, most: not _is_number(value) or value <= most,
    "exclusiveMinimum": lambda value, bound: not _is_number(value) or value > bound,
    "enum": lambda value, known: value in known,
    "const": lambda value, known: value == known,
    "type": lambda value, type: _has_type(value, type),
    "anyOf": lambda value, schemas: any(fits(value, schema) for schema in schemas),
    "required": lambda value, keys: not isinstance(value, dict) or set(keys) <= value.keys(),
    "items": lambda value, schema: not isinstance(value, list) or all(fits(item, schema) for item in value),
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    known = schema.get("properties", {})
    if isinstance(value, dict):
        others = schema.get("additionalProperties", True)
        for key, of_key in value.items():
            rule = known.get(key, others)
            if rule is False or (isinstance(rule, dict) and not fits(of_key, rule)):
                return False
    kept = schema.keys() - SAY_NOTHING - {"properties", "additionalProperties"}
    return all(BOUNDS[keyword](value, schema[keyword]) for keyword in kept)


def _has_type(value: Any, type: str) -> bool:
    if type in ("number", "integer"):
        return _is_number(value) and (type == "number" or float(value).is_integer())
    return isinstance(value, TYPES[type])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
