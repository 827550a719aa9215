"""Rows of CSV, JSON-lines and Parquet files: one column says what to embed, others are carried along."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DamagedSource, InvalidSource, first_line
from ..inputs.base64_image import decode_image
from ..runtime.embedding import Kind
from .column_types import ColumnType, Types, as_type
from .items import SourceItem, Unreadable, image_file_item, known_content, printable, unreadable_item

Role = Literal["path", "url", "image", "text"]
TableRow = Mapping[str, object] | str  # a str says why the row cannot be read
JSON_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES, ".parquet")
LONGEST_LINE = 64_000_000  # bytes; longer than the base64 form of an image of the default MAX_BODY_MB
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Columns:
    """Which column says what to embed, which one is the id, and which are carried along.

    role: what a value of `name` is: an image's path or URL, an image itself, or a text.
    name: None where nobody named a column, which only tables need.
    """

    role: Role = "image"
    name: str | None = None
    id: str | None = None
    keep: tuple[str, ...] = ()
    types: Types = field(default_factory=dict)  # of --column-type: kept columns of CSV and JSON files

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys([self.column, *([self.id] if self.id else []), *self.keep]))

    @property
    def column(self) -> str:
        assert self.name is not None, "Sources refuses a table without one"
        return self.name


@dataclass(frozen=True)
class ImageAccess:
    """How images are read: the most bytes of one, and what fetches those that are given as URLs."""

    max_bytes: int
    fetch: Callable[[str], bytes]


def table_items(path: str, columns: Columns, access: ImageAccess, types: Types) -> Iterator[SourceItem]:
    """An item a row; its id is the id column's value, else the file's name and the row's number.

    types: of the kept columns. A row with a value that its column's type cannot hold is an item that fails.
    Raises InvalidSource for a file that is not a table, or lacks a column.
    """
    name = os.path.basename(path)
    for number, row in enumerate(_rows(path, columns), 1):
        id = f"{name}:{number}"
        kind: Kind = "text" if columns.role == "text" else "image"
        if isinstance(row, str):
            yield unreadable_item(id, path, kind, row, source=path, entry=id)
            continue
        if columns.id is not None:
            if row[columns.id] in (None, ""):
                raise InvalidSource(f"{path}: row {number} is empty in its id column {columns.id!r}")
            id = str(row[columns.id])
        extra, problem = ({name: row[name] for name in columns.keep}, None) if is_typed(path) else _typed(row, types)
        if problem is not None:
            yield unreadable_item(id, path, kind, problem, source=path, entry=id, extra=extra)
            continue
        yield _row_item(id, path, row[columns.column], extra, columns, access)


def _typed(row: Mapping[str, object], types: Types) -> tuple[dict[str, object], str | None]:
    """The values of the kept columns, and why one is none of its type."""
    extra: dict[str, object] = {}
    problem = None
    for name, type in types.items():
        try:
            extra[name] = as_type(row[name], type)
        except ValueError:
            extra[name], problem = None, f"the value in column {name!r} is not {type}"
    return extra, problem


def _row_item(
    id: str, table: str, value: object, extra: Mapping[str, object], columns: Columns, access: ImageAccess
) -> SourceItem:
    kind: Kind = "text" if columns.role == "text" else "image"
    unreadable = partial(unreadable_item, id, table, kind, source=table, entry=id, extra=extra)
    item = partial(SourceItem, id, source=table, entry=id, extra=extra)
    if value is None or value == "":
        return unreadable(f"column {columns.name!r} is empty")
    if columns.role == "image":
        if isinstance(value, dict) and value.get("bytes") is None and isinstance(value.get("path"), str):
            return _file(id, value["path"], table, access, extra)
        return item(table, "image", partial(_image_bytes, value), _stamp(value))
    if not isinstance(value, str):
        return unreadable(f"column {columns.name!r} holds no string")
    if columns.role == "path":
        return _file(id, value, table, access, extra)
    if value != printable(value):
        return unreadable(f"column {columns.name!r} is not UTF-8")
    if columns.role == "text":
        return item(table, "text", partial(known_content, value), value)
    return item(value, "image", partial(access.fetch, value), value)


def _file(id: str, path: str, table: str, access: ImageAccess, extra: Mapping[str, object]) -> SourceItem:
    path = os.path.join(os.path.dirname(table), path)
    return image_file_item(id, path, access.max_bytes, source=table, entry=id, extra=extra)


def _image_bytes(value: object) -> bytes:
    """From bytes, base64, a data URI, or what Hugging Face's datasets hold: {"bytes": ..., "path": ...}."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Unreadable("neither base64 nor bytes")
    return decode_image(value, "image")


def _stamp(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def is_typed(path: str) -> bool:
    """Whether the file itself says what its columns hold."""
    return path.lower().endswith(".parquet")


def kept_types(path: str, columns: Columns) -> dict[str, pa.DataType]:
    """The types of the columns that are carried along: Parquet's own, else those of --column-type or of all values.

    Reads the whole file if it has to. Raises as `table_items` does.
    """
    if is_typed(path):
        schema = _parquet(path).schema_arrow
        return {name: schema.field(name).type for name in columns.keep if name in schema.names}
    is_json = path.lower().endswith(JSON_SUFFIXES)
    unknown = {name: ColumnType(is_json) for name in columns.keep if name not in columns.types}
    for row in _rows(path, columns) if unknown else ():
        if not isinstance(row, str):
            for name, values in unknown.items():
                values.add(row[name])
    return {name: unknown[name].type if name in unknown else columns.types[name] for name in columns.keep}


def _rows(path: str, columns: Columns) -> Iterator[TableRow]:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".parquet":
        return _parquet_rows(path, columns)
    return _json_rows(path, columns) if suffix in JSON_SUFFIXES else _csv_rows(path, columns, suffix)


def _csv_rows(path: str, columns: Columns, suffix: str) -> Iterator[TableRow]:
    csv.field_size_limit(LONGEST_LINE)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
        try:
            _check(path, columns.all, reader.fieldnames or [])
            for row in reader:
                yield {name: row[name] for name in columns.all}
        except csv.Error as error:
            raise DamagedSource(f"{path}: line {reader.line_num}: {error}") from error


def _json_rows(path: str, columns: Columns) -> Iterator[TableRow]:
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
            yield {name: row.get(name) for name in columns.all}


def lines(path: str, longest: int = LONGEST_LINE) -> Iterator[tuple[int, bytes | str]]:
    """The lines of a file that are not blank, with their numbers. A str says why a line cannot be read."""
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


def _parquet_rows(path: str, columns: Columns) -> Iterator[TableRow]:
    file = _parquet(path)
    _check(path, columns.all, file.schema_arrow.names)
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns.all):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DamagedSource(f"{path}: {first_line(error)}") from error


def _parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DamagedSource(f"{path}: not a Parquet file") from error


def _check(path: str, wanted: list[str], found: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise InvalidSource(f"{path}: no column {missing[0]!r}; it has {', '.join(map(repr, found)) or 'none'}")
