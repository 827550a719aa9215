"""Opens the file of a row, for who may see it at full size: only below the row's root, only a regular file, an image.

Somebody else may write in that folder. So no link leads out of it, also not one that replaces a folder meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple

from ..bulk.items import Unreadable
from ..inputs.formats import format_of
from .schema import name_on_disk

SNIFFED = 4096  # bytes
CHUNK = 256 * 1024
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes
_HAS_DIR_FD = os.open in os.supports_dir_fd
LEADS_OUT = "its file lies outside its root, perhaps through a link: index that folder itself"


class ListedFile(NamedTuple):
    """file: at its start. state: as it was when the file was opened."""

    file: BinaryIO
    media_type: str
    state: os.stat_result


def open_listed(root: str, path: str, entry: str | None) -> ListedFile:
    """root, path and entry: of a row. Raises Unreadable, OSError."""
    top, below = _top_and_rest(name_on_disk(root), name_on_disk(path), entry)
    top = os.path.realpath(top)
    real = os.path.realpath(os.path.join(top, below))
    rest = os.path.relpath(real, top)
    if rest.split(os.sep)[0] in (os.pardir, os.curdir) or os.path.isabs(rest):
        raise Unreadable(LEADS_OUT)
    file = os.fdopen(_opened(top, rest.split(os.sep)), "rb")
    try:
        return _inspected(file)
    except BaseException:
        file.close()
        raise


def _inspected(file: BinaryIO) -> ListedFile:
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable("not a regular file")
    media_type = image_type(file.read(SNIFFED))
    if media_type is None:
        raise Unreadable("not an image")
    file.seek(0)
    return ListedFile(file, media_type, state)


def chunks(listed: ListedFile) -> Iterator[bytes]:
    """No more bytes than the file had when it was opened, though it may grow."""
    left = listed.state.st_size
    with listed.file as file:
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def image_type(start: bytes) -> str | None:
    """The media type that a file's first bytes tell, None if it is no image. SVG is none: it may hold scripts."""
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") not in _BMP_HEADERS:
        return None  # a text may begin so
    found = format_of(start)
    return None if found is None else found.media_types[0]


def _top_and_rest(root: str, path: str, entry: str | None) -> tuple[str, str]:
    """The folder that the file has to be below, and its path from there."""
    if entry is not None:
        if not os.path.isabs(path):
            raise Unreadable("no file of its own")
        return os.path.dirname(root), path  # an image that a table names
    return (root, path) if path else os.path.split(root)


def _opened(top: str, names: list[str]) -> int:
    """A descriptor. The path holds no link any more; one that appears meanwhile is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if not _HAS_DIR_FD:  # Windows
        return os.open(os.path.join(top, *names), flags)
    folder_flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
    with ExitStack() as stack:
        folder = os.open(top, folder_flags)
        stack.callback(os.close, folder)
        for name in names[:-1]:
            folder = os.open(name, folder_flags, dir_fd=folder)
            stack.callback(os.close, folder)
        if not stat.S_ISREG(os.stat(names[-1], dir_fd=folder, follow_symlinks=False).st_mode):
            raise Unreadable("not a regular file")  # to open a device may already do something
        return os.open(names[-1], flags, dir_fd=folder)
