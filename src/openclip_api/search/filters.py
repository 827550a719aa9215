"""What narrows a search: {"price": {"lt": 10}, "brand": ["a", "b"]} → an expression of LanceDB's.

Only columns of the store are accepted, and only values of the column's kind. Numbers compare as numbers, whatever the
column holds: 160.5 and 2**70 have a place among the whole numbers of 32 bits. So each bound is moved to the next value
of the column's own type before LanceDB sees it. Dates and times are in filter_times.py.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
from lancedb.expr import Expr, col, lit

from ..errors import InvalidInput
from .filter_times import compared_time
from .schema import INTERNAL

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
Value = bool | int | float | str
Kind = Literal["text", "number", "boolean", "time"]
WANTED = {"text": "a string", "number": "a number", "boolean": "true or false"}
_CONDITION = re.compile(r"(.+?)\s*(<=|>=|!=|=|<|>)\s*(.*)", re.DOTALL)


def filter_expression(filter: Mapping[str, object], schema: pa.Schema) -> Expr | None:
    """All conditions must hold; a list means any of its values. None if there is no condition. Raises InvalidInput."""
    return all_of(part for column, wanted in filter.items() for part in _conditions(column, wanted, schema))


def conditions_expression(conditions: Iterable[str], schema: pa.Schema) -> Expr | None:
    """The command line's 'price<10', 'brand=a': all must hold. None if there is none. Raises InvalidInput."""
    return all_of(filter_expression(parse_condition(condition, schema), schema) for condition in conditions)


def all_of(expressions: Iterable[Expr | None]) -> Expr | None:
    """None stands for no condition."""
    given = [expression for expression in expressions if expression is not None]
    return reduce(operator.and_, given) if given else None


def parse_condition(condition: str, schema: pa.Schema) -> dict[str, dict[str, object]]:
    """The command line's 'price<10' → a filter. Raises InvalidInput."""
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise InvalidInput("filter: write it as column=value, with =, !=, <, <=, > or >=", "filter")
    column, symbol, text = match.groups()
    return {column: {SYMBOLS[symbol]: _parsed(text, _type(column, schema))}}


def _conditions(column: str, wanted: object, schema: pa.Schema) -> list[Expr]:
    type = _type(column, schema)
    if isinstance(wanted, list):
        if not 1 <= len(wanted) <= MAX_VALUES:
            raise InvalidInput(f"filter: a list holds between 1 and {MAX_VALUES} values", "filter")
        if kind_of(type) == "time":
            return [reduce(operator.or_, [compared_time(column, "eq", value, type) for value in wanted])]
        return [_is_one_of(column, [_checked(value, type, column) for value in wanted], type)]
    if not isinstance(wanted, dict):
        wanted = {"eq": wanted}
    if not wanted or not wanted.keys() <= OPERATORS.keys():
        raise InvalidInput(f"filter: {column} can be compared only with {', '.join(OPERATORS)}", "filter")
    if isinstance(unwanted := wanted.get("ne"), list) and not 1 <= len(unwanted) <= MAX_VALUES:
        raise InvalidInput(f"filter: a list holds between 1 and {MAX_VALUES} values", "filter")
    # ne of a list: none of these values
    pairs = [(name, value) for name, value in wanted.items() for value in _values(name, value)]
    if kind_of(type) == "time":
        return [compared_time(column, name, value, type) for name, value in pairs]
    return [_compared(column, name, _checked(value, type, column), type) for name, value in pairs]


def _values(name: str, value: object) -> list[object]:
    return value if name == "ne" and isinstance(value, list) else [value]


def filterable(schema: pa.Schema) -> dict[str, Kind]:
    """The columns that a filter may name, and what their values are."""
    kinds = {field.name: kind_of(field.type) for field in schema if field.name not in INTERNAL}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def kind_of(type: pa.DataType) -> Kind | None:
    """None where values of the type cannot be compared."""
    if pa.types.is_boolean(type):
        return "boolean"
    if pa.types.is_integer(type) or pa.types.is_floating(type):
        return "number"
    if pa.types.is_timestamp(type) or pa.types.is_date(type):
        return "time"
    return "text" if _is_text(type) else None


def _type(column: str, schema: pa.Schema) -> pa.DataType:
    if column in INTERNAL or column not in schema.names:
        raise InvalidInput(f"filter: no such column; there are {', '.join(filterable(schema))}", "filter")
    found = schema.field(column).type
    if kind_of(found) is None:
        raise InvalidInput(f"filter: {column} is {found}, which cannot be compared", "filter")
    return found


