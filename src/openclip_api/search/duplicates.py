"""Groups of rows that show the same: equal contents, and near-duplicates by their cosine.

Each row is compared with each that could be the first of a group, in blocks: time grows with the square of the rows,
memory does not. 100,000 rows of 512 numbers are 10 million million operations, some minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from lancedb.expr import Expr
from numpy.typing import NDArray

from .store import Store

BLOCK = 2048  # rows that are compared at once
MAX_CONTENTS = 200_000  # that are compared by their vectors
COLUMNS = ["id", "root", "path", "entry", "bytes", "width", "height", "digest"]

Progress = Callable[[int, int], None]


class Copy(NamedTuple):
    """columns: of the row, as they stand in the store. cosine: to the first of its group; None where it is equal."""

    columns: dict[str, Any]
    cosine: float | None


Contents: TypeAlias = list[list[dict[str, Any]]]  # for each content its rows, the best one first


def contents_of(store: Store, filter: Expr | None) -> Contents:
    """What a store holds, each content once. Larger pictures come first: they are the ones to keep."""
    table = store.columns([*COLUMNS, "error"], filter)
    rows = sorted(table.filter(table["error"].is_null()).select(COLUMNS).to_pylist(), key=_rank)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        digest = row["digest"] or f"\0{row['id']}"  # without a digest nobody knows what it equals
        groups.setdefault(digest, []).append(row)
    return list(groups.values())


def vectors_of(store: Store, filter: Expr | None, contents: Contents) -> NDArray[np.float32]:
    """[contents, E], of unit length. A row that was written meanwhile has zeros, and is like nothing."""
    table = store.columns(["id", "vector"], filter)
    table = table.filter(table["vector"].is_valid())
    place = {rows[0]["id"]: number for number, rows in enumerate(contents)}
    numbers = [place.get(id, -1) for id in table["id"].to_pylist()]
    found = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, store.embed_dim)
    is_wanted = np.array(numbers, int) >= 0
    vectors = np.zeros((len(contents), store.embed_dim), np.float32)
    vectors[np.array(numbers, int)[is_wanted]] = found[is_wanted]
    return vectors


def _rank(row: dict[str, Any]) -> tuple[int, int, str]:
    pixels = (row["width"] or 0) * (row["height"] or 0)
    return -pixels, -(row["bytes"] or 0), row["id"]


def equal_groups(contents: Contents) -> list[list[Copy]]:
    """The contents of more than one row, those with the most rows first."""
    return _largest_first([[Copy(row, None) for row in rows] for rows in contents])


def similar_groups(
    contents: Contents, vectors: NDArray[np.float32], bar: float, progress: Progress = lambda done, of: None
) -> list[list[Copy]]:
    """As equal_groups. Each first row takes all whose cosine to it is at least `bar`, and that no group before took."""
    members: dict[int, list[Copy]] = {}
    for content, (owner, cosine) in enumerate(zip(*_owners(vectors, bar, progress), strict=True)):
        copies = [Copy(row, None if owner == content else float(cosine)) for row in contents[content]]
        members.setdefault(int(owner), []).extend(copies)
    return _largest_first(list(members.values()))


def _largest_first(groups: list[list[Copy]]) -> list[list[Copy]]:
    return sorted((group for group in groups if len(group) > 1), key=lambda group: -len(group))


def _owners(vectors: NDArray[np.float32], bar: float, progress: Progress) -> tuple[Sequence[int], Sequence[float]]:
    """For each row the first row of its group, and the cosine to it. [N, E] → [N], [N]"""
    count = len(vectors)
    owners, cosines = np.full(count, -1), np.ones(count, np.float32)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        _within_block(vectors[start:stop], owners[start:stop], cosines[start:stop], start, bar)
        firsts = start + np.flatnonzero(owners[start:stop] == np.arange(start, stop))
        for later in range(stop, count, BLOCK):
            free = later + np.flatnonzero(owners[later : later + BLOCK] < 0)
            if not len(free) or not len(firsts):
                continue
            near = vectors[free] @ vectors[firsts].T  # [free, firsts]
            taken = (near >= bar).any(axis=1)
            which = (near >= bar).argmax(axis=1)  # the first of them
            owners[free[taken]] = firsts[which[taken]]
            cosines[free[taken]] = near[taken, which[taken]]
        progress(stop, count)
    return owners.tolist(), np.minimum(cosines, 1).tolist()


def _within_block(
    vectors: NDArray[np.float32], owners: NDArray[Any], cosines: NDArray[np.float32], start: int, bar: float
) -> None:
    near = vectors @ vectors.T  # [B, B]
    for number in range(len(vectors)):
        if owners[number] >= 0:
            continue
        owners[number] = start + number
        taken = (owners < 0) & (near[number] >= bar)
        owners[taken] = start + number
        cosines[taken] = near[number][taken]
