"""A filter narrows a search, and nothing that a caller sends in one is read as SQL."""

from __future__ import annotations

import itertools
import math
import operator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from openclip_api.errors import InvalidInput, InvalidStore
from openclip_api.search.filters import conditions_expression, filter_expression, parse_condition
from openclip_api.search.store import Store

FIELDS = [
    ("id", pa.string()),
    ("path", pa.string()),
    ("price", pa.float64()),
    ("Stock", pa.int64()),
    ("weight", pa.float32()),
    ("stars", pa.int8()),
    ("sold", pa.bool_()),
    ("tags", pa.list_(pa.string())),
    ("root", pa.string()),
    ("entry", pa.string()),
    ("vector", pa.list_(pa.float32(), 2)),
]
SCHEMA = pa.schema(FIELDS)
HOSTILE = [
    "' OR 1=1 --",
    "'; DROP TABLE x; --",
    "''",
    "\\' OR '1'='1",
    "a`b",
    "%",
    "\0",
    "\ud83d\ude00"[:1] and "😀",
    "' OR ''='",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.create(tmp_path_factory.mktemp("store") / "s.lance", SCHEMA, "m", "f")
    rows = [
        {
            "id": str(n),
            "path": text,
            "price": n / 2,
            "Stock": n,
            "weight": n / 10,
            "stars": n,
            "sold": n % 2 == 0,
            "tags": [],
            "root": "/photos",
            "vector": [1, n],
        }
        for n, text in enumerate(HOSTILE)
    ]
    store.add(pa.Table.from_pylist(rows, SCHEMA))
    return store


def ids(store: Store, filter: dict | list[str]) -> list[str]:
    """Of what a request's filter leaves, or the command line's conditions."""
    expression = conditions_expression if isinstance(filter, list) else filter_expression
    return sorted(row["id"] for row in store.search([1, 0], 100, expression(filter, SCHEMA)))


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_string_finds_what_is_equal_to_it(store: Store, number: int):
    assert ids(store, {"path": HOSTILE[number]}) == [str(number)]
    assert ids(store, {"path": [HOSTILE[number]]}) == [str(number)]
    assert ids(store, [f"path={HOSTILE[number]}"]) == [str(number)]
    assert store.path_of(HOSTILE[number]) is None


def test_comparisons(store: Store):
    assert ids(store, {"price": {"ge": 1, "lt": 2}}) == ["2", "3"]
    assert ids(store, {"Stock": [1, 2], "sold": True}) == ["2"]
    assert ids(store, {"Stock": {"ne": 0}, "id": {"le": "2"}}) == ["1", "2"]
    assert ids(store, ["price>=1", "price<2", "sold=TRUE"]) == ["2"]
    assert ids(store, {"weight": 0.1}) == ids(store, {"weight": [0.1]}) == ["1"]  # 0.1 of float32 is another number
    assert ids(store, {"weight": {"ge": 0.1, "lt": 0.3}}) == ["1", "2"]
    assert ids(store, {"stars": {"lt": 1.5}}) == ids(store, {"Stock": [0, 1.0, 2.5]}) == ["0", "1"]
    assert ids(store, {"stars": {"lt": 300}}) == ids(store, {"stars": {"ge": -1000}}) == ids(store, {})
    assert ids(store, {}) == [str(n) for n in range(len(HOSTILE))]
    assert (
        ids(store, ["Stock!=0", "Stock!=1", "Stock<4"]) == ids(store, {"Stock": {"ne": [0, 1], "lt": 4}}) == ["2", "3"]
    )
    assert ids(store, ["id=1", "id=2"]) == []


@pytest.mark.parametrize(
    "filter",
    [
        {"nope": 1},
        {"1=1 OR id": "a"},
        {"id` = 'a' OR `id": "a"},
        {"vector": [1, 2]},
        {"tags": "a"},
        {"price": "1 OR 1=1"},
        {"price": True},
        {"price": float("nan")},
        {"price": float("inf")},
        {"Stock": 10**400},
        {"price": -(10**400)},
        {"weight": [float("-inf")]},
        {"id": "\ud800"},
        {"id": ["a", "\udfff"]},
        {"sold": 1},
        {"id": 7},
        {"id": None},
        {"id": []},
        {"id": ["a"] * 1001},
        {"id": {}},
        {"id": {"like": "a"}},
        {"id": {"eq": ["a"]}},
        {"id": {"ne": []}},
        {"id": {"ne": ["a"] * 1001}},
        {"id": {"ne": ["a", 1]}},
        {"root": "/photos"},
        {"id": [["a"]]},
    ],
)
def test_what_is_no_filter_is_refused(filter: dict):
    with pytest.raises(InvalidInput, match=r"^filter: "):
        filter_expression(filter, SCHEMA)


@pytest.mark.parametrize(
    "condition",
    ["", "price", "=1", "price=abc", "nope=1", "sold=maybe", "Stock=x", "price=nan", "price=1e999", "id=\udcff"],
)
def test_what_is_no_condition_is_refused(condition: str):
    with pytest.raises(InvalidInput, match=r"^filter: "):
        conditions_expression([condition], SCHEMA)


@pytest.mark.parametrize("name", ["a`b", "a.b", "a b", "1", "", "'"])
def test_a_column_that_cannot_be_named_safely_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidStore, match="cannot be in a store"):
        Store.create(tmp_path / "s.lance", pa.schema([*FIELDS, (name, pa.string())]), "m", "f")