def _is_text(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        return _is_text(type.value_type)
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _parsed(text: str, type: pa.DataType) -> Value:
    """A word of the command line as a value of the column's kind. If it is none, it stays for _checked to refuse."""
    if pa.types.is_boolean(type):
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind_of(type) in ("text", "time"):
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _checked(value: object, type: pa.DataType, column: str) -> Value:
    """The value if it is of the column's kind. Raises InvalidInput."""
    if isinstance(value, str) and _is_text(type):
        if _is_unicode(value):
            return value
        raise InvalidInput(f"filter: the value for {column} is not valid Unicode", "filter")
    if isinstance(value, bool):
        if pa.types.is_boolean(type):
            return value
    elif isinstance(value, (int, float)) and (pa.types.is_integer(type) or pa.types.is_floating(type)):
        if _is_finite(value):
            return value
        raise InvalidInput(f"filter: {column} is compared with a finite number, below 1.8e308", "filter")
    raise InvalidInput(f"filter: {column} is {type}: compare it with {WANTED[kind_of(type) or 'text']}", "filter")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, or a word of the command line that is not UTF-8
        return False
    return True


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float can hold
        return False


def _compared(column: str, name: str, value: Value, type: pa.DataType) -> Expr:
    x = col(column)
    if name == "eq":
        return _is_one_of(column, [value], type)
    if name == "ne":
        return reduce(operator.and_, [x != literal for literal in _equals(value, type)] or [x == x])
    if isinstance(value, str) or pa.types.is_boolean(type):
        return OPERATORS[name](x, lit(value))
    return (_compared_whole if pa.types.is_integer(type) else _compared_float)(x, name, value, type)


def _is_one_of(column: str, values: Sequence[Value], type: pa.DataType) -> Expr:
    x = col(column)
    literals = [literal for value in values for literal in _equals(value, type)]
    return x.isin(literals) if literals else x != x


def _equals(value: Value, type: pa.DataType) -> list[Expr]:
    """What a column of this type holds that is equal to the value: none, one, or both of -0.0 and 0.0."""
    if isinstance(value, str) or pa.types.is_boolean(type):
        return [lit(value)]
    if pa.types.is_integer(type):
        low, high = _range(type)
        return [_literal(int(value), type)] if value == int(value) and low <= value <= high else []
    rounded = _rounded(value, type)
    return [_literal(each, type) for each in ((-0.0, 0.0) if rounded == 0 else (rounded,)) if math.isfinite(each)]


def _compared_whole(x: Expr, name: str, value: float, type: pa.DataType) -> Expr:
    """x < 160.5 is x <= 160. A bound beyond the type's range holds for all, or for none."""
    low, high = _range(type)
    if name in ("lt", "le"):
        most = math.ceil(value) - 1 if name == "lt" else math.floor(value)
        return x < _literal(low, type) if most < low else x <= _literal(min(most, high), type)
    least = math.floor(value) + 1 if name == "gt" else math.ceil(value)
    return x > _literal(high, type) if least > high else x >= _literal(max(least, low), type)


def _compared_float(x: Expr, name: str, value: float, type: pa.DataType) -> Expr:
    """LanceDB puts NaN above infinity, or with a minus below it, and -0.0 below 0.0. Here NaN is on no side."""
    bound = _rounded(value, type)
    if math.isinf(bound):  # there is nothing between the type's last number and infinity
        bound = math.copysign(float(np.finfo(type.to_pandas_dtype()).max), value)
        name = ({"lt": "le", "ge": "gt"} if bound > 0 else {"le": "lt", "gt": "ge"}).get(name, name)
    if bound == 0:
        bound = -0.0 if name in ("lt", "ge") else 0.0
    compared = OPERATORS[name](x, _literal(bound, type))
    if name in ("lt", "le"):
        return compared & (x >= _literal(-math.inf, type))
    return compared & (x <= _literal(math.inf, type))


def _range(type: pa.DataType) -> tuple[int, int]:
    info = np.iinfo(type.to_pandas_dtype())
    return int(info.min), int(info.max)


def _rounded(value: float, type: pa.DataType) -> float:
    """The nearest number of the column's type: the 0.1 of a float32 column is not the 0.1 of Python."""
    with np.errstate(over="ignore"):
        return float(np.array(float(value)).astype(type.to_pandas_dtype()))


def _literal(value: float, type: pa.DataType) -> Expr:
    """Of the column's own type. LanceDB takes whole numbers of 64 bits with a sign; greater ones go as digits."""
    return lit(value if isinstance(value, float) or value < 2**63 else str(value)).cast(type)
