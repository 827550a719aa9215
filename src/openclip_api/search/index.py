"""openclip-api index SOURCE... --store NAME.lance"""

from __future__ import annotations

import os
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..bulk.command import embed
from ..bulk.item_embedder import LoadModel
from ..bulk.items import printable
from ..bulk.ledger import RecordedRun, read_run
from ..bulk.options import EmbedOptions, SourceOptions
from ..errors import InvalidSource
from ..runtime.embedding import unit_length
from ..settings import Settings
from .options import IndexOptions, store_path
from .schema import store_schema, stored_name
from .store import Store


def index(options: IndexOptions, settings: Settings, load: LoadModel) -> int:
    """Add a source's vectors or those of a run of `embed` to the store, or delete ids from it.

    Returns what `embed` returns; 1 if an id to delete was not there. Raises RunError, StartupError.
    """
    if bool(options.source) + (options.embeddings is not None) + bool(options.delete) != 1:
        raise InvalidSource("name either a SOURCE, or --embeddings OUT, or --delete ID")
    path = store_path(settings)
    if options.delete:
        store = Store(path)
        before = len(store)
        store.delete([printable(id) for id in options.delete])
        deleted = before - len(store)
        print(f"{deleted} of {len(options.delete)} ids removed, {len(store):,} rows left")
        return 0 if deleted == len(options.delete) else 1
    code = 0
    folder = options.embeddings
    if folder is None:
        folder = path.with_name(f"{path.stem}.embeddings")  # an interrupted run continues from there
        code = embed(_embed_options(options, folder), settings, load)
    store = _add_run(folder, path)
    recall = store.build_index(options.exact_below)
    if options.embeddings is None:
        shutil.rmtree(folder)
    how = "exact search" if recall is None else f"IVF-PQ index, recall@10 {recall:.3f} against exact search"
    print(f"{path}: {len(store):,} rows, {how}")
    return code


def _embed_options(options: IndexOptions, out: Path) -> EmbedOptions:
    chosen = {field.name: getattr(options, field.name) for field in fields(SourceOptions)}
    return EmbedOptions(
        **chosen, out=out, format="parquet", dtype="float32", normalize=True, shard_rows=10_000, server=[], ray=None
    )


def _add_run(out: Path, path: Path) -> Store:
    """Add the rows of a run of `embed` to a store; create it if there is none. Raises InvalidStore, InvalidSource."""
    run = _complete_run(out)
    shards = [pq.ParquetFile(run.folder / shard.files[0].name) for shard in run.shards]
    schema = shards[0].schema_arrow
    extra = _extra_columns(schema)
    if path.exists():
        store = Store(path)
        store.check(run.fingerprint)
        store.add_columns(extra)
    else:
        dimensions = schema.field("vector").type.list_size
        store = Store.create(path, store_schema(dimensions, extra), run.model_id, run.fingerprint)
    for shard in shards:
        store.add(_store_rows(shard.read(), stored_name(str(out.resolve())), store.schema))
    store.optimize()
    return store


def _complete_run(out: Path) -> RecordedRun:
    run = read_run(out)
    if run.format != "parquet":
        raise InvalidSource(f"{out}: embed with --format parquet")
    if not run.is_complete:
        raise InvalidSource(f"{out}: not finished; run openclip-api embed again")
    return run


def _extra_columns(schema: pa.Schema) -> dict[str, pa.DataType]:
    """The columns of a shard that --keep named."""
    own = ("id", "path", "vector", "width", "height", "error")
    return {field.name: field.type for field in schema if field.name not in own}


def _store_rows(table: pa.Table, root: str, schema: pa.Schema) -> pa.Table:
    """The rows that have a vector, scaled to unit length. Paths of files that exist become absolute."""
    table = table.filter(pc.is_null(table["error"]))
    vectors = table["vector"].combine_chunks()
    size = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    unit = unit_length(flat.reshape(-1, size)).reshape(-1)
    paths = [os.path.abspath(path) if os.path.exists(path) else path for path in table["path"].to_pylist()]  # noqa: PTH100, PTH110
    columns = {name: table[name] for name in table.schema.names if name in schema.names}
    columns |= {"vector": pa.FixedSizeListArray.from_arrays(pa.array(unit), size), "path": pa.array(paths)}
    columns |= {"root": pa.array([root] * len(table)), "entry": table["id"]}
    missing = pa.nulls(len(table))
    return pa.table({name: columns.get(name, missing) for name in schema.names}).cast(schema)
