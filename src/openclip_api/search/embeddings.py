"""index --embeddings OUT: the rows of a run of `openclip-api embed`, as they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..bulk.ledger import RecordedRun, read_run
from ..bulk.places import absolute
from ..errors import InvalidSource
from ..runtime.embedding import unit_length
from .lock import has_table
from .look import StoreRows
from .schema import free_id, store_schema, stored_name
from .store import Store

OWN = frozenset({"id", "path", "vector", "width", "height", "error", "stamp"})


def add_run(out: Path, path: Path) -> Store:
    """Make the rows of this root those of the run; create the store if there is none.

    Raises InvalidStore, InvalidSource.
    """
    run = _complete_run(out)
    shards = [pq.ParquetFile(run.folder / shard.files[0].name) for shard in run.shards]
    schema = shards[0].schema_arrow
    extra = {field.name: field.type for field in schema if field.name not in OWN}
    if has_table(path):
        store = Store(path)
        store.check(run.fingerprint)
        store.add_columns(extra)
    else:
        columns = store_schema(schema.field("vector").type.list_size, extra)
        store = Store.create(path, columns, run.model_id, run.fingerprint)
    rows, root = StoreRows(store), absolute(str(out))
    ids = {row.key[1]: row.id for row in rows.all if row.root == root and isinstance(row.key, tuple)}
    gone = dict(ids)
    no_longer = {(row.shard, row.row) for row in run.gone}
    for recorded, shard in zip(run.shards, shards, strict=True):
        table = shard.read()
        there = pa.array([(recorded.number, row) not in no_longer for row in range(len(table))], pa.bool_())
        table = table.filter(pc.and_(pc.is_null(table["error"]), there))
        for entry in table["id"].to_pylist():
            gone.pop(entry, None)
            if entry not in ids:
                ids[entry] = free_id(stored_name(root), "", entry, rows.ids)
                rows.ids.add(ids[entry])
        store.add(_store_rows(table, stored_name(root), ids, store.schema))
    store.delete(list(gone.values()))
    store.optimize()
    return store


def _complete_run(out: Path) -> RecordedRun:
    run = read_run(out)
    if run.format != "parquet":
        raise InvalidSource(f"{out}: embed with --format parquet")
    if not run.is_complete:
        raise InvalidSource(f"{out}: not finished; run openclip-api embed again")
    return run


def _store_rows(table: pa.Table, root: str, ids: dict[str, str], schema: pa.Schema) -> pa.Table:
    """A shard's rows with vectors of unit length. Paths of files that exist become absolute."""
    vectors = table["vector"].combine_chunks()
    size = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    unit = unit_length(flat.reshape(-1, size)).reshape(-1)
    paths = [os.path.abspath(path) if os.path.exists(path) else path for path in table["path"].to_pylist()]
    columns = {name: table[name] for name in table.schema.names if name in schema.names and name != "stamp"}
    columns |= {"vector": pa.FixedSizeListArray.from_arrays(pa.array(unit), size), "path": pa.array(paths)}
    columns |= {"root": pa.array([root] * len(table)), "entry": table["id"]}
    columns["id"] = pa.array([ids[entry] for entry in table["id"].to_pylist()])
    missing = pa.nulls(len(table))
    return pa.table({name: columns.get(name, missing) for name in schema.names}).cast(schema)
