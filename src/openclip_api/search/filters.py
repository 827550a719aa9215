"""What narrows a search: {"price": {"lt": 10}, "brand": ["a", "b"]} → the SQL condition that LanceDB takes.

Columns must be the store's and are quoted, values become literals of the column's type: nothing a caller sends is
read as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from ..errors import InvalidInput

OPERATORS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
SYMBOLS = {symbol: name for name, symbol in OPERATORS.items()}
MAX_VALUES = 1000
COLUMN = re.compile(r"[^\W\d][\w-]*")  # Lance reads a dot as a way into a structure
_CONDITION = re.compile(r"(.+?)\s*(<=|>=|!=|=|<|>)\s*(.*)", re.DOTALL)


def sql_of(filter: Mapping[str, Any], schema: pa.Schema) -> str | None:
    """All conditions must hold; a list means any of its values. Raises InvalidInput."""
    conditions = [part for column, wanted in filter.items() for part in _conditions(column, wanted, schema)]
    return " AND ".join(conditions) or None


def parse_conditions(conditions: Iterable[str], schema: pa.Schema) -> dict[str, Any]:
    """The command line's 'price<10', 'brand=a'. Raises InvalidInput."""
    filter: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise InvalidInput("filter: write it as column=value, with =, !=, <, <=, > or >=", "filter")
        column, symbol, text = match.groups()
        filter.setdefault(column, {})[SYMBOLS[symbol]] = _typed(text, _type(column, schema))
    return filter


def id_is(ids: Iterable[str]) -> str:
    return f"`id` IN ({', '.join(map(_string, ids))})"


def _conditions(column: str, wanted: Any, schema: pa.Schema) -> list[str]:
    type = _type(column, schema)
    if isinstance(wanted, list):
        if not 1 <= len(wanted) <= MAX_VALUES:
            raise InvalidInput(f"filter: a list holds between 1 and {MAX_VALUES} values", "filter")
        return [f"`{column}` IN ({', '.join(_literal(value, type, column) for value in wanted)})"]
    if not isinstance(wanted, dict):
        wanted = {"eq": wanted}
    if not wanted or not set(wanted) <= set(OPERATORS):
        raise InvalidInput(f"filter: {column} may be compared with {', '.join(OPERATORS)}", "filter")
    return [f"`{column}` {OPERATORS[name]} {_literal(value, type, column)}" for name, value in wanted.items()]


def _type(column: str, schema: pa.Schema) -> pa.DataType:
    found = schema.field(column).type if column in schema.names and column != "vector" else None
    if found is None or not COLUMN.fullmatch(column):
        raise InvalidInput(f"filter: no such column; there are {', '.join(filterable(schema))}", "filter")
    if column not in filterable(schema):
        raise InvalidInput(f"filter: a column of {found} cannot be compared", "filter")
    return found


def filterable(schema: pa.Schema) -> list[str]:
    simple = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return [field.name for field in schema if any(is_it(field.type) for is_it in simple)]


def _typed(text: str, type: pa.DataType) -> Any:
    """A command line's word as a value of the column's type; what does not fit is left for _literal to refuse."""
    if pa.types.is_boolean(type):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if pa.types.is_integer(type):
            return int(text)
        return float(text) if pa.types.is_floating(type) else text
    except ValueError:
        return text


def _literal(value: Any, type: pa.DataType, column: str) -> str:
    if pa.types.is_string(type) and isinstance(value, str):
        return _string(value)
    if pa.types.is_boolean(type) and isinstance(value, bool):
        return str(value).lower()
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_numeric = pa.types.is_integer(type) or pa.types.is_floating(type)
    if is_numeric and is_number and abs(value) < 2**63:  # neither infinity nor NaN is
        return repr(value)
    raise InvalidInput(f"filter: {column} is compared with a value of its type, {type}", "filter")


def _string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
