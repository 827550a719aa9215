"""Where an item is: its root, and its path below it, however the source was spelled. The rule is in roots.py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ..bulk.items import SourceItem, file_stamp, is_image_name
from ..bulk.places import Key, absolute, state_of
from ..bulk.sources import Source
from .roots import Roots, folders_above

_MAGIC = frozenset("*?[")


OTHER_DISK = " on another disk"  # at the end of a stamp: than the file's root


class Found(NamedTuple):
    """An item of a source, and its place."""

    item: SourceItem
    key: Key
    root: str
    path: str  # "" where the root is the file itself
    disk: str  # OTHER_DISK or ""

    @property
    def stamp(self) -> str:
        return stamp_of(self.item, self.item.state, self.disk)


def found_items(items: Iterable[SourceItem], roots: Roots) -> Iterator[Found]:
    for item in items:
        if item.entry is not None:
            table = absolute(item.source)
            yield Found(item, (table, item.entry), table, _path_of_entry(item), "")
            continue
        if item.path == item.source:
            key = roots.file(item.path)
        else:
            key = os.path.join(roots.folder(item.source), item.id.replace("/", os.sep))
        root, path = roots.owner(key)
        yield Found(item, key, root, path, OTHER_DISK if roots.is_on_other_disk(root, item.state) else "")


def stamp_of(item: SourceItem, state: os.stat_result | None, disk: str) -> str:
    """While it stays the same, so does the item's row. state: of its file.

    A file's ctime counts too: some tools keep its size and mtime when they change it, as exiftool -P may.
    """
    if item.entry is not None:
        item = replace(item, path=_path_of_entry(item))  # not as it was spelled
    if state is None:
        return state_of(item)
    return f"{state_of(replace(item, stamp=file_stamp(state)))} {state.st_ctime_ns}{disk}"


class Scope(NamedTuple):
    """Which rows of a store a source speaks for: those at `path` and below.

    source: as it was spelled. is_source: False for a part of one that is looked at alone, which may well be empty.
    is_partial: it named some of the files there, so that another one that it did not name is not gone for that.
    """

    path: str
    source: str
    is_source: bool = True
    is_partial: bool = False


def scope_of(source: Source, roots: Roots) -> Scope:
    if os.path.isdir(source.path):
        return Scope(roots.folder(source.path), source.path)
    if not is_image_name(source.path):
        return Scope(absolute(source.path), source.path)
    key = roots.file(source.path)
    if source.pattern is None:
        return Scope(key, source.path)
    top = roots.folder(_fixed_part(source.pattern))
    path = top if top in folders_above(key) else os.path.dirname(key)  # a link on the way leads elsewhere
    return Scope(path, source.pattern, is_source=False, is_partial=True)


def missing_scope(argument: str, roots: Roots) -> Scope:
    """Of a source that is not there."""
    path = _fixed_part(argument)
    return Scope(roots.file(path) if is_image_name(path) else roots.folder(path), argument)


def _fixed_part(pattern: str) -> str:
    """The folder that all files which fit a pattern are below."""
    while _MAGIC.intersection(pattern):
        pattern = os.path.dirname(pattern)
    return pattern or os.curdir


def _path_of_entry(item: SourceItem) -> str:
    """Of a table's image file the absolute path, of a URL the URL, of an archive's member its name, else nothing."""
    if item.is_file:
        return os.path.abspath(item.path)
    return item.path[len(item.source) :].lstrip("/") if item.path.startswith(item.source) else item.path
