"""The types of columns in files that have none: CSV, TSV and JSON lines.

A column is of the first type that pyarrow can read all its values as: whole numbers, numbers, true or false, dates,
times, times with a zone. Else it is of strings. Nothing is read that would lose something: 007 is a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime

import orjson
import pyarrow as pa

from .options import COLUMN_TYPES

Types = Mapping[str, pa.DataType]

NUMBERS = [pa.int64(), pa.float64()]
TIMES = [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")]
NAMED = dict(zip(COLUMN_TYPES, [pa.string(), *NUMBERS, pa.bool_(), *TIMES], strict=True))
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None"})  # in columns that are not strings
AT_ONCE = 5000  # values
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_BOOLEANS = frozenset({"true", "false"})


class ColumnType:
    """What all values of a column so far can be. is_json: its strings are no numbers, whatever they look like."""

    def __init__(self, is_json: bool) -> None:
        self._of_strings = TIMES if is_json else [*NUMBERS, pa.bool_(), *TIMES]
        self._possible = [*NUMBERS, pa.bool_(), *TIMES]
        self._waiting: list[object] = []
        self._is_empty = True

    def add(self, value: object) -> None:
        self._waiting.append(value)
        if len(self._waiting) >= AT_ONCE:
            self._narrow()

    @property
    def type(self) -> pa.DataType:
        self._narrow()
        if self._is_empty:
            return pa.null()
        return self._possible[0] if self._possible else pa.string()

    def _narrow(self) -> None:
        given = [value for value in self._waiting if not _is_missing(value)]
        self._waiting.clear()
        if not given or not self._possible:
            return
        self._is_empty = False
        texts = [_text(value) for value in given]
        if any(isinstance(value, str) for value in given):
            self._possible = [type for type in self._possible if type in self._of_strings]
        allowed = [type for type in self._possible if all(_may_be(value, type) for value in given)]
        self._possible = [type for type in allowed if _can_be(texts, type)]


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Of two files' columns of one name, neither of which has a type of its own."""
    if pa.null() in (one, other):
        return other if one == pa.null() else one
    if one == other:
        return one
    for order in (NUMBERS, TIMES[:2]):
        if one in order and other in order:
            return order[max(order.index(one), order.index(other))]
    return pa.string()


def wider_type(known: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    """Of a column that has had the first type, and now has values of the second. None where no type holds both."""
    if known == new:
        return known
    if pa.null() in (known, new) or {known, new} <= set(NAMED.values()):
        return common_type(known, new)
    return None


def as_type(value: object, type: pa.DataType) -> object:
    """A value of a CSV or JSON file as a column of this type holds it. Raises ValueError if it cannot be one."""
    if type == pa.string():
        return value if value is None or isinstance(value, str) else _text(value)
    if _is_missing(value):
        return None
    try:
        return pa.array([_text(value)]).cast(type)[0].as_py()
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"not {type}") from error


def named(types: Iterable[tuple[str, str]]) -> Types:
    """Column and name of its type, as --column-type has them."""
    return {column: NAMED[type] for column, type in types}


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value in MISSING)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return orjson.dumps(value).decode()


def _may_be(value: object, type: pa.DataType) -> bool:
    """Whether it is right to read it so, though pyarrow would: 007 is no number, 1 not true."""
    if isinstance(value, bool) or type == pa.bool_():
        return type == pa.bool_() and (isinstance(value, bool) or str(value).lower() in _BOOLEANS)
    if isinstance(value, (int, float)):
        return type in NUMBERS
    return isinstance(value, str) and not (type in NUMBERS and _LEADING_ZERO.match(value))


def _can_be(texts: Iterable[str], type: pa.DataType) -> bool:
    try:
        pa.array(texts, pa.string()).cast(type)
    except (pa.ArrowException, ValueError):
        return False
    return True
