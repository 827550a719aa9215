"""A filter on a column of dates or times."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pyarrow as pa
from lancedb.expr import Expr, col, lit

from ..errors import InvalidInput
from .time_spans import LAST, Span, time_span

DAY = timedelta(days=1)
NANOSECONDS = (datetime(1677, 9, 22), datetime(2262, 4, 11))  # what a column of them can hold, to the day


def compared_time(column: str, name: str, value: object, type: pa.DataType) -> Expr:
    """name: of filters.OPERATORS. lt is before the value's span, eq in it, gt after it. Raises InvalidInput."""
    x, (start, end, _) = col(column), _checked(value, type, column)
    if name == "lt":
        return _before(x, start, type)
    if name == "le":
        return _before(x, end, type)
    if name == "gt":
        return _since(x, end, type)
    if name == "ge":
        return _since(x, start, type)
    if name == "eq":
        return _since(x, start, type) & _before(x, end, type)
    return _before(x, start, type) | _since(x, end, type)


def _checked(value: object, type: pa.DataType, column: str) -> Span:
    """Where the column has a time zone and the value none, it is a time of UTC."""
    try:
        span = time_span(value) if isinstance(value, str) else None
    except ValueError:
        span = None
    is_date = pa.types.is_date(type)
    if span is None or (is_date and span.end - span.start < DAY and span.end != LAST):
        form = "a date as 2021-06" if is_date else "a date or time as 2021-06 or 2021-06-30T12:00"
        raise InvalidInput(f"filter: {column} is {type}: compare it with {form}", "filter")
    if span.has_zone and (is_date or type.tz is None):
        raise InvalidInput(f"filter: {column} is {type}, without a time zone: leave the zone out", "filter")
    return span


def _before(x: Expr, moment: datetime, type: pa.DataType) -> Expr:
    first, last = _range(type)
    if moment >= last:
        return x == x
    return x != x if moment <= first else x < _literal(moment, type)


def _since(x: Expr, moment: datetime, type: pa.DataType) -> Expr:
    first, last = _range(type)
    if moment >= last:
        return x != x
    return x == x if moment <= first else x >= _literal(moment, type)


def _range(type: pa.DataType) -> tuple[datetime, datetime]:
    return NANOSECONDS if pa.types.is_timestamp(type) and type.unit == "ns" else (datetime.min, LAST)


def _literal(moment: datetime, type: pa.DataType) -> Expr:
    """Of the column's own type. What falls between two of its values becomes the later one."""
    if pa.types.is_date(type):
        return lit(moment.date().isoformat()).cast(type)
    step = {"s": 1_000_000, "ms": 1000}.get(type.unit, 1)  # microseconds
    moment += timedelta(microseconds=-moment.microsecond % step)
    return lit((moment.replace(tzinfo=timezone.utc) if type.tz else moment).isoformat()).cast(type)
