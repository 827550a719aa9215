"""Dates and times of a filter: a value names a span, so that taken=2021-06 is any time of that June.

The forms are those of ISO 8601 that RFC 3339 has, cut off anywhere: 2021, 2021-06, 2021-06-30, 2021-06-30T12:00Z.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

_FORM = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<part>[0-9]{1,6}))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
LAST = datetime.max


class Span(NamedTuple):
    """From `start` until before `end`. Both are naive: of UTC if `has_zone`, else as a clock shows them."""

    start: datetime
    end: datetime
    has_zone: bool


def time_span(text: str) -> Span:
    """Raises ValueError for what is no date or time."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a date or time")
    parts = match.groupdict()
    names = ("year", "month", "day", "hour", "minute", "second")
    given = [int(parts[name]) for name in names if parts[name] is not None]
    start = datetime(*(given + [1, 1][len(given) - 1 :] if len(given) < 3 else given))  # type: ignore[arg-type]
    if parts["part"] is not None:
        start = start.replace(microsecond=int(parts["part"].ljust(6, "0")))
        given.append(0)
    zone = parts["zone"]
    try:
        end = _after(start, len(given))
        if zone is not None:
            start, end = _in_utc(start, zone), _in_utc(end, zone)
    except OverflowError:
        end = LAST
    return Span(start, end, zone is not None)


def _after(start: datetime, known: int) -> datetime:
    """The start of the next year, month, day, minute, second or microsecond. Raises OverflowError after year 9999."""
    if known <= 2:
        year, month = (start.year + 1, 1) if known == 1 or start.month == 12 else (start.year, start.month + 1)
        return start.replace(year, month) if year <= LAST.year else LAST
    steps = {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1), 7: timedelta(microseconds=1)}
    return start + steps[known]


def _in_utc(moment: datetime, zone: str) -> datetime:
    """Raises OverflowError beyond the years 1 to 9999, ValueError for a zone that is none."""
    return (
        datetime.fromisoformat(f"{moment.isoformat()}{zone.replace('Z', '+00:00')}")
        .astimezone(timezone.utc)
        .replace(tzinfo=None)
    )
