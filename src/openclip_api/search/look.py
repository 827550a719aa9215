"""A look at sources beside the store's rows for them: what is new, changed, moved and gone. No file is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..bulk.items import SourceItem
from ..bulk.places import Key
from .places import OTHER_DISK, Found, Scope, found_items
from .roots import Below, Roots
from .schema import file_of, name_on_disk
from .store import Store

COLUMNS = ("id", "root", "path", "entry", "stamp", "digest", "error")


class Known(NamedTuple):
    """A row of the store. place: of its file, or of the table or archive that its entry is in."""

    id: str
    key: Key
    place: str
    root: str
    stamp: str | None
    digest: str | None
    is_failure: bool


class StoreRows:
    """What the store holds, without its vectors.

    digests: content → the id of a row that has a vector for it. A file that could be read before keeps it.
    """

    def __init__(self, store: Store | None) -> None:
        self.all = [_known(*row.values()) for row in store.columns(COLUMNS).to_pylist()] if store is not None else []
        self.ids = {row.id for row in self.all}
        self.digests = {row.digest: row.id for row in self.all if row.digest is not None}

    def roots(self, arguments: Iterable[str] = ()) -> Roots:
        """The folders that rows belong to, and those among the arguments of a command."""
        known = {row.root for row in self.all if row.key == row.place != row.root}
        return Roots(known, filter(os.path.isdir, arguments))


@dataclass
class Look:
    """What a look found.

    wanted: what is to be read; `replaced` has the rows that some of it has now. moved: rows that only get another root.
    gone: rows that nothing in the sources is for. silent: the sources that have rows, and show nothing now. away: how
    many rows are kept in a folder where a disk was.
    """

    roots: Roots
    wanted: set[Key] = field(default_factory=set)
    replaced: dict[Key, Known] = field(default_factory=dict)
    moved: list[tuple[Found, Known]] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    doubles: list[Known] = field(default_factory=list)
    silent: list[Scope] = field(default_factory=list)
    away: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    failed: int = 0
    kept: int = 0
    repeated: int = 0

    @property
    def total(self) -> int:
        """How many items the sources show."""
        return len(self.wanted) + self.unchanged + self.failed

    @property
    def has_news(self) -> bool:
        return bool(self.wanted or self.moved or self.gone or self.doubles)


def look(
    rows: StoreRows,
    items: Iterable[SourceItem],
    scopes: Sequence[Scope],
    roots: Roots,
    *,
    retry_failed: bool = False,
) -> Look:
    found_all = Look(roots)
    known = _rows_in(rows, scopes, found_all)
    seen, shown, doubtful = set[Key](), Counter[str](), set[str]()
    for found in found_items(items, roots):
        if found.key in seen:
            found_all.repeated += found.item.entry is not None
            continue
        seen.add(found.key)
        if found.item.is_doubtful and not (found.item.is_file and found.item.entry is not None):
            doubtful.add(found.key if isinstance(found.key, str) else found.root)
        else:  # a table whose row names a file that is not there is itself there
            shown[found.item.source] += 1
        _compare(found, known.pop(found.key, None), found_all, retry_failed)
    silent = (scope for scope in scopes if scope.is_source and not shown[scope.source])
    found_all.silent = [scope for scope in silent if scope.path not in doubtful]  # these have a row that says so
    _sort_out(known, scopes, found_all, doubtful)
    return found_all


def _known(
    id: str, root: str, path: str, entry: str | None, stamp: str | None, digest: str | None, error: str | None
) -> Known:
    on_disk = name_on_disk(root)
    key: Key = (on_disk, name_on_disk(entry)) if entry is not None else (file_of(root, path, None) or on_disk)
    place = on_disk if entry is not None else str(key)
    return Known(id, key, place, on_disk, stamp, digest, error is not None)


def _rows_in(rows: StoreRows, scopes: Sequence[Scope], found_all: Look) -> dict[Key, Known]:
    """The rows that the sources speak for. A run that ended while it moved rows left some of them twice."""
    paths = {scope.path for scope in scopes}
    below = Below(paths)
    known: dict[Key, Known] = {}
    for row in rows.all:
        if row.place not in (below if isinstance(row.key, str) else paths):
            continue
        other = known.setdefault(row.key, row)
        if other is not row:
            is_better = isinstance(row.key, str) and found_all.roots.owner(row.key)[0] == row.root
            known[row.key], double = (row, other) if is_better else (other, row)
            found_all.doubles.append(double)
    return known


def _compare(found: Found, row: Known | None, found_all: Look, retry_failed: bool) -> None:
    if row is None:
        found_all.wanted.add(found.key)
    elif found.item.is_doubtful and not row.is_failure:
        found_all.kept += 1
    elif row.stamp != found.stamp or (row.is_failure and retry_failed):
        found_all.wanted.add(found.key)
        found_all.replaced[found.key] = row
    else:
        if row.root != found.root:
            found_all.moved.append((found, row))
        if row.is_failure:
            found_all.failed += 1
        else:
            found_all.unchanged += 1


def _sort_out(left: dict[Key, Known], scopes: Sequence[Scope], found_all: Look, doubtful: set[str]) -> None:
    """Rows that no item was for are gone, unless nobody can tell."""
    unsure, silent = Below(doubtful), Below({scope.path for scope in found_all.silent})
    whole = Below({scope.path for scope in scopes if not scope.is_partial})
    kept = []
    for row in left.values():
        if row.place in unsure or (
            row.place in silent and not os.path.isfile(row.key if isinstance(row.key, str) else "")
        ):
            kept.append(row)  # a file that is there was left out by the command's own flags
        elif (folder := _missing_disk(row, found_all.roots)) is not None:
            kept.append(row)
            found_all.away[folder] += 1
        elif row.place in whole or _is_gone(row.place):
            found_all.gone.append(row)
    found_all.kept += len(kept)
    found_all.silent = [scope for scope in found_all.silent if any(row.place in Below({scope.path}) for row in kept)]


def _missing_disk(row: Known, roots: Roots) -> str | None:
    if row.stamp is None or not row.stamp.endswith(OTHER_DISK):
        return None
    return roots.disk_is_away(row.root, row.place)


def _is_gone(path: str) -> bool:
    """Not where nobody can look."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
