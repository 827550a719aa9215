"""One thing to embed, from wherever it comes, read only when its turn has come."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any, NoReturn, TypeAlias

from ..errors import first_line
from ..runtime.embedder import Kind

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp"})


Load: TypeAlias = Callable[[], str | bytes]


class Unreadable(Exception):
    """This one item cannot be read; the message is what its row says."""


@dataclass(frozen=True)
class Item:
    """`load` gives a text's string or an image's bytes. It may be called from any thread, and pickled: from a
    process on another machine that has the same files. It raises Unreadable, OSError, ValueError or RequestError.

    `stamp` changes when the content does: a file's size and time, or the content itself.
    """

    id: str
    path: str
    kind: Kind
    load: Load
    stamp: str
    extra: Mapping[str, Any] = field(default_factory=dict)


def unreadable(id: str, path: str, kind: Kind, reason: str, extra: Mapping[str, Any] | None = None) -> Item:
    """An item that is known to fail: its row says why."""
    return Item(id, path, kind, partial(fail, reason), reason, extra=extra or {})


def as_it_is(content: str | bytes) -> str | bytes:
    return content


def fail(reason: str) -> NoReturn:
    raise Unreadable(reason)


def image_file(id: str, path: str, max_bytes: int, extra: Mapping[str, Any] | None = None) -> Item:
    try:
        state = os.stat(path)
        stamp = f"{state.st_size} {state.st_mtime_ns}"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        stamp = reason(error)
    return Item(id, path, "image", partial(read_file, path, max_bytes), stamp, extra=extra or {})


def read_file(path: str, max_bytes: int) -> bytes:
    """A regular file's bytes. Never waits for a FIFO's writer, never opens a device. Raises Unreadable, OSError."""
    _check_regular(os.stat(path))
    # between the two looks a FIFO may have taken the file's place
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        _check_regular(os.fstat(file.fileno()))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Unreadable(f"larger than {max_bytes / 1e6:g} MB")
    return content


def _check_regular(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable("not a regular file")


def is_image_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def reason(error: BaseException) -> str:
    """One line for a row's error; never a path or a payload, the row has those."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)[:300]


def printable(text: str) -> str:
    """Names of files need not be UTF-8, columns of strings must be: other bytes become \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
