"""Filters on columns of dates and times of each type."""

from __future__ import annotations

from datetime import datetime, timezone

import pyarrow as pa
import pytest

from openclip_api.errors import InvalidInput
from openclip_api.search.filters import conditions_expression, filter_expression
from openclip_api.search.store import Store

TYPES = {
    **{unit: pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
    "utc": pa.timestamp("us", "UTC"),
    "paris": pa.timestamp("ms", "Europe/Paris"),
    "date32": pa.date32(),
    "date64": pa.date64(),
}
DATES = ("date32", "date64")
MOMENTS = [
    datetime(1969, 12, 31, 23, 59, 59),
    datetime(2020, 2, 29),
    datetime(2021, 5, 31, 23, 59, 59),
    datetime(2021, 6, 1),
    datetime(2021, 6, 30, 23, 59, 59),
    datetime(2021, 7, 1),
    datetime(2021, 12, 31, 23, 59, 59),
    datetime(2022, 1, 1),
]


def held(moment: datetime, name: str) -> object:
    if name in DATES:
        return moment.date()
    return moment.replace(tzinfo=timezone.utc) if TYPES[name].tz else moment


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    schema = pa.schema(
        [("id", pa.string()), ("path", pa.string()), *TYPES.items(), ("vector", pa.list_(pa.float32(), 2))]
    )
    store = Store.create(tmp_path_factory.mktemp("store") / "s.lance", schema, "m", "f")
    rows = [
        {"id": str(n), "path": "", "vector": [1, n], **{name: held(moment, name) for name in TYPES}}
        for n, moment in enumerate(MOMENTS)
    ]
    store.add(pa.Table.from_pylist([*rows, {"id": "null", "path": "", "vector": [1, 1]}], schema))
    return store


def ids(store: Store, *conditions: str) -> str:
    found = store.search([1, 0], 100, conditions_expression(conditions, store.schema))
    return "".join(sorted(str(row["id"]) for row in found))


@pytest.mark.parametrize("name", TYPES)
def test_a_value_is_a_span(store: Store, name: str):
    assert ids(store, f"{name}=2021") == "23456"
    assert ids(store, f"{name}!=2021") == "017"
    assert ids(store, f"{name}=2021-06") == ids(store, f"{name}>=2021-06", f"{name}<=2021-06") == "34"
    assert ids(store, f"{name}<2021-06") == "012"
    assert ids(store, f"{name}>2021-06") == "567"
    assert ids(store, f"{name}=2021-06-30") == "4"
    assert ids(store, f"{name}<1970") == "0"
    assert ids(store, f"{name}>=0001") == ids(store, f"{name}<=9999") == ids(store, f"{name}<9999-12-31") == "01234567"
    assert ids(store, f"{name}>9999") == ids(store, f"{name}<0001") == ids(store, f"{name}=9999-12-31") == ""
    assert ids(store, f"{name}>1500", f"{name}<2500") == "01234567"
    assert ids(store, f"{name}>=2500") == ids(store, f"{name}<1500") == ""
    found = store.search([1, 0], 9, filter_expression({name: ["2020", "2022"]}, store.schema))
    assert sorted(row["id"] for row in found) == ["1", "7"]


@pytest.mark.parametrize("name", set(TYPES) - set(DATES))
def test_times_of_day(store: Store, name: str):
    assert ids(store, f"{name}=2021-06-30T23:59") == ids(store, f"{name}=2021-06-30 23:59:59") == "4"
    assert ids(store, f"{name}>2021-06-30T23:59:58.5", f"{name}<2021-06-30T23:59:59.5") == "4"
    assert ids(store, f"{name}<2021-06-30T23:59:59") == "0123"
    if TYPES[name].tz:
        assert ids(store, f"{name}=2021-07-01T01:59:59+02:00") == ids(store, f"{name}=2021-06-30T23:59:59Z") == "4"
        assert ids(store, f"{name}<0001-01-01T00:00+14:00") == ""


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize(
    "value",
    ["", "soon", "2021-13", "2021-02-30", "21", "2021-6", "2021-06-01T25:00", "0000", "2021-06-01T", "20210601", "१९९९",
     "2021-06-01T10:00+99:99", 2021, 2021.5, True, None, {}],
)  # fmt: skip
def test_what_is_no_date_is_refused_by_column_and_type(store: Store, name: str, value: object):
    with pytest.raises(InvalidInput) as raised:
        filter_expression({name: {"ge": value}}, store.schema)
    assert f"{name} is {TYPES[name]}" in raised.value.message
    assert raised.value.param == "filter"


@pytest.mark.parametrize("name", DATES)
def test_a_date_has_no_time_of_day(store: Store, name: str):
    with pytest.raises(InvalidInput, match="compare it with a date as 2021-06"):
        filter_expression({name: "2021-06-01T10:00"}, store.schema)


def test_a_zone_needs_a_column_with_one(store: Store):
    for name in ("us", "date32"):
        with pytest.raises(InvalidInput):
            filter_expression({name: "2021-06-01T00:00Z"}, store.schema)
