"""Rows of CSV, JSON-lines and Parquet files: one column says what to embed, others come along."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InvalidSource
from ..inputs.base64_image import decode_image
from .items import Item, Unreadable, as_it_is, image_file, printable, unreadable

Role = Literal["path", "url", "image", "text"]
Row = Mapping[str, Any] | str  # or why it cannot be read
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
LONGEST_LINE = 64_000_000  # bytes; a base64 image of the largest size is shorter
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Columns:
    """Which column holds what to embed, and as what; which the id; which are carried along."""

    role: Role
    name: str
    id: str | None = None
    keep: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys([self.name, *([self.id] if self.id else []), *self.keep]))


@dataclass(frozen=True)
class Reading:
    """How contents are read: most bytes of one image, and how a URL's are fetched."""

    max_bytes: int
    fetch: Callable[[str], bytes]


def table_items(path: str, columns: Columns, reading: Reading) -> Iterator[Item]:
    """An item a row; its id is the id column's value, else the file's name and the row's number.

    Raises InvalidSource for a file that is not a table, or lacks a column.
    """
    name = os.path.basename(path)
    for number, row in enumerate(_rows(path, columns), 1):
        id = f"{name}:{number}"
        kind: Literal["text", "image"] = "text" if columns.role == "text" else "image"
        if isinstance(row, str):
            yield unreadable(id, path, kind, row)
            continue
        if columns.id is not None:
            if row[columns.id] in (None, ""):
                raise InvalidSource(f"{path}: row {number} has nothing in its id column {columns.id!r}")
            id = str(row[columns.id])
        yield row_item(id, path, row, columns, reading)


def row_item(id: str, table: str, row: Mapping[str, Any], columns: Columns, reading: Reading) -> Item:
    value, extra = row[columns.name], {name: row[name] for name in columns.keep}
    kind: Literal["text", "image"] = "text" if columns.role == "text" else "image"
    if value is None or value == "":
        return unreadable(id, table, kind, f"nothing in column {columns.name!r}", extra)
    if columns.role == "image":
        if isinstance(value, dict) and value.get("bytes") is None and isinstance(value.get("path"), str):
            return _file(id, value["path"], table, reading, extra)
        return Item(id, table, "image", partial(_image, value), _stamp(value), extra=extra)
    if not isinstance(value, str):
        return unreadable(id, table, kind, f"column {columns.name!r} holds no string", extra)
    if columns.role == "path":
        return _file(id, value, table, reading, extra)
    if value != printable(value):
        return unreadable(id, table, kind, f"column {columns.name!r} is not UTF-8", extra)
    if columns.role == "text":
        return Item(id, table, "text", partial(as_it_is, value), value, extra=extra)
    return Item(id, value, "image", partial(reading.fetch, value), value, extra=extra)


def _file(id: str, path: str, table: str, reading: Reading, extra: Mapping[str, Any]) -> Item:
    return image_file(id, os.path.join(os.path.dirname(table), path), reading.max_bytes, extra)


def _image(value: Any) -> bytes:
    """Bytes, base64, a data URI, or those of Hugging Face's datasets: {"bytes": ..., "path": ...}."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Unreadable("neither base64 nor bytes")
    return decode_image(value, "image")


def _stamp(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def kept_types(path: str, keep: tuple[str, ...]) -> dict[str, pa.DataType]:
    """The types of the columns carried along: Parquet's own; of other files all are strings."""
    if path.lower().endswith(".parquet"):
        schema = _parquet(path).schema_arrow
        return {name: schema.field(name).type for name in keep if name in schema.names}
    return dict.fromkeys(keep, pa.string())


def _rows(path: str, columns: Columns) -> Iterator[Row]:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".parquet":
        return _parquet_rows(path, columns)
    return _json_rows(path, columns) if suffix in (".jsonl", ".ndjson") else _csv_rows(path, columns, suffix)


def _csv_rows(path: str, columns: Columns, suffix: str) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_LINE)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
        try:
            _check(path, columns.all, reader.fieldnames or [])
            for row in reader:
                yield {name: row[name] for name in columns.all}
        except csv.Error as error:
            raise InvalidSource(f"{path}: line {reader.line_num}: {error}") from error


def _json_rows(path: str, columns: Columns) -> Iterator[Row]:
    for _, line in lines(path):
        if isinstance(line, str):
            yield line
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            yield "the line is not a JSON object"
        else:
            # values of a column may differ in type from line to line: all are kept as they stand in the file
            kept = {name: _as_string(row.get(name)) for name in columns.keep}
            yield {columns.name: row.get(columns.name)} | {columns.id or "": row.get(columns.id or "")} | kept


def _as_string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def lines(path: str, longest: int = LONGEST_LINE) -> Iterator[tuple[int, bytes | str]]:
    """The lines of a file that are not blank, with their numbers; a str tells why one cannot be read."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                while line and not line.endswith(b"\n"):
                    line = file.readline(longest)
                yield number, f"the line is longer than {longest / 1e6:g} MB"
            elif line.strip():
                yield number, line


def _parquet_rows(path: str, columns: Columns) -> Iterator[Row]:
    file = _parquet(path)
    _check(path, columns.all, file.schema_arrow.names)
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns.all):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InvalidSource(f"{path}: {error}") from error


def _parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidSource(f"{path}: not a Parquet file") from error


def _check(path: str, wanted: list[str], found: Any) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise InvalidSource(f"{path}: no column {missing[0]!r}; it has {', '.join(map(repr, found)) or 'none'}")
