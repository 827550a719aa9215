"""What index tells of a store, and what it removes by name: --failures, --roots, --forget, --delete."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..bulk.items import printable
from ..bulk.places import absolute
from ..errors import InvalidSource
from .look import StoreRows
from .roots import Below
from .schema import file_of, name_on_disk
from .store import Store

SHOWN_FILES = "single files"


def print_failures(store: Store, as_json: bool) -> int:
    """Path and reason of each item that could not be read. 0, also where there is none."""
    for row in store.columns(["root", "path", "entry", "error"]).to_pylist():
        if row["error"] is None:
            continue
        root, entry = name_on_disk(row["root"]), row["entry"]
        path = printable(file_of(row["root"], row["path"], entry) or root)
        if as_json:
            print(json.dumps({"path": path, "entry": entry, "reason": row["error"]}, ensure_ascii=False))
        else:
            print(f"{_one_line(path)}{f' {_one_line(entry)}' if entry else ''}: {row['error']}")
    return 0


def print_roots(store: Store, as_json: bool) -> int:
    """Each folder, table and archive that the store has rows of; files that were named one by one in one line."""
    items, failures = Counter[str](), Counter[str]()
    for row in StoreRows(store).all:
        root = SHOWN_FILES if row.key == row.root else row.root
        items[root] += 1
        failures[root] += row.is_failure
    for root in sorted(items):
        if as_json:
            print(json.dumps({"root": printable(root), "items": items[root], "failures": failures[root]}))
        else:
            failed = f", {failures[root]:,} could not be read" if failures[root] else ""
            print(f"{_one_line(printable(root))}: {items[root]:,} items{failed}")
    return 0


def forget(store: Store, roots: Sequence[str]) -> int:
    """Drop all rows of these tables and archives, and of the files that are, or are below, these. 1 if one has none."""
    rows = StoreRows(store)
    known, left = rows.roots(), {row.id: row for row in rows.all}
    unknown = 0
    for root in roots:
        if not root:
            raise InvalidSource("--forget: name a root; --roots lists them")
        places = {absolute(root), known.folder(root), known.file(root)}
        below = Below(places)
        ids = [row.id for row in left.values() if row.root in places or (row.key == row.place and row.place in below)]
        store.delete(ids)
        left = {id: row for id, row in left.items() if id not in set(ids)}
        print(
            f"{printable(root)}: "
            + (f"{len(ids):,} rows removed" if ids else "no rows of this root; --roots lists the roots")
        )
        unknown += not ids
    print(f"{len(store):,} rows left")
    return 1 if unknown else 0


def delete(store: Store, patterns: Sequence[str]) -> int:
    """Remove the rows whose id is one of the patterns, or fits it. 1 if one of them is for no row."""
    left = {row.id for row in StoreRows(store).all}
    unknown = removed = 0
    for pattern in map(printable, patterns):
        ids = {pattern} & left or {id for id in left if fnmatchcase(id, pattern)}
        store.delete(list(ids))
        left -= ids
        removed += len(ids)
        if not ids:
            print(f"{pattern}: no id matches it")
            unknown += 1
    print(f"{removed:,} rows removed, {len(left):,} left")
    return 1 if unknown else 0


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
