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

from ..errors import CannotWrite, InvalidSource
from ..runtime.embedding import Kind
from .items import IMAGE_SUFFIXES, Item, Load, Unreadable, as_it_is, fail, unreadable
from .tables import Columns

SUFFIXES = (".tar", ".tar.gz", ".tgz")
LARGEST_FIELD = 1_000_000  # bytes of a member that is carried along, or embedded as a text


def archive_items(path: str, columns: Columns | None, max_bytes: int) -> Iterator[Item]:
    """A sample's image, or with a text column its text; columns are the suffixes: txt, json.

    A sample's id is its name without suffixes. Raises InvalidSource where the archive itself is damaged.
    """
    try:
        with _plain(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for key, members in groupby(_files(tar), lambda member: _split(member.name)[0]):
                yield from _sample(file, path, key, list(members), columns, max_bytes)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidSource(f"{path}: the archive cannot be read to its end") from error


@contextmanager
def _plain(path: str) -> Iterator[IO[bytes]]:
    """The archive itself; a compressed one is unpacked first, into a file without a name: members are read back and
    forth, and each step back in a compressed file begins at its start. Raises CannotWrite."""
    if _is_plain(path):
        with open(path, "rb") as file:
            yield file
        return
    with gzip.open(path) as packed, tempfile.TemporaryFile() as file:
        while part := packed.read(1 << 20):
            try:
                file.write(part)
            except OSError as error:
                message = f"{path}: no room to unpack it in {tempfile.gettempdir()}; TMPDIR names another folder"
                raise CannotWrite(message) from error
        file.seek(0)
        yield file


def _is_plain(path: str) -> bool:
    return path.lower().endswith(".tar")


@dataclass(frozen=True)
class _Member:
    """Where a file's content stands in the archive: `size` bytes from `start` on."""

    name: str
    start: int
    size: int
    stamp: str
    is_sparse: bool


def _files(tar: tarfile.TarFile) -> Iterator[_Member]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or it keeps every header it has seen
        if member.isreg():
            stamp = f"{member.size} {member.mtime} {member.offset}"
            yield _Member(member.name, member.offset_data, member.size, stamp, member.issparse())


def _split(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def _sample(
    file: IO[bytes], path: str, key: str, members: list[_Member], columns: Columns | None, max_bytes: int
) -> Iterator[Item]:
    parts = {_split(member.name)[1]: member for member in members}
    kind: Kind = "text" if columns is not None and columns.role == "text" else "image"
    if columns is None:
        wanted = next((suffix for suffix in parts if f".{suffix}" in IMAGE_SUFFIXES), None)
    else:
        wanted = columns.name if columns.name in parts else None
    if wanted is None:
        if columns is not None:  # an image was not promised: the sample may be labels alone
            yield unreadable(key, path, kind, f"the sample has no .{columns.name}")
        return
    keep = columns.keep if columns else ()
    member, most = parts[wanted], LARGEST_FIELD if kind == "text" else max_bytes
    load: Load = partial(_load, path, member, kind, most)
    try:
        extra = {name: _text(file, parts[name], LARGEST_FIELD) if name in parts else None for name in keep}
    except Unreadable as error:
        yield unreadable(key, path, kind, str(error))
        return
    if not _is_plain(path):  # what it is unpacked into is this process's, and not for long
        load = _at_once(file, member, kind, most)
    yield Item(key, f"{path}/{member.name}", kind, load, member.stamp, extra=extra)


def _at_once(file: IO[bytes], member: _Member, kind: Kind, most: int) -> Load:
    try:
        return partial(as_it_is, _content(file, member, kind, most))
    except Unreadable as error:
        return partial(fail, str(error))


def _load(path: str, member: _Member, kind: Kind, most: int) -> str | bytes:
    with open(path, "rb") as file:
        return _content(file, member, kind, most)


def _content(file: IO[bytes], member: _Member, kind: Kind, most: int) -> str | bytes:
    return _text(file, member, most) if kind == "text" else _bytes(file, member, most)


def _text(file: IO[bytes], member: _Member, most: int) -> str:
    try:
        return _bytes(file, member, most).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{member.name}: not UTF-8") from error


def _bytes(file: IO[bytes], member: _Member, most: int) -> bytes:
    if member.size > most:
        raise Unreadable(f"larger than {most / 1e6:g} MB")
    if member.is_sparse:
        raise Unreadable("stored with holes (GNU sparse)")
    file.seek(member.start)
    content = file.read(member.size)
    if len(content) < member.size:
        raise Unreadable("the archive ends within it")
    return content
