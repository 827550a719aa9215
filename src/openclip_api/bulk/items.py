"""One text or image of a source. Its content is read only shortly before it is embedded."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, TypeAlias

from ..errors import first_line
from ..inputs.formats import SUFFIXES as IMAGE_SUFFIXES
from ..runtime.embedding import Kind

ReadContent: TypeAlias = Callable[[], str | bytes]


class Unreadable(Exception):
    """This one item cannot be read. The message becomes the error of its row."""


@dataclass(frozen=True)
class SourceItem:
    """A text or an image of a source, not read yet.

    `read` returns a text's string or an image's bytes. Any thread may call it, also after pickling, in a process on
    another machine that has the same files. It raises Unreadable, OSError, ValueError or RequestError.
    `stamp` changes when the content changes: a file's size and time, or the content itself.
    `extra`: the values of the columns that are carried along.
    `source`: the folder, table, text file or archive that it was found in; a file that was named itself is its own.
    `entry`: its name in a table, text file or archive; None where the file at `path` is the item.
    `is_file`: whether `path` is a file that holds the content and nothing else.
    `is_doubtful`: nobody can look there now, so what was there, and below, may be there still.
    `state`: of the file at `path` if `is_file`, where it could be asked for.
    """

    id: str
    path: str
    kind: Kind
    read: ReadContent
    stamp: str
    source: str
    entry: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    is_file: bool = False
    is_doubtful: bool = False
    state: os.stat_result | None = None


def unreadable_item(
    id: str, path: str, kind: Kind, reason: str, *, source: str, entry: str | None = None, **more: Any
) -> SourceItem:
    """An item whose failure is known before it is read: its row gets `reason` as its error."""
    return SourceItem(id, path, kind, partial(raise_unreadable, reason), reason, source, entry, **more)


def known_content(content: str | bytes) -> str | bytes:
    """With functools.partial, a ReadContent for content that is in memory; unlike a lambda, it can be pickled."""
    return content


def raise_unreadable(reason: str) -> NoReturn:
    raise Unreadable(reason)


def image_file_item(
    id: str,
    path: str,
    max_bytes: int,
    *,
    source: str,
    entry: str | None = None,
    extra: Mapping[str, object] | None = None,
    state: os.stat_result | None = None,
) -> SourceItem:
    """state: of the file, if it is known."""
    is_doubtful = False
    try:
        state = state or os.stat(path)
        stamp = file_stamp(state)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        stamp, is_doubtful = reason(error), isinstance(error, OSError)
    read = partial(read_file, path, max_bytes)
    return SourceItem(id, path, "image", read, stamp, source, entry, extra or {}, True, is_doubtful, state)


def file_stamp(state: os.stat_result) -> str:
    return f"{state.st_size} {state.st_mtime_ns}"


def read_file(path: str, max_bytes: int) -> bytes:
    """A regular file's bytes. Never waits for a FIFO's writer, never opens a device. Raises Unreadable, OSError."""
    return read_file_and_state(path, max_bytes)[0]


def read_file_and_state(path: str, max_bytes: int) -> tuple[bytes, os.stat_result]:
    """As read_file, with the file's state from before it was read: a file that grows meanwhile has another one then."""
    _check_regular(os.stat(path))
    # O_NONBLOCK and a second check: a FIFO may have replaced the file since the first one
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        state = os.fstat(file.fileno())
        _check_regular(state)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Unreadable(f"larger than {max_bytes / 1e6:g} MB")
    return content, state


def _check_regular(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable("not a regular file")


def is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def reason(error: BaseException) -> str:
    """One line for a row's error. It holds neither the path nor the content: the row has the path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)[:300]


def printable(text: str) -> str:
    """Valid UTF-8, as columns of strings must be. A file's name may hold other bytes; each becomes \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
