"""What a run has to do: the items that no shard has a row for, and the rows that no item is for any more."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .formats import Format, read_columns
from .items import SourceItem
from .ledger import GoneRow, Ledger
from .places import Keys

Stamps = NDArray[np.uint64]  # sorted
STAMPS = pa.schema([("id", pa.string()), ("stamp", pa.string())])


@dataclass(frozen=True)
class Survey:
    """What a pass over all items finds without reading their contents.

    stamps: of the different items; the same one is embedded once, though several sources show it. duplicates: how many
    of them have the id of an earlier one. has_doubts: a part of the sources could not be looked at.
    """

    stamps: Stamps
    duplicates: int
    has_doubts: bool

    @property
    def items(self) -> int:
        return len(self.stamps)


def survey(items: Iterable[SourceItem]) -> Survey:
    """Keeps 16 bytes an item in memory: millions must fit."""
    keys, stamps, ids, has_doubts = Keys(), array("Q"), array("q"), False
    for item in items:
        stamps.append(int.from_bytes(keys.stamp(item), "big"))
        ids.append(hash(item.id))
        has_doubts |= item.is_doubtful
    found, first = np.unique(np.array(stamps, np.uint64), return_index=True)
    different = len(np.unique(np.array(ids, np.int64)[first]))
    return Survey(found, len(found) - different, has_doubts)


def news(items: Iterable[SourceItem], wanted: Stamps) -> Iterator[SourceItem]:
    """The items with these stamps, each once. Their own stamps become the digests that their rows carry."""
    keys, left = Keys(), np.ones(len(wanted), bool)
    for item in items:
        stamp = keys.stamp(item)
        number = np.uint64(int.from_bytes(stamp, "big"))
        place = int(np.searchsorted(wanted, number))
        if place < len(wanted) and wanted[place] == number and left[place]:
            left[place] = False
            yield replace(item, stamp=stamp.hex())


class StoredRows:
    """The rows of the shards that are done."""

    def __init__(self, ledger: Ledger, format: Format) -> None:
        self._ledger, self._format = ledger, format
        self._gone_before = ledger.gone
        parts = [(shard.number, self._columns(shard.number)) for shard in ledger.shards()]
        self._numbers = [number for number, _ in parts]
        self._stamps = [_numbers(table["stamp"]) for _, table in parts]

    @property
    def stamps(self) -> Stamps:
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._stamps]))

    def gone(self, found_now: Survey) -> list[GoneRow]:
        """The rows whose items are gone. Where nobody can tell, those that were gone before."""
        if found_now.has_doubts:
            return [row for row in self._gone_before if row.shard in self._numbers]
        found = []
        for number, stamps in zip(self._numbers, self._stamps, strict=True):
            rows = np.flatnonzero(~np.isin(stamps, found_now.stamps))
            gone = self._columns(number).take(rows).to_pylist() if len(rows) else []
            found += [GoneRow(number, int(row), **columns) for row, columns in zip(rows, gone, strict=True)]
        return found

    def _columns(self, number: int) -> pa.Table:
        files = self._ledger.shard(number).files
        tables = [read_columns(self._format, self._ledger.path(file), STAMPS) for file in files]
        return pa.concat_tables([table for table in tables if table is not None])


def _numbers(stamps: pa.ChunkedArray) -> Stamps:
    return np.array([int(stamp, 16) for stamp in stamps.to_pylist()], np.uint64)
