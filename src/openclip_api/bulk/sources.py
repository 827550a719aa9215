"""SOURCE... of the command line → items, in the same order each time."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from ..errors import InvalidSource
from .archives import SUFFIXES as ARCHIVES
from .archives import archive_items
from .folders import folder_items
from .items import SourceItem, image_file_item, is_image_name, known_content, printable, unreadable_item
from .tables import SUFFIXES as TABLES
from .tables import Columns, ImageAccess, kept_types, lines, table_items

LONGEST_TEXT = 1_000_000  # bytes of a line


@dataclass(frozen=True)
class Survey:
    """What a pass over all items finds without reading their contents.

    sha256: a digest of their names and stamps. duplicates: how many items have the id of an earlier one.
    """

    items: int
    sha256: str
    duplicates: int


class Sources:
    """Folders, globs, images, text files, tables and tar shards, one after the other.

    Raises InvalidSource for what is not there or cannot be a source.
    """

    def __init__(self, arguments: Sequence[str], columns: Columns | None, access: ImageAccess) -> None:
        self._columns = columns
        self._access = access
        self._paths = [path for argument in arguments for path in _expanded(argument)]
        for path in self._paths:
            if path.lower().endswith(TABLES) and columns is None:
                raise InvalidSource(
                    f"{path}: name its column: --path-column, --url-column, --image-column, --text-column"
                )

    @property
    def paths(self) -> list[str]:
        """The folders and files that the arguments name."""
        return self._paths

    def __iter__(self) -> Iterator[SourceItem]:
        for path in self._paths:
            yield from self._items(path)

    def kept_types(self) -> dict[str, pa.DataType]:
        """The extra columns of the output. Raises InvalidSource where two sources differ in them."""
        keep = self._columns.keep if self._columns else ()
        types: dict[str, pa.DataType] = {}
        for path in self._paths:
            for name, type in (kept_types(path, keep) if path.lower().endswith((*TABLES, *ARCHIVES)) else {}).items():
                if types.setdefault(name, type) != type:
                    raise InvalidSource(f"{path}: column {name!r} is {type}, elsewhere it is {types[name]}")
        return {name: types.get(name, pa.string()) for name in keep}

    def _items(self, path: str) -> Iterator[SourceItem]:
        suffix = os.path.splitext(path)[1].lower()
        if os.path.isdir(path):
            return folder_items(path, self._access.max_bytes)
        if suffix in TABLES:
            assert self._columns is not None, "checked in __init__"
            return table_items(path, self._columns, self._access)
        if path.lower().endswith(ARCHIVES):
            return archive_items(path, self._columns, self._access.max_bytes)
        if suffix == ".txt":
            return _text_lines(path)
        return iter([image_file_item(path, path, self._access.max_bytes)])


def survey(items: Iterable[SourceItem]) -> Survey:
    """Count the items and digest their names. Keeps 8 bytes an item in memory: millions must fit."""
    digest = hashlib.sha256()
    ids = array("Q")
    for item in items:
        identity = repr((item.id, item.path, item.kind, item.stamp, dict(item.extra)))
        digest.update(identity.encode("utf-8", "surrogateescape"))
        id = hashlib.blake2b(item.id.encode("utf-8", "surrogateescape"), digest_size=8)
        ids.append(int.from_bytes(id.digest(), "little"))
    different = len(np.unique(np.frombuffer(ids, np.uint64))) if ids else 0
    return Survey(len(ids), digest.hexdigest(), len(ids) - different)


def _expanded(argument: str) -> list[str]:
    if os.path.lexists(argument):
        found = [argument]
    else:
        found = sorted(glob.glob(argument, recursive=True), key=os.fsencode)
        if not found:
            raise InvalidSource(f"{printable(argument)}: no such file or folder, and no file that it fits as a pattern")
        found = [path for path in found if not os.path.isdir(path)] or found
    for path in found:
        _check(path)
    return found


def _check(path: str) -> None:
    """Raises InvalidSource. A name of an image is accepted unseen: if it cannot be read, its row says why."""
    if is_image_name(path):
        return
    try:
        state = os.stat(path)
    except OSError as error:
        raise InvalidSource(f"{printable(path)}: {error.strerror}") from error
    known = path.lower().endswith((*TABLES, *ARCHIVES, ".txt"))
    if not stat.S_ISDIR(state.st_mode) and not (stat.S_ISREG(state.st_mode) and known):
        raise InvalidSource(
            f"{printable(path)}: neither a folder nor an image, .txt, .csv, .tsv, .jsonl, .parquet, .tar, .tar.gz file"
        )


def _text_lines(path: str) -> Iterator[SourceItem]:
    """An item for each line that is not blank. Its id is the file's name and the line's number."""
    name = os.path.basename(path)
    for number, line in lines(path, LONGEST_TEXT):
        id = f"{name}:{number}"
        if isinstance(line, str):
            yield unreadable_item(id, path, "text", line)
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            yield unreadable_item(id, path, "text", "the line is not UTF-8")
            continue
        yield SourceItem(id, path, "text", partial(known_content, text), text)
