"""A filter narrows a search, and nothing that a caller sends in one is read as SQL."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from openclip_api.errors import InvalidInput, InvalidStore
from openclip_api.search.filters import filter_expression, parse_conditions
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
            "vector": [1, n],
        }
        for n, text in enumerate(HOSTILE)
    ]
    store.add(pa.Table.from_pylist(rows, SCHEMA))
    return store


def ids(store: Store, filter: dict) -> list[str]:
    return sorted(row["id"] for row in store.search([1, 0], 100, filter_expression(filter, SCHEMA)))


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_string_finds_what_is_equal_to_it(store: Store, number: int):
    assert ids(store, {"path": HOSTILE[number]}) == [str(number)]
    assert ids(store, {"path": [HOSTILE[number]]}) == [str(number)]
    assert ids(store, parse_conditions([f"path={HOSTILE[number]}"], SCHEMA)) == [str(number)]
    assert store.path_of(HOSTILE[number]) is None


def test_comparisons(store: Store):
    assert ids(store, {"price": {"ge": 1, "lt": 2}}) == ["2", "3"]
    assert ids(store, {"Stock": [1, 2], "sold": True}) == ["2"]
    assert ids(store, {"Stock": {"ne": 0}, "id": {"le": "2"}}) == ["1", "2"]
    assert ids(store, parse_conditions(["price>=1", "price<2", "sold=TRUE"], SCHEMA)) == ["2"]
    assert ids(store, {"weight": 0.1}) == ids(store, {"weight": [0.1]}) == ["1"]  # 0.1 of float32 is another number
    assert ids(store, {"weight": {"ge": 0.1, "lt": 0.3}}) == ["1", "2"]
    assert ids(store, {"stars": {"lt": 1.5}}) == ids(store, {"Stock": [0, 1.0, 2.5]}) == ["0", "1"]
    assert ids(store, {"stars": {"lt": 300}}) == ids(store, {"stars": {"ge": -1000}}) == ids(store, {})
    assert ids(store, {}) == [str(n) for n in range(len(HOSTILE))]


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
        {"sold": 1},
        {"id": 7},
        {"id": None},
        {"id": []},
        {"id": ["a"] * 1001},
        {"id": {}},
        {"id": {"like": "a"}},
        {"id": {"eq": ["a"]}},
        {"id": [["a"]]},
    ],
)
def test_what_is_no_filter_is_refused(filter: dict):
    with pytest.raises(InvalidInput, match=r"^filter: "):
        filter_expression(filter, SCHEMA)


@pytest.mark.parametrize("condition", ["", "price", "=1", "price=abc", "nope=1", "sold=maybe", "Stock=1.5"])
def test_what_is_no_condition_is_refused(condition: str):
    with pytest.raises(InvalidInput, match=r"^filter: "):
        filter_expression(parse_conditions([condition], SCHEMA), SCHEMA)


@pytest.mark.parametrize("name", ["a`b", "a.b", "a b", "1", "", "'"])
def test_a_column_that_cannot_be_named_safely_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidStore, match="cannot be in a store"):
        Store.create(tmp_path / "s.lance", pa.schema([*FIELDS, (name, pa.string())]), "m", "f")
