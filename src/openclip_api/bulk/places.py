"""Which item is which, however its source was spelled."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from typing import TypeAlias

from .items import SourceItem

Key: TypeAlias = str | tuple[str, str]  # a file's absolute path, or the absolute path of a table and the entry's name


class Keys:
    """Tells the key of an item. Links on the way to a source are resolved once."""

    def __init__(self) -> None:
        self.absolute = cache(absolute)

    def key(self, item: SourceItem) -> Key:
        if item.entry is not None:
            return self.absolute(item.source), item.entry
        if item.path == item.source:
            return file_key(item.path)
        return os.path.join(self.absolute(item.source), item.id.replace("/", os.sep))

    def stamp(self, item: SourceItem) -> bytes:
        """8 bytes for the item and its state: another name, size, time or column gives others."""
        identity = repr((self.key(item), state_of(item)))
        return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def absolute(folder: str) -> str:
    return os.path.realpath(folder)


def file_key(path: str) -> str:
    """The absolute path of a file; a link keeps its own name, as it does where its folder is looked through."""
    folder, name = os.path.split(path)
    return os.path.join(absolute(folder or os.curdir), name)


def state_of(item: SourceItem) -> str:
    """While it stays the same, so do the item's vector and columns."""
    if item.entry is None:
        return item.stamp
    state = repr((item.path, item.kind, item.stamp, dict(item.extra)))
    return hashlib.blake2b(state.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
