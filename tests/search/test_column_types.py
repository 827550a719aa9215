"""The columns of CSV, TSV and JSON lines have types, and filters compare as these."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openclip_api.errors import InvalidSource
from openclip_api.search.store import Store

UTC = timezone.utc
COLUMNS = {
    "whole": (["1", "", "-20", "NA"], pa.int64(), [1, None, -20, None]),
    "number": (["9", "10", "100", "2.5"], pa.float64(), [9.0, 10.0, 100.0, 2.5]),
    "large": (["1", "18446744073709551616", "2", "3"], pa.float64(), [1.0, 2.0**64, 2.0, 3.0]),
    "bool": (["true", "False", "TRUE", ""], pa.bool_(), [True, False, True, None]),
    "date": (["2021-06-01", "", "2020-02-29", ""], pa.date32(), [date(2021, 6, 1), None, date(2020, 2, 29), None]),
    "time": (["2021-06-01 10:00:00", "2021-06-01", "", "2021-06-01T10:00"], pa.timestamp("us"),
             [datetime(2021, 6, 1, 10), datetime(2021, 6, 1), None, datetime(2021, 6, 1, 10)]),
    "zoned": (["2021-06-01T10:00:00Z", "2021-06-01 10:00:00+02:00", "", ""], pa.timestamp("us", "UTC"),
              [datetime(2021, 6, 1, 10, tzinfo=UTC), datetime(2021, 6, 1, 8, tzinfo=UTC), None, None]),
    "code": (["007", "10", "20", "30"], pa.string(), ["007", "10", "20", "30"]),
    "mixed": (["1", "a", "", "NA"], pa.string(), ["1", "a", "", "NA"]),
    "nothing": (["", "", "", ""], pa.string(), [None, None, None, None]),
}  # fmt: skip


def written(folder: Path) -> tuple[pa.Schema, pa.Table]:
    table = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "out" / "vectors").glob("*.parquet"))])
    return table.schema, table


def table_file(folder: Path, suffix: str) -> Path:
    path = folder / f"t{suffix}"
    separator = "\t" if suffix == ".tsv" else ","
    lines = [separator.join(["title", *COLUMNS])]
    lines += [separator.join([f"title {row}", *(values[row] for values, _, _ in COLUMNS.values())]) for row in range(4)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_column_s_type_is_that_of_all_its_values(tmp_path: Path, run, suffix: str):
    names = ",".join(COLUMNS)
    source = table_file(tmp_path, suffix)
    assert run(source, "--text-column", "title", "--keep", names, "--out", tmp_path / "out") == 0
    schema, table = written(tmp_path)
    for name, (_, type, values) in COLUMNS.items():
        assert schema.field(name).type == type, name
        assert table[name].to_pylist() == values, name


def test_the_last_row_of_many_counts_too(tmp_path: Path, index, search, capsys):
    path = tmp_path / "t.csv"
    path.write_text("title,price\n" + "".join(f"thing {n % 50},{n}\n" for n in range(7000)) + "thing,0.5\n")
    assert index(path, "--text-column", "title", "--keep", "price", store=tmp_path / "s.lance") == 0
    capsys.readouterr()
    assert search("thing", "--filter", "price<1", "--copies", "--json", store=tmp_path / "s.lance") == 0
    assert sorted(json.loads(line)["price"] for line in capsys.readouterr().out.splitlines()) == [0, 0.5]


def test_json_lines_keep_what_json_says(tmp_path: Path, run):
    rows = [
        {"title": "a", "n": 1, "x": 1, "flag": True, "text": "10", "day": "2021-06-01", "any": 1, "list": [1]},
        {"title": "b", "n": None, "x": 2.5, "flag": False, "text": "2", "day": None, "any": "one", "list": {"a": 1}},
        {"title": "c"},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keep = "n,x,flag,text,day,any,list"
    run(tmp_path / "t.jsonl", "--text-column", "title", "--keep", keep, "--out", tmp_path / "out")
    schema, table = written(tmp_path)
    assert [str(schema.field(name).type) for name in keep.split(",")] == [
        "int64", "double", "bool", "string", "date32[day]", "string", "string"]  # fmt: skip
    assert table["any"].to_pylist() == ["1", "one", None]
    assert table["list"].to_pylist() == ["[1]", '{"a":1}', None]
    assert table["x"].to_pylist() == [1.0, 2.5, None]


def test_column_type_overrules(tmp_path: Path, run, capsys):
    (tmp_path / "t.csv").write_text("title,price,code\na,9,007\nb,abc,8\nc,10,9\n")
    options = ["--text-column", "title", "--keep", "price,code", "--out", tmp_path / "out"]
    types = ["--column-type", "price=float64", "--column-type", "code=int64"]
    assert run(tmp_path / "t.csv", *options, *types) == 3
    schema, table = written(tmp_path)
    assert (str(schema.field("price").type), str(schema.field("code").type)) == ("double", "int64")
    assert table["code"].to_pylist() == [7, 8, 9]
    assert table["error"].to_pylist() == [None, "the value in column 'price' is not double", None]
    with pytest.raises(InvalidSource, match="--column-type: name a column that --keep carries along"):
        run(tmp_path / "t.csv", *options, "--column-type", "title=string")
    for wrong in ("price", "price=", "price=text", "=int64"):
        with pytest.raises(SystemExit):
            run(tmp_path / "t.csv", *options, "--column-type", wrong)
        assert "write it as NAME=TYPE" in capsys.readouterr().err


def test_two_files_of_two_types(tmp_path: Path, run, index, capsys):
    (tmp_path / "a.csv").write_text("title,price\na,1\n")
    (tmp_path / "b.csv").write_text("title,price\nb,2.5\n")
    (tmp_path / "c.csv").write_text("title,price\nc,cheap\n")
    options = ["--text-column", "title", "--keep", "price"]
    run(tmp_path / "a.csv", tmp_path / "b.csv", *options, "--out", tmp_path / "out")
    assert written(tmp_path)[1]["price"].to_pylist() == [1.0, 2.5]
    store = tmp_path / "s.lance"
    assert index(tmp_path / "b.csv", *options, store=store) == 0
    assert index(tmp_path / "a.csv", *options, store=store) == 0  # whole numbers are numbers
    assert index(tmp_path / "c.csv", *options, "--column-type", "price=float64", store=store) == 3
    assert Store(store).schema.field("price").type == pa.float64()
    assert index(tmp_path / "c.csv", *options, store=store) == 0
    assert "column 'price' becomes text, as some values are not double; with --column-type" in capsys.readouterr().err
    assert sorted(Store(store).columns(["price"])["price"].to_pylist()) == ["1", "2.5", "cheap"]
    assert index(tmp_path / "a.csv", tmp_path / "b.csv", *options, store=store) == 0
    assert index(tmp_path / "a.csv", *options, store=store) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 item: 1 unchanged"


@pytest.mark.parametrize(
    ("before", "after", "type", "condition", "found"),
    [
        ("9", "2.5", pa.float64(), "price<3", "b"),
        ("9", "ten", pa.string(), "price=9", "a"),
        ("2.50", "none at all", pa.string(), "price=2.50", "a"),
        ("", "5", pa.int64(), "price<6", "b"),
        ("true", "3", pa.string(), "price=true", "a"),
        ("2021-01-02", "2022-01-02 10:00:00", pa.timestamp("us"), "price<2022", "a"),
        ("2021-01-02 10:00:00", "soon", pa.string(), "price=2021-01-02 10:00:00", "a"),
        ("9223372036854775807", "1.5", pa.float64(), "price<2", "b"),
    ],
)
def test_a_column_widens_between_runs(tmp_path: Path, index, search, capsys, before, after, type, condition, found):
    path, store = tmp_path / "t.csv", tmp_path / "s.lance"
    options = ["--text-column", "sku", "--id-column", "sku", "--keep", "price"]
    path.write_text(f"sku,price\na,{before}\n")
    assert index(path, *options, store=store) == 0
    path.write_text(f"sku,price\na,{before}\nb,{after}\n")
    assert index(path, *options, store=store) == 0
    assert Store(store).schema.field("price").type == type
    capsys.readouterr()
    assert search("x", "--filter", condition, "--json", store=store) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [found]
    assert index(path, *options, store=store) == 0
    assert capsys.readouterr().out == "2 items: 2 unchanged\n"


def test_a_table_that_gets_other_values_stays_in_step(tmp_path: Path, index, search, capsys):
    """Whole numbers become numbers, dates become times; rows without a vector stay, and so does the store's model."""
    path, store = tmp_path / "t.csv", tmp_path / "s.lance"
    options = ["--text-column", "title", "--keep", "price,day"]
    path.write_text("title,price,day\na,9,2021-06-01\nb,10,2021-06-02\n,11,2021-06-03\n")
    assert index(path, *options, store=store) == 3
    path.write_text(path.read_text() + "c,2.5,2021-06-04 10:00:00\n")
    assert index(path, *options, store=store) == 3
    assert Store(store).origin is not None
    opened = Store(store)
    assert opened.columns(["price"])["price"].to_pylist().count(11.0) == 1
    assert len(opened) == 3
    capsys.readouterr()
    search("a", "--filter", "price<10", "--filter", "day>=2021-06", "--copies", "--json", store=store)
    assert sorted(json.loads(line)["price"] for line in capsys.readouterr().out.splitlines()) == [2.5, 9]
    assert index(path, *options, store=store) == 3
    assert "new" not in capsys.readouterr().out


