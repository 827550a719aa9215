"""The loop: read ahead, embed, gather a shard, write it, go on.

Reading, decoding, computing and writing overlap: readers hand contents to the engine as soon as it has room,
rows are taken from the other end in order. Between them are at most WINDOW rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ..errors import RequestError
from ..runtime.embedder import UnusableVectors
from ..runtime.embedding import Embedding, unit_length
from .durable import write_file
from .engine import Engine
from .formats import FAILURES, WRITERS, Dtype, Format, Layout, Row, failures_of, parquet_bytes
from .items import Item, Unreadable, printable, reason
from .ledger import Ledger
from .progress import Progress

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


class Finished(NamedTuple):
    """A shard as Ledger.add takes it: files is suffix → content."""

    rows: int
    failures: int
    files: dict[str, bytes]


def run(engine: Engine, items: Iterable[Item], ledger: Ledger, output: Output, progress: Progress) -> None:
    """Write every shard that the ledger lacks.

    Raises CannotWrite, InvalidSource, and whatever breaks the engine itself.
    """
    number, shard = 0, list[Row]()
    for index, row in _rows(_missing(items, ledger, output.shard_rows), engine, output.normalize):
        if index // output.shard_rows != number and shard:
            ledger.add(number, *_finished(shard, output))
            shard = []
        number = index // output.shard_rows
        shard.append(row)
        progress.add(1, row.error is not None)
    if shard:
        ledger.add(number, *_finished(shard, output))


def missing_shards(items: Iterable[Item], ledger: Ledger, shard_rows: int) -> Iterator[tuple[int, list[Item]]]:
    """The shards that the ledger lacks: number and items."""
    by_shard = groupby(_missing(items, ledger, shard_rows), lambda numbered: numbered[0] // shard_rows)
    return ((number, [item for _, item in numbered]) for number, numbered in by_shard)


def embed_shard(items: Sequence[Item], engine: Engine, output: Output) -> Finished:
    """One shard from its items alone. Raises whatever breaks the engine itself."""
    return _finished([row for _, row in _rows(enumerate(items), engine, output.normalize)], output)


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


def _finished(rows: Sequence[Row], output: Output) -> Finished:
    failures = sum(row.error is not None for row in rows)
    return Finished(len(rows), failures, WRITERS[output.format](rows, output.layout))


def _missing(items: Iterable[Item], ledger: Ledger, shard_rows: int) -> Iterator[tuple[int, Item]]:
    return ((index, item) for index, item in enumerate(items) if index // shard_rows not in ledger)


def _rows(items: Iterable[tuple[int, Item]], engine: Engine, normalize: bool) -> Iterator[tuple[int, Row]]:
    """One row for each item, in their order."""
    window: deque[tuple[int, Item, Future[Future[Embedding]]]] = deque()
    pool = ThreadPoolExecutor(engine.readers, thread_name_prefix="read")
    try:
        for index, item in items:
            window.append((index, item, pool.submit(_start, item, engine)))
            if len(window) == WINDOW:
                yield _row(*window.popleft(), normalize)
        while window:
            yield _row(*window.popleft(), normalize)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(item: Item, engine: Engine) -> Future[Embedding]:
    return engine.start(item.kind, item.load())


def _row(index: int, item: Item, started: Future[Future[Embedding]], normalize: bool) -> tuple[int, Row]:
    extra = {name: printable(value) if isinstance(value, str) else value for name, value in item.extra.items()}
    id, path = printable(item.id), printable(item.path)
    try:
        embedding = started.result().result()
    except ITEMS_FAULT as error:
        return index, Row(id, path, error=printable(reason(error)), extra=extra)
    vector = unit_length(embedding.vector) if normalize else embedding.vector
    width, height = embedding.image_size or (None, None)
    return index, Row(id, path, vector, width, height, extra=extra)
