"""SOURCE... of the command line → items, in the same order each time."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from ..errors import DamagedSource, InvalidSource, MissingSource, first_line
from .archives import SUFFIXES as ARCHIVES
from .archives import archive_items
from .column_types import common_type, wider_type
from .folders import FolderScan
from .items import SourceItem, image_file_item, is_image_name, known_content, printable, unreadable_item
from .selection import Selection
from .tables import SUFFIXES as TABLES
from .tables import Columns, ImageAccess, is_typed, kept_types, lines, table_items

LONGEST_TEXT = 1_000_000  # bytes of a line


class Source(NamedTuple):
    """A folder or a file that the arguments name. pattern: the one that it was found by, if it was."""

    path: str
    pattern: str | None = None


class Sources:
    """Folders, globs, images, text files, tables and tar shards, one after the other.

    A table or archive that turns out to be damaged is an item that fails, after those that could be read; `damaged` has
    the messages. `left_out` counts what the folders hold beside images. Both are of the last iteration.
    Raises InvalidSource for what is not there or cannot be a source.
    """

    def __init__(
        self, arguments: Sequence[str], columns: Columns, access: ImageAccess, selection: Selection | None = None
    ) -> None:
        self._columns = columns
        self._access = access
        self._selection = selection or Selection()
        self.left_out = Counter[str]()
        self.damaged: list[str] = []
        self._kept_types: dict[str, pa.DataType] | None = None
        self.all = [source for argument in arguments for source in expanded(argument)]
        if columns.types.keys() - set(columns.keep):
            raise InvalidSource("--column-type: name a column that --keep carries along")
        if columns.name is not None:
            return
        for path in self.paths:
            if path.lower().endswith(TABLES):
                raise InvalidSource(
                    f"{printable(path)}: name its column: --path-column, --url-column, --image-column, --text-column"
                )
        if columns.id or (columns.keep and not any(path.lower().endswith(ARCHIVES) for path in self.paths)):
            raise InvalidSource("--id-column and --keep: also name the column to embed, with --image-column or another")

    @property
    def paths(self) -> list[str]:
        """The folders and files that the arguments name."""
        return [source.path for source in self.all]

    def __iter__(self) -> Iterator[SourceItem]:
        self.left_out.clear()
        self.damaged.clear()
        for path in self.paths:
            try:
                yield from self._items(path)
            except DamagedSource as error:
                self.damaged.append(str(error))
                name, message = os.path.basename(path), first_line(error).removeprefix(f"{path}: ")
                yield unreadable_item(name, path, "image", message, source=path, entry=name, is_doubtful=True)

    def kept_types(self) -> dict[str, pa.DataType]:
        """The extra columns of the output. Raises InvalidSource where two sources differ in them."""
        if self._kept_types is None:
            self._kept_types = self._found_types()
        return self._kept_types

    def join_types(self, known: Mapping[str, pa.DataType]) -> None:
        """Read the kept columns as types that hold what there is already too, but for those of --column-type."""
        self._kept_types = {
            name: type if name in self._columns.types else wider_type(known.get(name, type), type) or type
            for name, type in self.kept_types().items()
        }

    def _found_types(self) -> dict[str, pa.DataType]:
        types: dict[str, pa.DataType] = {}
        fixed: set[str] = set()
        for path in self.paths:
            for name, type in self._types_in(path).items():
                if is_typed(path) or name in fixed:
                    if types.setdefault(name, type) != type:
                        raise InvalidSource(f"{path}: column {name!r} is {type}, elsewhere it is {types[name]}")
                    fixed |= {name} if is_typed(path) else set()
                types[name] = common_type(types.get(name, type), type)
        return {name: types.get(name, pa.null()) for name in self._columns.keep}

    def _types_in(self, path: str) -> dict[str, pa.DataType]:
        if path.lower().endswith(ARCHIVES):
            return dict.fromkeys(self._columns.keep, pa.string())
        if not path.lower().endswith(TABLES):
            return {}
        try:
            return kept_types(path, self._columns)
        except DamagedSource:  # it is told of when its items are read
            return {}

    def scan(self, folder: str) -> FolderScan:
        return FolderScan(folder, self._access.max_bytes, self._selection, self.left_out)

    def _items(self, path: str) -> Iterator[SourceItem]:
        suffix = os.path.splitext(path)[1].lower()
        if os.path.isdir(path):
            return self.scan(path).items()
        if suffix in TABLES:
            return table_items(path, self._columns, self._access, self.kept_types())
        if path.lower().endswith(ARCHIVES):
            return archive_items(path, self._columns, self._access.max_bytes)
        if suffix == ".txt":
            return _text_lines(path)
        return iter([image_file_item(path, path, self._access.max_bytes, source=path)])


def expanded(argument: str) -> list[Source]:
    """What an argument names: a folder or a file, or the files that fit a pattern. Raises InvalidSource."""
    if not argument:
        raise InvalidSource("a SOURCE is empty: name a folder, a file or a pattern")
    if os.path.lexists(argument):
        found = [Source(argument)]
    else:
        paths = sorted(glob.glob(argument, recursive=True), key=os.fsencode)
        if not paths:
            raise MissingSource(f"{printable(argument)}: no such file or folder, and no file matches it as a pattern")
        found = [Source(path, argument) for path in paths if not os.path.isdir(path)] or [Source(p) for p in paths]
    for source in found:
        _check(source.path)
    return found


def _check(path: str) -> None:
    """Raises InvalidSource. A name of an image is accepted unseen: if it cannot be read, its row says why."""
    if is_image_name(path):
        return
    try:
        state = os.stat(path)
    except FileNotFoundError as error:  # a link that leads nowhere
        raise MissingSource(f"{printable(path)}: {error.strerror}") from error
    except OSError as error:
        raise InvalidSource(f"{printable(path)}: {error.strerror}") from error
    known = path.lower().endswith((*TABLES, *ARCHIVES, ".txt"))
    if not stat.S_ISDIR(state.st_mode) and not (stat.S_ISREG(state.st_mode) and known):
        raise InvalidSource(
            f"{printable(path)}: not a folder, an image, or a .txt, .csv, .tsv, .jsonl, .parquet, .tar or .tar.gz file"
        )


def _text_lines(path: str) -> Iterator[SourceItem]:
    """An item for each line that is not blank. Its id is the file's name and the line's number."""
    name = os.path.basename(path)
    for number, line in lines(path, LONGEST_TEXT):
        id = f"{name}:{number}"
        if isinstance(line, str):
            yield unreadable_item(id, path, "text", line, source=path, entry=id)
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            yield unreadable_item(id, path, "text", "the line is not UTF-8", source=path, entry=id)
            continue
        yield SourceItem(id, path, "text", partial(known_content, text), text, path, id)