def test_filters_compare_as_the_column_s_type(tmp_path: Path, index, search, capsys):
    """The example of docs/search.md."""
    (tmp_path / "t.csv").write_text("title,price\na,9\nb,10\nc,100\nd,2.5\n")
    store = tmp_path / "s.lance"
    index(tmp_path / "t.csv", "--text-column", "title", "--keep", "price", store=store)

    def prices(*conditions: str) -> list[float]:
        capsys.readouterr()
        search("a", "--copies", "--json", *(part for one in conditions for part in ("--filter", one)), store=store)
        return sorted(json.loads(line)["price"] for line in capsys.readouterr().out.splitlines())

    assert prices("price<10") == [2.5, 9]
    assert prices("price!=9", "price!=10") == [2.5, 100]
    assert prices("price>=9", "price>9") == [10, 100]
    with pytest.raises(InvalidSource, match="price is double: compare it with a number"):
        prices("price<cheap")


def test_a_column_without_values_takes_the_others_type(tmp_path: Path, index, search, capsys):
    (tmp_path / "a.csv").write_text("title,price\na,9\nb,10\n")
    (tmp_path / "b.csv").write_text("title,price\nc,\n")
    store = tmp_path / "s.lance"
    options = ("--text-column", "title", "--keep", "price")
    index(tmp_path / "a.csv", tmp_path / "b.csv", *options, store=store)
    assert index(tmp_path / "b.csv", *options, store=store) == 0
    (tmp_path / "a.csv").write_text("title,price\na,\nb,\n")
    assert index(tmp_path / "a.csv", *options, store=store) == 0
    assert Store(store).columns(["price"])["price"].to_pylist() == [None] * 3
