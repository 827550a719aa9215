"""Rows → the bytes of a shard's files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Format = Literal["parquet", "npy", "jsonl", "lance"]
Dtype = Literal["float32", "float16"]
FOLDERS: dict[Format, str] = {"parquet": "vectors", "npy": "vectors", "jsonl": "vectors", "lance": "vectors.lance/data"}
Vector = NDArray[np.float32]  # [E]


@dataclass(frozen=True)
class Row:
    """What became of an item: a vector or an error. width and height: of the image as it came, in pixels."""

    id: str
    path: str
    vector: Vector | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None
    stamp: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """What the rows of a run have in common. extra: the types of the columns that are carried along."""

    embed_dim: int
    dtype: Dtype
    extra: Mapping[str, pa.DataType]

    @property
    def schema(self) -> pa.Schema:
        number = pa.float16() if self.dtype == "float16" else pa.float32()
        return pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("path", pa.string(), nullable=False),
                pa.field("vector", pa.list_(number, self.embed_dim)),
                pa.field("width", pa.int32()),
                pa.field("height", pa.int32()),
                pa.field("error", pa.string()),
                pa.field("stamp", pa.string()),  # of the item and its state: a later run knows it by that
                *(pa.field(name, type) for name, type in self.extra.items()),
            ]
        )

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """A row that failed has neither vector nor size."""
        names = ("id", "path", "width", "height", "error", "stamp")
        columns: dict[str, list[object] | pa.Array] = {name: [getattr(row, name) for row in rows] for name in names}
        columns |= {name: [row.extra.get(name) for row in rows] for name in self.extra}
        columns["vector"] = self._vectors(rows)
        return pa.table({name: columns[name] for name in self.schema.names}, schema=self.schema)

    def _vectors(self, rows: Sequence[Row]) -> pa.Array:
        flat = pa.array(self.matrix(rows).reshape(-1))
        missing = pa.array([row.vector is None for row in rows])
        return pa.FixedSizeListArray.from_arrays(flat, self.embed_dim, mask=missing)

    def matrix(self, rows: Sequence[Row]) -> NDArray[np.floating]:
        """[N, E], NaN where a row failed."""
        vectors = np.full((len(rows), self.embed_dim), np.nan, self.dtype)
        for index, row in enumerate(rows):
            if row.vector is not None:
                vectors[index] = row.vector
        return vectors


def _parquet(rows: Sequence[Row], layout: Layout) -> dict[str, bytes]:
    return {"parquet": parquet_bytes(layout.table(rows))}


def _npy(rows: Sequence[Row], layout: Layout) -> dict[str, bytes]:
    """The vectors in one file, the other columns in a second."""
    file = io.BytesIO()
    np.save(file, layout.matrix(rows))
    return {"npy": file.getvalue(), "parquet": parquet_bytes(layout.table(rows).drop_columns(["vector"]))}


def _jsonl(rows: Sequence[Row], layout: Layout) -> dict[str, bytes]:
    vectors = layout.matrix(rows).astype(np.float32)
    table = layout.table(rows).drop_columns(["vector"]).to_pylist()
    lines = (
        orjson.dumps(
            {**fields, "vector": None if row.vector is None else vector},
            default=str,
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
        )
        for fields, row, vector in zip(table, rows, vectors, strict=True)
    )
    return {"jsonl": b"".join(lines)}


def _lance(rows: Sequence[Row], layout: Layout) -> dict[str, bytes]:
    from .lance_table import shard_bytes  # needs the extra `lance`

    return {"lance": shard_bytes(layout.table(rows))}


WRITERS: dict[Format, Callable[[Sequence[Row], Layout], dict[str, bytes]]] = {
    "parquet": _parquet,
    "npy": _npy,
    "jsonl": _jsonl,
    "lance": _lance,
}


def read_columns(format: Format, path: Path, schema: pa.Schema) -> pa.Table | None:
    """These columns of one file of a shard. None for a .npy: the file beside it has them."""
    if format == "jsonl":
        with path.open("rb") as file:
            return pa.Table.from_pylist([orjson.loads(line) for line in file], schema)
    if format == "lance":
        from .lance_table import columns_of

        return columns_of(path, schema.names).cast(schema)
    return pq.ParquetFile(path).read(schema.names).cast(schema) if path.suffix == ".parquet" else None


FAILURES = pa.schema([("id", pa.string()), ("path", pa.string()), ("error", pa.string())])


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    others = [name for name in table.schema.names if name != "vector"]  # vectors hardly compress
    pq.write_table(
        table,
        sink,
        compression={name: "zstd" if name in others else "none" for name in table.schema.names},
        use_dictionary=others,
        # DuckDB 2.0 finds no failures in "where error is null" where all of a shard's errors are the same one
        write_statistics=[name for name in others if name != "error"],
    )
    return bytes(sink.getvalue())
