"""Make a store equal to its sources: what is new or changed is embedded, what is gone is removed.

First a look at all sources, then batches of some seconds of work, each one commit of the table, then the removal. So it
may be interrupted at any point: the next look finds what is missing. A content that the store has a vector for already,
under whatever name, is not embedded again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..bulk.item_embedder import ItemEmbedder
from ..bulk.items import SourceItem, printable, reason
from ..bulk.places import Key
from ..bulk.progress import Progress
from ..bulk.run import ITEMS_FAULT, read_ahead, shortage_ends_the_run
from ..runtime.embedding import Embedding, unit_length
from .contents import Content, read_content
from .look import Known, Look, StoreRows
from .places import Found, found_items
from .rows import Outcome, table_of
from .schema import free_id, stored_name
from .store import Store

PartT = TypeVar("PartT")

SECONDS_PER_BATCH = 2.0
ROWS_PER_BATCH = 1000
ROWS_AT_ONCE = 5000  # that are moved or removed


@dataclass
class Counts:
    """What became of the items, and of the rows that nothing is there for any more."""

    new: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: int = 0


class _Started(NamedTuple):
    content: Content
    embedding: Future[Embedding] | None  # None: the store has a vector for this content


@dataclass
class Sync:
    """One store on its way to be equal to its sources. Only one may be at work on a store: see lock.py."""

    store: Store
    rows: StoreRows
    look: Look
    max_bytes: int
    counts: Counts = field(default_factory=Counts)
    _new_contents: Counter[str] = field(default_factory=Counter)
    _again: set[Key] = field(default_factory=set)

    def move(self) -> None:
        """Rows whose files have another root now, since a folder above was indexed. Their vectors stay."""
        for part in _parts(self.look.moved):
            by_id = {row.id: found for found, row in part}
            table = self.store.rows(list(by_id))
            places = [by_id[id] for id in table["id"].to_pylist()]
            columns = {
                "id": [self._new_id(found) for found in places],
                "root": [stored_name(found.root) for found in places],
                "path": [stored_name(found.path) for found in places],
            }
            for name, values in columns.items():
                table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), [values])
            self.store.add(table)
            self.store.delete(list(by_id))

    def embed(self, items: Iterable[SourceItem], embedder: ItemEmbedder, progress: Progress) -> None:
        """Read what the look wants, and write its rows. Raises RunError, and whatever breaks the embedder itself."""
        self._embed(items, self.look.wanted, embedder, progress)
        if self._again:  # equal to rows that were overwritten meanwhile, as where two files changed their names
            self.rows.digests.clear()
            self._embed(items, set(self._again), embedder, progress)

    def remove(self, rows: Sequence[Known]) -> None:
        """Of what is gone. A row is renamed if one with its content is new."""
        for part in _parts(rows):
            self.store.delete([row.id for row in part])
        for row in rows:
            if row.digest is not None and self._new_contents[row.digest] > 0:
                self._new_contents[row.digest] -= 1
                self.counts.new -= 1
                self.counts.renamed += 1
            else:
                self.counts.removed += 1

    def _embed(self, items: Iterable[SourceItem], wanted: set[Key], embedder: ItemEmbedder, progress: Progress) -> None:
        batch: list[Outcome] = []
        last = time.monotonic()
        for found, started in read_ahead(self._wanted(items, wanted), self._starter(embedder), embedder.reader_threads):
            outcome = self._outcome(found, started)
            if outcome is not None:
                batch.append(outcome)
            progress.add(1, outcome is not None and outcome.error is not None)
            if len(batch) >= ROWS_PER_BATCH or time.monotonic() - last >= SECONDS_PER_BATCH:
                self._write(batch)
                batch, last = [], time.monotonic()
        self._write(batch)

    def _wanted(self, items: Iterable[SourceItem], wanted: set[Key]) -> Iterator[Found]:
        left = set(wanted)
        for found in found_items(items, self.look.roots):
            if found.key in left:
                left.remove(found.key)
                yield found

    def _starter(self, embedder: ItemEmbedder) -> Callable[[Found], _Started]:
        def start(found: Found) -> _Started:
            content = read_content(found.item, self.max_bytes)
            kept = content._replace(data=b"")
            if content.digest in self.rows.digests:
                return _Started(kept, None)
            return _Started(kept, embedder.submit_blocking(found.item.kind, content.data))

        return start

    def _outcome(self, found: Found, started: Future[_Started]) -> Outcome | None:
        """None if the file is gone since the look."""
        try:
            with shortage_ends_the_run():
                content, future = started.result()
                if future is None:
                    return Outcome(found, content, copy_of=self.rows.digests.get(content.digest, ""))
                embedding = future.result()
        except ITEMS_FAULT as error:
            if isinstance(error, FileNotFoundError) and found.item.entry is None:
                return None
            return Outcome(found, error=printable(reason(error)), is_transient=isinstance(error, OSError))
        return Outcome(found, content, unit_length(embedding.vector), embedding.image_size or (None, None))

    def _write(self, batch: Sequence[Outcome]) -> None:
        closed = {outcome.found.key: outcome for outcome in batch if self._keeps_its_vector(outcome)}
        self._keep(closed)
        outcomes = self._with_copies([outcome for outcome in batch if outcome.found.key not in closed])
        if not outcomes:
            return
        replaced = [self.look.replaced.get(outcome.found.key) for outcome in outcomes]
        ids = [
            self._new_id(outcome.found) if row is None else row.id
            for outcome, row in zip(outcomes, replaced, strict=True)
        ]
        self.store.add(table_of(outcomes, ids, self.store.schema))
        for outcome, row, id in zip(outcomes, replaced, ids, strict=True):
            if row is not None and row.digest is not None and self.rows.digests.get(row.digest) == id:
                del self.rows.digests[row.digest]
            self._count(outcome, row, id)

    def _keeps_its_vector(self, outcome: Outcome) -> bool:
        """A file that nobody can open now, for want of a permission or for a disk that fails, is found as it was."""
        row = self.look.replaced.get(outcome.found.key)
        return outcome.is_transient and row is not None and row.digest is not None

    def _keep(self, closed: Mapping[Key, Outcome]) -> None:
        errors = {self.look.replaced[key].id: outcome.error for key, outcome in closed.items()}
        if not errors:
            return
        table = self.store.rows(list(errors))
        columns = {"error": [errors[id] for id in table["id"].to_pylist()], "stamp": [""] * len(table)}
        for name, values in columns.items():
            field = table.schema.field(name)
            table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
        self.store.add(table)
        self.counts.failed += len(errors)

    def _count(self, outcome: Outcome, replaced: Known | None, id: str) -> None:
        if outcome.error is not None:
            self.counts.failed += 1
            return
        assert outcome.content is not None, "it has no error"
        self.rows.digests[outcome.content.digest] = id
        if replaced is None:
            self.counts.new += 1
            self._new_contents[outcome.content.digest] += 1
        elif outcome.found.item.entry is None and outcome.content.digest == replaced.digest:  # only its time is new
            self.counts.unchanged += 1
        else:
            self.counts.changed += 1

    def _with_copies(self, batch: Sequence[Outcome]) -> list[Outcome]:
        """With the vectors that are copied from other rows. Where such a row has another content by now: later."""
        wanted = {outcome.copy_of for outcome in batch if outcome.copy_of}
        table = self.store.rows(list(wanted)).filter(pc.is_valid(pc.field("vector"))) if wanted else None
        sources = {row["id"]: row for row in table.drop_columns(["vector"]).to_pylist()} if table else {}
        vectors = dict(zip(sources, _matrix(table), strict=True)) if table else {}
        outcomes = []
        for outcome in batch:
            if outcome.copy_of is None:
                outcomes.append(outcome)
                continue
            row = sources.get(outcome.copy_of)
            if row is None or outcome.content is None or row["digest"] != outcome.content.digest:
                self._again.add(outcome.found.key)
                continue
            size = (row["width"], row["height"])
            outcomes.append(outcome._replace(vector=vectors[outcome.copy_of], size=size))
        return outcomes

    def _new_id(self, found: Found) -> str:
        entry = None if found.item.entry is None else stored_name(found.item.entry)
        id = free_id(stored_name(found.root), stored_name(found.path), entry, self.rows.ids)
        self.rows.ids.add(id)
        return id


def _matrix(table: pa.Table) -> NDArray[np.float32]:
    """[N, E]"""
    vectors = table["vector"].combine_chunks()
    matrix: NDArray[np.float32] = vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size)
    return matrix


def _parts(rows: Sequence[PartT]) -> Iterator[Sequence[PartT]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))
