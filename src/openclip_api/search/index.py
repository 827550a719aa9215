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
from ..errors import InvalidSource, InvalidStore
from ..runtime.embedding import unit_length
from ..settings import Settings
from .options import IndexOptions, store_path
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
        deleted = store.delete([printable(id) for id in options.delete])
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
    if path.exists():
        store = Store(path)
        store.check(run.fingerprint)
        if store.schema.names != _store_columns(schema).names:
            raise InvalidStore(
                f"{path}: has the columns {', '.join(store.schema.names)}, {out} {', '.join(schema.names)}"
            )
    else:
        store = Store.create(path, _store_columns(schema), run.model_id, run.fingerprint)
    for shard in shards:
        store.add(_store_rows(shard.read(), store.schema))
    store.optimize()
    return store


def _complete_run(out: Path) -> RecordedRun:
    run = read_run(out)
    if run.format != "parquet":
        raise InvalidSource(f"{out}: embed with --format parquet")
    if not run.is_complete:
        raise InvalidSource(f"{out}: not finished; run openclip-api embed again")
    return run


def _store_columns(schema: pa.Schema) -> pa.Schema:
    """A shard's columns without `error`; vectors are float32 in a store."""
    dimensions = schema.field("vector").type.list_size
    kept = [field for field in schema if field.name not in ("vector", "error")]
    return pa.schema([*kept, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _store_rows(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows that have a vector, scaled to unit length. Paths of files that exist become absolute."""
    table = table.filter(pc.is_null(table["error"]))
    vectors = table["vector"].combine_chunks()
    size = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    unit = unit_length(flat.reshape(-1, size)).reshape(-1)
    paths = [os.path.abspath(path) if os.path.exists(path) else path for path in table["path"].to_pylist()]  # noqa: PTH100, PTH110
    columns = {name: table[name] for name in schema.names if name not in ("vector", "path")}
    columns |= {"vector": pa.FixedSizeListArray.from_arrays(pa.array(unit), size), "path": pa.array(paths)}
    return pa.table({name: columns[name] for name in schema.names})
