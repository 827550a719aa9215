"""Tar shards as webdataset makes them: members that share a name up to its first dot are one sample."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import IO

from ..errors import CannotWrite, DamagedSource
from ..inputs.formats import SUFFIXES as IMAGE_SUFFIXES
from ..runtime.embedding import Kind
from .items import (
    ReadContent,
    SourceItem,
    Unreadable,
    known_content,
    raise_unreadable,
    unreadable_item,
)
from .tables import Columns

SUFFIXES = (".tar", ".tar.gz", ".tgz")
LARGEST_FIELD = 1_000_000  # bytes of a member that is carried along, or embedded as a text


def archive_items(path: str, columns: Columns, max_bytes: int) -> Iterator[SourceItem]:
    """An item a sample: its image, or with a text column its text. A column's name is a suffix, such as txt or json.

    An item's id is the sample's name without suffixes. Raises DamagedSource where the archive itself is damaged.
    """
    try:
        with _uncompressed(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for key, members in groupby(_files(tar), lambda member: _split(member.name)[0]):
                yield from _sample(file, path, key, list(members), columns, max_bytes)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DamagedSource(f"{path}: the archive cannot be read to its end") from error


@contextmanager
def _uncompressed(path: str) -> Iterator[IO[bytes]]:
    """The archive, decompressed into a temporary file if need be. Raises CannotWrite.

    Members are not read in order, and a compressed file is read from its start again for each step back.
    """
    if _is_uncompressed(path):
        with open(path, "rb") as file:
            yield file
        return
    with gzip.open(path) as packed, tempfile.TemporaryFile() as file:
        while part := packed.read(1 << 20):
            try:
                file.write(part)
            except OSError as error:
                message = f"{path}: no room to unpack it in {tempfile.gettempdir()}; set TMPDIR to another folder"
                raise CannotWrite(message) from error
        file.seek(0)
        yield file


def _is_uncompressed(path: str) -> bool:
    return path.lower().endswith(".tar")


@dataclass(frozen=True)
class _Member:
    """A file in the archive: `size` bytes from `start` on."""

    name: str
    start: int
    size: int
    stamp: str
    is_sparse: bool


def _files(tar: tarfile.TarFile) -> Iterator[_Member]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or it keeps the headers of all members in memory
        if member.isreg():
            stamp = f"{member.size} {member.mtime} {member.offset}"
            yield _Member(member.name, member.offset_data, member.size, stamp, member.issparse())


def _split(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def _sample(
    file: IO[bytes], path: str, key: str, members: list[_Member], columns: Columns, max_bytes: int
) -> Iterator[SourceItem]:
    parts = {_split(member.name)[1]: member for member in members}
    kind: Kind = "text" if columns.role == "text" else "image"
    if columns.name is None:
        wanted = next((suffix for suffix in parts if f".{suffix}" in IMAGE_SUFFIXES), None)
    else:
        wanted = columns.name if columns.name in parts else None
    unreadable = partial(unreadable_item, key, path, kind, source=path, entry=key)
    if wanted is None:
        if columns.name is not None:  # without it, a sample may hold labels alone
            yield unreadable(f"the sample has no .{columns.name}")
        return
    member, largest = parts[wanted], LARGEST_FIELD if kind == "text" else max_bytes
    try:
        extra = {name: _text(file, parts[name], LARGEST_FIELD) if name in parts else None for name in columns.keep}
    except Unreadable as error:
        yield unreadable(str(error))
        return
    if _is_uncompressed(path):
        read: ReadContent = partial(_read_later, path, member, kind, largest)
    else:  # the temporary file is gone soon, and other processes cannot open it
        read = _read_now(file, member, kind, largest)
    yield SourceItem(key, f"{path}/{member.name}", kind, read, member.stamp, path, key, extra)


def _read_now(file: IO[bytes], member: _Member, kind: Kind, largest: int) -> ReadContent:
    try:
        return partial(known_content, _content(file, member, kind, largest))
    except Unreadable as error:
        return partial(raise_unreadable, str(error))


def _read_later(path: str, member: _Member, kind: Kind, largest: int) -> str | bytes:
    with open(path, "rb") as file:
        return _content(file, member, kind, largest)


def _content(file: IO[bytes], member: _Member, kind: Kind, largest: int) -> str | bytes:
    return _text(file, member, largest) if kind == "text" else _bytes(file, member, largest)


def _text(file: IO[bytes], member: _Member, largest: int) -> str:
    try:
        return _bytes(file, member, largest).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{member.name}: not UTF-8") from error


def _bytes(file: IO[bytes], member: _Member, largest: int) -> bytes:
    if member.size > largest:
        raise Unreadable(f"larger than {largest / 1e6:g} MB")
    if member.is_sparse:
        raise Unreadable("stored with holes (GNU sparse)")
    file.seek(member.start)
    content = file.read(member.size)
    if len(content) < member.size:
        raise Unreadable("the archive ends before it does")
    return content
