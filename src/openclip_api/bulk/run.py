"""Embed what a run lacks: read ahead, embed, collect the rows of a shard, write it, continue.

Reading, decoding, computing and writing overlap. Threads read contents and submit them to the embedder, which makes
them wait while it is full; rows are taken in the sources' order. At most WINDOW items are between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import Overloaded, RequestError, RunError
from ..runtime.embedder import UnusableVectors
from ..runtime.embedding import Embedding, unit_length
from .durable import write_file
from .formats import FAILURES, WRITERS, Dtype, Format, Layout, Row, parquet_bytes, read_columns
from .item_embedder import ItemEmbedder
from .items import SourceItem, Unreadable, printable, reason
from .ledger import FinishedShard, GoneRow, Ledger
from .progress import Progress

ItemT = TypeVar("ItemT")
StartedT = TypeVar("StartedT")

WINDOW = 512
GONE = pa.schema([("shard", pa.int32()), ("row", pa.int32()), ("id", pa.string()), ("stamp", pa.string())])
ITEMS_FAULT = (Unreadable, OSError, ValueError, RequestError, UnusableVectors)  # anything else ends the run


@dataclass(frozen=True)
class OutputSpec:
    """How rows become shards. extra: the types of the columns that are carried along."""

    format: Format
    dtype: Dtype
    normalize: bool
    shard_rows: int
    embed_dim: int
    extra: dict[str, pa.DataType]

    @property
    def layout(self) -> Layout:
        return Layout(self.embed_dim, self.dtype, self.extra)


class PendingShard(NamedTuple):
    """A shard that the ledger lacks."""

    number: int
    items: list[SourceItem]


def write_missing_shards(
    embedder: ItemEmbedder, items: Iterable[SourceItem], ledger: Ledger, output: OutputSpec, progress: Progress
) -> None:
    """Write shards of these items, which the ledger lacks.

    Raises CannotWrite, InvalidSource, and whatever breaks the embedder itself.
    """
    number, shard = -1, list[Row]()
    for wanted, row in _rows(_numbered(items, ledger, output.shard_rows), embedder, output.normalize):
        if wanted != number and shard:
            ledger.add(number, _finished(shard, output))
            shard = []
        number = wanted
        shard.append(row)
        progress.add(1, row.error is not None)
    if shard:
        ledger.add(number, _finished(shard, output))


def missing_shards(items: Iterable[SourceItem], ledger: Ledger, shard_rows: int) -> Iterator[PendingShard]:
    by_shard = groupby(_numbered(items, ledger, shard_rows), lambda numbered: numbered[0])
    return (PendingShard(number, [item for _, item in numbered]) for number, numbered in by_shard)


def embed_shard(items: Sequence[SourceItem], embedder: ItemEmbedder, output: OutputSpec) -> FinishedShard:
    """One shard from its items alone. Raises whatever breaks the embedder itself."""
    return _finished([row for _, row in _rows(enumerate(items), embedder, output.normalize)], output)


def write_failures(ledger: Ledger, out: Path, format: Format, gone: Collection[GoneRow]) -> int:
    """Write OUT/failures.parquet: the failed rows of all shards, but for those that are gone. Raises CannotWrite.

    Returns how many they are.
    """
    left_out = {(row.shard, row.row) for row in gone}
    tables = [FAILURES.empty_table()]
    for shard in (shard for shard in ledger.shards() if shard.failures):
        for file in shard.files:
            if (table := read_columns(format, ledger.path(file), FAILURES)) is not None:
                there = pa.array([(shard.number, row) not in left_out for row in range(len(table))])
                tables.append(table.filter(pc.and_(pc.is_valid(table["error"]), there)))
    failures = pa.concat_tables(tables)
    write_file(out / "failures.parquet", parquet_bytes(failures))
    return len(failures)


def write_gone(out: Path, gone: Sequence[GoneRow]) -> None:
    """Write OUT/gone.parquet: the rows that no item is for any more. Raises CannotWrite."""
    write_file(out / "gone.parquet", parquet_bytes(pa.Table.from_pylist([row._asdict() for row in gone], GONE)))


def write_lance_table(ledger: Ledger, out: Path, layout: Layout) -> None:
    """Make the shards one table, OUT/vectors.lance. Raises CannotWrite."""
    from .lance_table import write_table  # needs the extra `lance`

    files = ((file.name, shard.rows, file.bytes) for shard in ledger.shards() for file in shard.files)
    write_table(out / "vectors.lance", files, layout.table([Row("", "")]))


def _finished(rows: Sequence[Row], output: OutputSpec) -> FinishedShard:
    failures = sum(row.error is not None for row in rows)
    return FinishedShard(len(rows), failures, WRITERS[output.format](rows, output.layout))


def _numbered(items: Iterable[SourceItem], ledger: Ledger, shard_rows: int) -> Iterator[tuple[int, SourceItem]]:
    """Each item with the number of the shard that it goes into: those that the ledger lacks, one after the other."""
    free, number = ledger.free_numbers(), 0
    for index, item in enumerate(items):
        if index % shard_rows == 0:
            number = next(free)
        yield number, item


def _rows(
    items: Iterable[tuple[int, SourceItem]], embedder: ItemEmbedder, normalize: bool
) -> Iterator[tuple[int, Row]]:
    """One row for each item, in their order."""

    def start(numbered: tuple[int, SourceItem]) -> Future[Embedding]:
        item = numbered[1]
        return embedder.submit_blocking(item.kind, item.read())

    for (index, item), started in read_ahead(items, start, embedder.reader_threads):
        yield index, _row(item, started, normalize)


def read_ahead(
    items: Iterable[ItemT], start: Callable[[ItemT], StartedT], threads: int
) -> Iterator[tuple[ItemT, Future[StartedT]]]:
    """Each item with what `start` gave for it, in their order. `start` runs in threads, up to WINDOW items ahead."""
    window: deque[tuple[ItemT, Future[StartedT]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")
    try:
        for item in items:
            window.append((item, pool.submit(start, item)))
            if len(window) == WINDOW:
                yield window.popleft()
        while window:
            yield window.popleft()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def shortage_ends_the_run() -> Iterator[None]:
    """Around an item's result. Raises RunError where not the item is at fault but the machine."""
    try:
        yield
    except Overloaded as error:
        message = "this machine is out of memory, processes or open files: run the same command again to continue"
        raise RunError(message) from error


def _row(item: SourceItem, started: Future[Future[Embedding]], normalize: bool) -> Row:
    extra = {name: printable(value) if isinstance(value, str) else value for name, value in item.extra.items()}
    id, path = printable(item.id), printable(item.path)
    try:
        with shortage_ends_the_run():
            embedding = started.result().result()
    except ITEMS_FAULT as error:
        return Row(id, path, error=printable(reason(error)), stamp=item.stamp, extra=extra)
    vector = unit_length(embedding.vector) if normalize else embedding.vector
    width, height = embedding.image_size or (None, None)
    return Row(id, path, vector, width, height, stamp=item.stamp, extra=extra)