# A column of each type that a filter may name, with the ends of its range, and then a row without a value.
TYPES = {
    **{name: getattr(pa, name)() for bits in (8, 16, 32, 64) for name in (f"int{bits}", f"uint{bits}")},
    **{f"float{bits}": getattr(pa, f"float{bits}")() for bits in (16, 32, 64)},
    "bool": pa.bool_(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}
OTHERS = {
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "duration": pa.duration("s"),
    "decimal": pa.decimal128(10, 2),
    "list": pa.list_(pa.int32()),
    "struct": pa.struct([("a", pa.int32())]),
    "binary": pa.binary(),
    "null": pa.null(),
}
NUMBERS = [
    *(0, 1, -1, 2, 127, 128, -128, -129, 160, 160.0, 160.5, -160.5, 255, 256, 0.5, -0.5, 0.1, 0.0, -0.0),
    *(2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 2**70),
    *(65504, 65505.0, 1e5, 1e-8, 1e38, 3.5e38, 1e308, -1e308, 5e-324, 10**300),
]
WORDS = ["", "a", "A", "b", "ab", "é", "😀", "z" * 100_000, "1", "true", "null", "160.5", "\0", "\uffff"]
WRONG = [None, [], {}, [[]], {"a": 1}, math.nan, math.inf, -math.inf, 10**400, b"a", "\ud800"]
SIGNS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def held(type: pa.DataType) -> list[Any]:
    """Values at which a comparison may go wrong."""
    if pa.types.is_boolean(type):
        return [True, False, None]
    if pa.types.is_integer(type):
        info = np.iinfo(type.to_pandas_dtype())
        inside = [n for n in NUMBERS if n == int(n) and info.min <= n <= info.max]
        return [*{int(n): None for n in (*inside, info.min, info.max, info.max - 1)}, None]
    if pa.types.is_floating(type):
        info = np.finfo(type.to_pandas_dtype())
        ends = [float(info.max), float(info.min), math.inf, -math.inf, math.nan]
        return [0.0, -0.0, 0.5, -0.5, 160.0, 160.5, 0.1, *ends, None]
    return [*WORDS, None]


@pytest.fixture(scope="module")
def all_types(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, list[Any]]]:
    """A store with all columns, and what they hold."""
    columns = {name: held(type) for name, type in TYPES.items()}
    count = max(map(len, columns.values()))
    columns = {name: values + [None] * (count - len(values)) for name, values in columns.items()}
    arrays = {name: pa.array(values, TYPES[name]) for name, values in columns.items() if name != "float16"}
    halves = columns["float16"]  # pa.array wants NumPy's own here
    arrays["float16"] = pa.array([None if value is None else np.float16(value) for value in halves], pa.float16())
    arrays |= {name: pa.nulls(count, type) for name, type in OTHERS.items()}
    arrays |= {
        "id": pa.array(map(str, range(count))),
        "path": pa.array([""] * count),
        "vector": pa.array([[1, n] for n in range(count)], pa.list_(pa.float32(), 2)),
    }
    table = pa.table(arrays)
    store = Store.create(tmp_path_factory.mktemp("types") / "s.lance", table.schema, "m", "f")
    store.add(table)
    return store, {name: table[name].to_pylist() for name in TYPES}


