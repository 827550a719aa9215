"""Tar shards as webdataset makes them: members that share a name up to its first dot are one sample."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import IO, Any

from ..embedder import Kind
from ..errors import CannotWrite, InvalidSource
from .items import IMAGE_SUFFIXES, Item, Unreadable, unreadable
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
                yield from _sample(tar, path, key, list(members), columns, max_bytes)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidSource(f"{path}: the archive cannot be read to its end") from error


@contextmanager
def _plain(path: str) -> Iterator[IO[bytes]]:
    """The archive itself; a compressed one is unpacked first, into a file without a name: members are read back and
    forth, and each step back in a compressed file begins at its start. Raises CannotWrite."""
    if path.lower().endswith(".tar"):
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


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or it keeps every header it has seen
        if member.isreg():
            yield member


def _split(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def _sample(
    tar: tarfile.TarFile, path: str, key: str, members: list[tarfile.TarInfo], columns: Columns | None, max_bytes: int
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
    try:
        extra = {name: _text(tar, parts[name]) if name in parts else None for name in keep}
    except Unreadable as error:
        yield unreadable(key, path, kind, str(error))
        return
    yield _item(tar, path, key, parts[wanted], extra, kind, max_bytes)


def _item(
    tar: tarfile.TarFile, path: str, key: str, member: tarfile.TarInfo, extra: Any, kind: Kind, max_bytes: int
) -> Item:
    def load() -> str | bytes:
        if kind == "text":
            return _text(tar, member)
        if member.size > max_bytes:
            raise Unreadable(f"larger than {max_bytes / 1e6:g} MB")
        return _open(tar, member).read()

    stamp = f"{member.size} {member.mtime} {member.offset}"
    return Item(key, f"{path}/{member.name}", kind, load, stamp, at_once=True, extra=extra)


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.size > LARGEST_FIELD:
        raise Unreadable(f"larger than {LARGEST_FIELD / 1e6:g} MB")
    try:
        return _open(tar, member).read().decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{member.name}: not UTF-8") from error


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "only regular members come here"
    return file
