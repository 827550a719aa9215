"""The loop: read ahead, embed, gather a shard, write it, go on.

Reading, decoding, computing and writing overlap: readers hand contents to the engine as soon as it has room,
rows are taken from the other end in order. Between them are at most WINDOW rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..embedder import Kind, UnusableVectors, unit_length
from ..errors import RequestError
from ..preprocess import image_size
from .durable import write_file
from .engine import Engine
from .formats import FAILURES, WRITERS, Dtype, Format, Layout, Row, failures_of, parquet_bytes
from .items import Item, Unreadable, printable, reason
from .ledger import Ledger

WINDOW = 512
ITEMS_FAULT = (Unreadable, OSError, ValueError, RequestError, UnusableVectors)  # anything else ends the job


@dataclass(frozen=True)
class Output:
    """How rows become shards."""

    format: Format
    dtype: Dtype
    normalize: bool
    shard_rows: int
    embed_dim: int
    extra: dict[str, pa.DataType]

    @property
    def layout(self) -> Layout:
        return Layout(self.embed_dim, self.dtype, self.extra)


def run(
    items: Iterable[Item], ledger: Ledger, engine: Engine, output: Output, done: Callable[[int, int], None]
) -> None:
    """Write every shard that the ledger lacks. done: told of rows and failures as they come.

    Raises CannotWrite, InvalidSource, and whatever breaks the engine itself.
    """
    number, shard = 0, list[Row]()
    for index, row in _rows(_missing(items, ledger, output.shard_rows), engine, output.normalize):
        if index // output.shard_rows != number and shard:
            _write(ledger, number, shard, output)
            shard = []
        number = index // output.shard_rows
        shard.append(row)
        done(1, row.error is not None)
    if shard:
        _write(ledger, number, shard, output)


def write_failures(ledger: Ledger, out: Path, format: Format) -> None:
    """OUT/failures.parquet: all rows that failed, from the shards. Raises CannotWrite."""
    failed = (shard for shard in ledger.shards() if shard.failures)
    tables = [failures_of(format, ledger.path(file)) for shard in failed for file in shard.files]
    write_file(out / "failures.parquet", parquet_bytes(pa.concat_tables([FAILURES.empty_table(), *tables])))


def write_lance_table(ledger: Ledger, out: Path, layout: Layout) -> None:
    """Make the shards one table, OUT/vectors.lance. Raises CannotWrite."""
    from .lance_table import write_table  # an extra of its own

    files = ((file.name, shard.rows, file.bytes) for shard in ledger.shards() for file in shard.files)
    write_table(out / "vectors.lance", files, layout.table([Row("", "")]))


def _missing(items: Iterable[Item], ledger: Ledger, shard_rows: int) -> Iterator[tuple[int, Item]]:
    return ((index, item) for index, item in enumerate(items) if index // shard_rows not in ledger)


def _rows(items: Iterable[tuple[int, Item]], engine: Engine, normalize: bool) -> Iterator[tuple[int, Row]]:
    """One row for each item, in their order."""
    window: deque[tuple[int, Item, Future[_Started]]] = deque()
    pool = ThreadPoolExecutor(engine.readers, thread_name_prefix="read")
    try:
        for index, item in items:
            window.append((index, item, _begin(item, engine, pool)))
            if len(window) == WINDOW:
                yield _row(*window.popleft(), normalize)
        while window:
            yield _row(*window.popleft(), normalize)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Started:
    vector: Future[NDArray[np.float32]]
    size: tuple[int | None, int | None]


def _begin(item: Item, engine: Engine, pool: ThreadPoolExecutor) -> Future[_Started]:
    if not item.at_once:
        return pool.submit(lambda: _start(item.kind, item.load(), engine))
    try:
        content = item.load()
    except ITEMS_FAULT as error:
        failed: Future[_Started] = Future()
        failed.set_exception(error)
        return failed
    return pool.submit(_start, item.kind, content, engine)


def _start(kind: Kind, content: str | bytes, engine: Engine) -> _Started:
    size = image_size(content) if isinstance(content, bytes) else (None, None)
    return _Started(engine.start(kind, content), size)


def _row(index: int, item: Item, started: Future[_Started], normalize: bool) -> tuple[int, Row]:
    extra = {name: printable(value) if isinstance(value, str) else value for name, value in item.extra.items()}
    id, path = printable(item.id), printable(item.path)
    try:
        begun = started.result()
        vector = begun.vector.result()
    except ITEMS_FAULT as error:
        return index, Row(id, path, error=printable(reason(error)), extra=extra)
    return index, Row(id, path, unit_length(vector) if normalize else vector, *begun.size, extra=extra)


def _write(ledger: Ledger, number: int, rows: list[Row], output: Output) -> None:
    failures = sum(row.error is not None for row in rows)
    ledger.add(number, len(rows), failures, WRITERS[output.format](rows, output.layout))
