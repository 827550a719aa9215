"""One page of a search: best first, always in the same order, with near-duplicates folded into one result.

A page is cut out of the first rows of the store, which are fetched in windows until there are enough. What ties with
the last row of a window is left for the next one: other rows may tie with it too, and rows that tie stand in the order
of their ids. So pages neither repeat nor miss a row while the store stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from lancedb.expr import Expr, col
from numpy.typing import NDArray

from .filters import all_of
from .schema import OWN_COLUMNS
from .search_options import MAX_RESULTS
from .store import Store, Vector

WINDOWS = (128, 1024, 4096)  # rows: the most that one page is cut out of
BLOCK = 64  # rows that are compared with all representatives at once


Columns: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A page. fold: the cosine from which a row is a copy of one before it, None to show all rows."""

    k: int
    offset: int = 0
    min_score: float | None = None
    filter: Expr | None = None
    fold: float | None = None


@dataclass
class Row:
    """A row of the store as it stands there, but for its vector. copies: how many later rows were folded into it."""

    columns: Columns
    score: float
    vector: NDArray[np.float32] | None = None
    copies: int = 0

    @property
    def place(self) -> tuple[float, str]:
        return -self.score, self.columns["id"]


class Page(NamedTuple):
    rows: list[Row]
    more: bool  # whether there is a next page


def page_of(store: Store, vector: Vector, wanted: Wanted) -> Page:
    """vector: [E], of any length but 0."""
    end = wanted.offset + wanted.k
    columns = [name for name in store.schema.names if name in OWN_COLUMNS.names]
    columns += ["vector"] if wanted.fold is not None else []
    seen: list[Row] = []
    results: list[Row] = []
    for window in (size for size in WINDOWS if size > end or size == WINDOWS[-1]):
        others = ~col("id").isin([row.columns["id"] for row in seen]) if seen else None
        filter = all_of([wanted.filter, others])
        found = _rows(store.nearest(vector, window, filter, columns))
        seen = sorted([*seen, *found], key=lambda row: row.place)
        is_all = len(found) < window or (wanted.min_score is not None and found[-1].score < wanted.min_score)
        ranked = seen if is_all else _before_ties(seen, found[-1].score)
        if wanted.min_score is not None:
            ranked = [row for row in ranked if row.score >= wanted.min_score]
        results = ranked if wanted.fold is None else folded(ranked, wanted.fold, end + 1)
        if is_all or len(results) > end:
            break
    rows = results[wanted.offset : end]
    kept = store.kept([row.columns["id"] for row in rows])  # may be large, so only of these rows
    for row in rows:
        row.columns.update(kept.get(row.columns["id"], {}))
    return Page(rows, len(results) > end and end < MAX_RESULTS)


def _before_ties(ranked: list[Row], last: float) -> list[Row]:
    """The rows that stand before all that tie with the last score. If that is none, all: there are too many copies."""
    return [row for row in ranked if row.score > last] or ranked


def _rows(table: pa.Table) -> list[Row]:
    scores = (1 - table["_distance"].to_numpy()).tolist()
    names = [name for name in table.schema.names if name not in ("vector", "_distance")]
    columns = table.select(names).to_pylist()
    vectors: list[Any] = [None] * len(scores)
    if "vector" in table.schema.names and scores:
        flat = table["vector"].combine_chunks().flatten().to_numpy()
        vectors = list(flat.reshape(len(scores), -1))
    return [Row(*row) for row in zip(columns, scores, vectors, strict=True)]


@dataclass
class _Groups:
    """Results so far, and the rows folded into them."""

    rows: list[Row] = field(default_factory=list)
    of_digest: dict[str, Row] = field(default_factory=dict)

    def put(self, row: Row, near: Row | None, most: int) -> None:
        digest = row.columns.get("digest")
        first = self.of_digest.get(digest, near) if digest else near
        if first is not None:
            first.copies += 1
        elif len(self.rows) < most:
            self.rows.append(row)
            first = row
        if digest and first is not None:
            self.of_digest.setdefault(digest, first)


def folded(ranked: list[Row], bar: float, most: int) -> list[Row]:
    """Each row joins the first result before it that has the same content, or a cosine of at least `bar` to it.

    At most `most` results. The vectors have unit length.
    """
    groups = _Groups()
    for row in ranked:
        row.copies = 0
    for start in range(0, len(ranked), BLOCK):
        block = ranked[start : start + BLOCK]
        vectors = _matrix(block)  # [B, E]
        known = list(groups.rows)
        near = vectors @ _matrix(known).T >= bar if known else np.zeros((len(block), 0), bool)  # [B, results]
        inside = vectors @ vectors.T >= bar  # [B, B]
        fresh: list[int] = []  # rows of this block that became results
        for number, row in enumerate(block):
            first = next(iter(np.flatnonzero(near[number])), None)
            match = known[first] if first is not None else None
            match = match or next((block[other] for other in fresh if inside[number, other]), None)
            before = len(groups.rows)
            groups.put(row, match, most)
            if len(groups.rows) > before:
                fresh.append(number)
    return groups.rows


def _matrix(rows: list[Row]) -> NDArray[np.float32]:
    """[N, E]"""
    return np.stack([row.vector for row in rows])  # type: ignore[misc]
