"""Where an item is: its source's absolute root, and its path below it, however the source was spelled.

A picture has one place, though several sources may show it: `photos`, `./photos/2021` and 'photos/*/a.png' all give the
same key. The outermost folder that was ever indexed is the root of all pictures below it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from ..bulk.items import SourceItem, file_stamp, is_image_name
from ..bulk.places import Key, Keys, absolute, file_key, state_of
from ..bulk.sources import Source

_MAGIC = frozenset("*?[")


class Found(NamedTuple):
    """An item of a source, and its place."""

    item: SourceItem
    key: Key
    root: str
    path: str  # "" where the root is the file itself
    stamp: str


class Places:
    """folder_roots: the folders that were indexed before, or are now."""

    def __init__(self, folder_roots: Iterable[str]) -> None:
        self._roots = set(folder_roots)
        self._root_of = cache(self._outermost)
        self._keys = Keys()

    def found(self, items: Iterable[SourceItem]) -> Iterator[Found]:
        for item in items:
            key = self._keys.key(item)
            root, path = self.of_file(key) if isinstance(key, str) else (key[0], _path_of_entry(item))
            yield Found(item, key, root, path, stamp_of(item, root, item.state))

    def of_file(self, key: str) -> tuple[str, str]:
        """Root and path of the file with this absolute path."""
        folder, _ = os.path.split(key)
        root = self._root_of(folder)
        if root is None:
            return key, ""
        return root, key[len(root) :].lstrip(os.sep)

    def _outermost(self, folder: str) -> str | None:
        found = [above for above in folders_above(folder) if above in self._roots]
        return found[-1] if found else None


def stamp_of(item: SourceItem, root: str, state: os.stat_result | None) -> str:
    """While it stays the same, so does the item's row. state: of its file.

    A file's ctime counts too: some tools keep its size and mtime when they change it, as exiftool -P may.
    """
    if state is None:
        return state_of(item)
    return f"{state_of(replace(item, stamp=file_stamp(state)))} {state.st_ctime_ns}"


class Scope(NamedTuple):
    """Which rows of a store a source speaks for: those at `path` and below.

    source: as it was spelled. is_source: False for a part of one that is looked at alone, which may well be empty.
    is_partial: it named some of the files there, so that another one that it did not name is not gone for that.
    """

    path: str
    source: str
    is_source: bool = True
    is_partial: bool = False


def scope_of(source: Source) -> Scope:
    if source.pattern is not None and is_image_name(source.path):
        top, key = absolute(_fixed_part(source.pattern)), file_key(source.path)
        path = top if top in folders_above(key) else os.path.dirname(key)  # a link on the way leads elsewhere
        return Scope(path, source.pattern, is_source=False, is_partial=True)
    return Scope(absolute(source.path) if os.path.isdir(source.path) else file_key(source.path), source.path)


def missing_scope(argument: str) -> Scope:
    """Of a source that is not there."""
    return Scope(absolute(_fixed_part(argument)), argument)


def folders_above(path: str) -> Iterator[str]:
    """The path itself, its folder, and so on up to the root of the file system."""
    while True:
        yield path
        path, below = os.path.dirname(path), path
        if path == below:
            return


class Below:
    """The paths that are one of `places`, or below one."""

    def __init__(self, places: Collection[str]) -> None:
        self.places = places
        self._has_folder = cache(lambda folder: any(above in places for above in folders_above(folder)))

    def __contains__(self, path: str) -> bool:
        return path in self.places or self._has_folder(os.path.dirname(path))


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
