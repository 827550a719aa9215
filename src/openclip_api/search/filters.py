"""What narrows a search: {"price": {"lt": 10}, "brand": ["a", "b"]} → an expression of LanceDB's.

Only columns of the store are accepted, and only values of the column's type.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce

import pyarrow as pa
from lancedb.expr import Expr, col, lit

from ..errors import InvalidInput

OPERATORS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
SYMBOLS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
MAX_VALUES = 1000
_CONDITION = re.compile(r"(.+?)\s*(<=|>=|!=|=|<|>)\s*(.*)", re.DOTALL)


def filter_expression(filter: Mapping[str, object], schema: pa.Schema) -> Expr | None:
    """All conditions must hold; a list means any of its values. None if there is no condition. Raises InvalidInput."""
    conditions = [part for column, wanted in filter.items() for part in _conditions(column, wanted, schema)]
    return reduce(operator.and_, conditions) if conditions else None


def parse_conditions(conditions: Iterable[str], schema: pa.Schema) -> dict[str, dict[str, object]]:
    """The command line's 'price<10', 'brand=a' → a filter. Raises InvalidInput."""
    filter: dict[str, dict[str, object]] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise InvalidInput("filter: write it as column=value, with =, !=, <, <=, > or >=", "filter")
        column, symbol, text = match.groups()
        filter.setdefault(column, {})[SYMBOLS[symbol]] = _parsed(text, _type(column, schema))
    return filter


def _conditions(column: str, wanted: object, schema: pa.Schema) -> list[Expr]:
    type = _type(column, schema)
    if isinstance(wanted, list):
        if not 1 <= len(wanted) <= MAX_VALUES:
            raise InvalidInput(f"filter: a list holds between 1 and {MAX_VALUES} values", "filter")
        return [col(column).isin([_literal(value, type, column) for value in wanted])]
    if not isinstance(wanted, dict):
        wanted = {"eq": wanted}
    if not wanted or not set(wanted) <= set(OPERATORS):
        raise InvalidInput(f"filter: {column} may be compared with {', '.join(OPERATORS)}", "filter")
    return [OPERATORS[name](col(column), _literal(value, type, column)) for name, value in wanted.items()]


def _type(column: str, schema: pa.Schema) -> pa.DataType:
    if column == "vector" or column not in schema.names:
        raise InvalidInput(f"filter: no such column; there are {', '.join(_filterable(schema))}", "filter")
    found = schema.field(column).type
    if column not in _filterable(schema):
        raise InvalidInput(f"filter: a column of {found} cannot be compared", "filter")
    return found


def _filterable(schema: pa.Schema) -> list[str]:
    simple = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return [field.name for field in schema if any(is_it(field.type) for is_it in simple)]


def _parsed(text: str, type: pa.DataType) -> bool | float | str:
    """A word of the command line as a value of the column's type. If it is none, it stays for _literal to refuse."""
    if pa.types.is_boolean(type):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if pa.types.is_integer(type):
            return int(text)
        return float(text) if pa.types.is_floating(type) else text
    except ValueError:
        return text


def _literal(value: object, type: pa.DataType, column: str) -> Expr:
    if pa.types.is_string(type) and isinstance(value, str):
        return lit(value)
    if pa.types.is_boolean(type) and isinstance(value, bool):
        return lit(value)
    # not a NaN, nor what is beyond LanceDB's 64-bit integers
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63:
        if pa.types.is_integer(type):
            return lit(value)
        if pa.types.is_floating(type):
            return lit(value).cast(type)  # the 0.1 of a float32 column is not the 0.1 of Python
    raise InvalidInput(f"filter: {column} is compared with a value of its type, {type}", "filter")