def kind(value: Any) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


def holds(value: Any, sign: str, wanted: Any, type: pa.DataType) -> bool:
    """In plain Python; whole numbers and what no type can hold are compared without rounding."""
    if value is None:
        return False
    if kind(value) is not float:
        return SIGNS[sign](value, wanted)
    value = float(value) if pa.types.is_floating(type) else value
    if pa.types.is_floating(type):
        with np.errstate(over="ignore"):
            rounded = float(np.array(float(wanted)).astype(type.to_pandas_dtype()))
        wanted = rounded if math.isfinite(rounded) else wanted
        return SIGNS[sign](value, wanted)
    return SIGNS[sign](Fraction(value), Fraction(wanted))


def found(store: Store, filter: dict) -> list[int]:
    rows = store.search([1, 0], 100, filter_expression(filter, store.schema))
    return sorted(int(row["id"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_compared_as_python_compares(all_types: tuple[Store, dict[str, list[Any]]], name: str):
    store, columns = all_types
    values, type = columns[name], TYPES[name]
    allowed = {"bool": [True, False]}.get(name, NUMBERS if "int" in name or "float" in name else WORDS)
    for sign, wanted in itertools.product(SIGNS, allowed):
        expected = [n for n, value in enumerate(values) if holds(value, sign, wanted, type)]
        assert found(store, {name: {sign: wanted}}) == expected, (sign, wanted)
    for wanted in (allowed, allowed[1:3], allowed[-1:]):
        expected = [n for n, value in enumerate(values) if any(holds(value, "eq", each, type) for each in wanted)]
        assert found(store, {name: wanted}) == expected, wanted


@pytest.mark.parametrize("name", [*TYPES, *OTHERS])
def test_what_a_type_is_not_compared_with_is_refused(all_types: tuple[Store, dict[str, list[Any]]], name: str):
    schema = all_types[0].schema
    samples = {bool: [True], float: [1, 0.5], str: ["a", "1", "true", "160.5"]}
    if name in TYPES:
        del samples[bool if name == "bool" else float if "int" in name or "float" in name else str]
    wrong = [*WRONG, *itertools.chain(*samples.values())]
    filters = [{name: wish} for value in wrong for wish in ([value], {"lt": value}, {"eq": value})]
    filters += [{name: value} for value in wrong]
    filters += [{name: {"like": "a"}}, {name: {"": 1}}, {name: {"eq": 1, "x": 2}}, {name: [1] * 1001}]
    for filter in filters:
        with pytest.raises(InvalidInput, match=r"^filter: .{10,200}$"):
            filter_expression(filter, schema)


@pytest.mark.parametrize("condition", ["int32<160.5", "int32<=160.0", "int8<2147483648", "uint64>=9223372036854775808"])
def test_the_command_line_compares_numbers_as_numbers_too(
    all_types: tuple[Store, dict[str, list[Any]]], condition: str
):
    store, columns = all_types
    filter = parse_condition(condition, store.schema)
    ((name, comparison),) = filter.items()
    ((sign, wanted),) = comparison.items()
    assert kind(wanted) is float
    expected = [n for n, value in enumerate(columns[name]) if holds(value, sign, wanted, TYPES[name])]
    assert found(store, filter) == expected
    assert expected
