"""Files that are either complete or absent, even after a power failure in the middle of a write."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from ..checkpoints.digest import file_sha256
from ..errors import CannotWrite

TEMPORARY = ".tmp"  # at the end of the name, so that patterns such as *.parquet do not find it


class WrittenFile(NamedTuple):
    name: str
    bytes: int
    sha256: str


def write_file(path: Path, content: bytes | memoryview) -> WrittenFile:
    """Write under a temporary name, sync, read back, rename, sync the folder. Raises CannotWrite."""
    temporary = path.with_name(path.name + TEMPORARY)
    digest = hashlib.sha256(content).hexdigest()
    try:
        _write(temporary, content, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        _check(temporary, digest)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}; run the same command again to continue") from error
    return WrittenFile(path.name, len(content), digest)


def append_line(path: Path, line: bytes) -> None:
    """Once this returns, the line survives a power failure. Where it raises CannotWrite, half a line may be left."""
    try:
        _write(path, line + b"\n", os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}; run the same command again to continue") from error


def truncate(path: Path, size: int) -> None:
    """Remove what a broken append left behind. Raises CannotWrite."""
    try:
        os.truncate(path, size)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Once this returns, what another program wrote into the folder survives a power failure. Raises OSError."""
    for path in folder.iterdir():
        if path.is_file():
            _sync(path)
    _sync(folder)


def is_whole(path: Path, written: WrittenFile) -> bool:
    try:
        return path.stat().st_size == written.bytes and file_sha256(path) == written.sha256
    except OSError:
        return False


def _check(path: Path, digest: str) -> None:
    if file_sha256(path) != digest:
        raise OSError(errno.EIO, "what was written does not read back the same")


def _write(path: Path, content: bytes | memoryview, flags: int) -> None:
    file = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    if os.name == "nt":  # Windows neither opens folders nor syncs files that are open for reading
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
