"""Files that are whole or not there, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from ..checkpoints.digest import file_sha256
from ..errors import CannotWrite

TEMPORARY = ".tmp"  # behind the name: patterns such as *.parquet must not find it


class Written(NamedTuple):
    name: str
    bytes: int
    sha256: str


def write_file(path: Path, content: bytes | memoryview) -> Written:
    """Temporary name, sync, read back, rename, sync of the folder. Raises CannotWrite."""
    temporary = path.with_name(path.name + TEMPORARY)
    digest = hashlib.sha256(content).hexdigest()
    try:
        _write(temporary, content, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        _check(temporary, digest)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}; the same command goes on from here") from error
    return Written(path.name, len(content), digest)


def append_line(path: Path, line: bytes) -> None:
    """The line is there for good once this returns; half a line may be left otherwise. Raises CannotWrite."""
    try:
        _write(path, line + b"\n", os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}; the same command goes on from here") from error


def cut(path: Path, size: int) -> None:
    """What a broken append left behind goes. Raises CannotWrite."""
    try:
        os.truncate(path, size)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """What another program wrote into it is there for good once this returns. Raises OSError."""
    for path in folder.iterdir():
        if path.is_file():
            _sync(path)
    _sync(folder)


def is_whole(path: Path, written: Written) -> bool:
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
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, nor a file that is only read be synced
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
