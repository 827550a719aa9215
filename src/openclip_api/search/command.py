"""openclip-api index SOURCE... --store NAME.lance, and openclip-api search --store NAME.lance TEXT"""

from __future__ import annotations

import html
import json
import os
import shutil
import sys
import tempfile
import webbrowser
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..bulk.command import embed
from ..bulk.formats import FOLDERS
from ..bulk.items import read_file
from ..bulk.ledger import MANIFEST
from ..bulk.options import Options, SourceOptions
from ..errors import InvalidInput, InvalidSource, InvalidStore, RequestError
from ..runtime.embedder import Embedder
from ..runtime.embedding import unit_length
from ..settings import Settings
from .filters import parse_conditions, sql_of
from .options import IndexOptions, SearchOptions
from .store import Store
from .thumbnails import thumbnail


def index(options: IndexOptions, settings: Settings, load: Callable[[], Embedder]) -> int:
    """Embed (or take what was embedded), add, delete. 0, or `embed`'s 3. Raises JobError, StartupError."""
    if bool(options.source) + (options.embeddings is not None) + bool(options.delete) != 1:
        raise InvalidSource("name either a SOURCE, or --embeddings OUT, or --delete ID")
    path = _store(settings)
    if options.delete:
        store = Store(path)
        deleted = store.delete(options.delete)
        print(f"{deleted} of {len(options.delete)} ids removed, {len(store):,} rows left")
        return 0 if deleted == len(options.delete) else 1
    code = 0
    folder = options.embeddings
    if folder is None:
        folder = path.with_name(f"{path.stem}.embeddings")  # interrupted, it goes on from there
        code = embed(_embed_options(options, folder), settings, load)
    store = _add(folder, path)
    recall = store.build_index(options.exact_below)
    if options.embeddings is None:
        shutil.rmtree(folder)
    how = "exact search" if recall is None else f"IVF-PQ index, recall@10 {recall:.3f} against exact search"
    print(f"{path}: {len(store):,} rows, {how}")
    return code


def search(options: SearchOptions, settings: Settings, load: Callable[[], Embedder]) -> int:
    """0 when something was found, 1 when nothing was. Raises JobError, StartupError."""
    if (options.text is None) == (options.image_file is None):
        raise InvalidSource("name either a TEXT or --image FILE")
    store = Store(_store(settings))
    try:
        where = sql_of(parse_conditions(options.filter, store.schema), store.schema)
        embedder = load()
        store.check(embedder.info.fingerprint)
        results = store.search(_vector(options, settings, embedder), options.k, where)
    except (InvalidInput, RequestError) as error:
        raise InvalidSource(error.message) from error
    _print(results, options.json)
    if options.open:
        page = Path(tempfile.mkdtemp(prefix="openclip-search-")) / "results.html"
        page.write_text(
            _sheet(options.text or str(options.image_file), results, settings.max_image_megapixels), "utf-8"
        )
        print(page, file=sys.stderr)
        webbrowser.open(page.as_uri())
    return 0 if results else 1


def _store(settings: Settings) -> Path:
    if settings.store is None:
        raise InvalidStore("name the store: --store NAME.lance")
    return settings.store


def _vector(options: SearchOptions, settings: Settings, embedder: Embedder) -> Any:
    if options.text is not None:
        return embedder.embed_texts([options.text])[0]
    assert options.image_file is not None
    try:
        content = read_file(str(options.image_file), int(settings.max_body_mb * 1e6))
    except Exception as error:
        raise InvalidSource(f"{options.image_file}: {error}") from error
    return embedder.embed_images([content])[0]


def _embed_options(options: IndexOptions, out: Path) -> Options:
    chosen = {field.name: getattr(options, field.name) for field in fields(SourceOptions)}
    return Options(
        **chosen, out=out, format="parquet", dtype="float32", normalize=True, shard_rows=10_000, server=[], ray=None
    )


def _add(folder: Path, path: Path) -> Store:
    """A run's rows into a store, which is made if need be. Raises InvalidStore, InvalidSource."""
    run = _manifest(folder)
    shards = [pq.ParquetFile(folder / FOLDERS["parquet"] / name) for name in run["shards"]]
    schema = shards[0].schema_arrow
    model = run["model"]
    if path.exists():
        store = Store(path)
        store.check(model["fingerprint"])
        if store.schema.names != _columns(schema).names:
            raise InvalidStore(
                f"{path}: has the columns {', '.join(store.schema.names)}, {folder} {', '.join(schema.names)}"
            )
    else:
        store = Store.create(path, _columns(schema), model["id"], model["fingerprint"])
    for shard in shards:
        store.add(_rows(shard.read(), store.schema))
    store.tidy()
    return store


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        first, *lines = map(orjson.loads, (folder / MANIFEST).read_bytes().splitlines())
    except (OSError, ValueError) as error:
        raise InvalidSource(f"{folder}: no run of openclip-api embed") from error
    if first["format"] != "parquet":
        raise InvalidSource(f"{folder}: embed with --format parquet")
    done = {line["shard"]: line for line in lines}
    if sum(line["rows"] for line in done.values()) != first["source"]["items"]:
        raise InvalidSource(f"{folder}: not finished; run openclip-api embed again")
    return {**first, "shards": [line["files"][0][0] for _, line in sorted(done.items())]}


def _columns(schema: pa.Schema) -> pa.Schema:
    dimensions = schema.field("vector").type.list_size
    kept = [field for field in schema if field.name not in ("vector", "error")]
    return pa.schema([*kept, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _rows(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Those with a vector, at unit length; paths of files that are there are made absolute."""
    table = table.filter(pc.is_null(table["error"]))
    vectors = table["vector"].combine_chunks()
    size = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    unit = unit_length(flat.reshape(-1, size)).reshape(-1)
    paths = [os.path.abspath(path) if os.path.exists(path) else path for path in table["path"].to_pylist()]  # noqa: PTH100, PTH110
    columns = {name: table[name] for name in schema.names if name not in ("vector", "path")}
    columns |= {"vector": pa.FixedSizeListArray.from_arrays(pa.array(unit), size), "path": pa.array(paths)}
    return pa.table({name: columns[name] for name in schema.names})


def _print(results: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in results:
            print(json.dumps(row, default=str, ensure_ascii=False))
        return
    names = ["score", *(name for name in (results[0] if results else {}) if name != "score")]
    lines = [names, *([_cell(row[name]) for name in names] for row in results)] if results else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())[:80]


def _sheet(query: str, results: list[dict[str, Any]], max_megapixels: float) -> str:
    figures = "".join(_figures(results, max_megapixels))
    title = html.escape(query)
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title>"
        "<style>body{font:14px sans-serif;display:flex;flex-wrap:wrap;gap:12px}h1{width:100%;font-size:18px}"
        "figure{margin:0;width:256px}img{max-width:256px}figcaption{overflow-wrap:anywhere}</style>"
        f"<h1>{title}</h1>{figures}\n"
    )


def _figures(results: list[dict[str, Any]], max_megapixels: float) -> Iterator[str]:
    for row in results:
        try:
            picture = b64encode(thumbnail(read_file(row["path"], 64_000_000), max_megapixels)).decode()
            image = f'<img src="data:image/jpeg;base64,{picture}" alt="">'
        except Exception:  # a text, an image that is gone: the row counts without a picture
            image = ""
        yield f"<figure>{image}<figcaption>{row['score']:.4f} {html.escape(row['id'])}</figcaption></figure>"
