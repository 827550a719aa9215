"""Which folder owns a file. The rule, for pictures and not for the rows of tables and archives:

The outermost folder that was ever indexed owns all pictures below it. Each way to spell a path into it means the same:
relative, through "..", through a link to it, or in another case where the file system knows no case. A link below a
root is followed, and what is there is called by the link's name; a source that is such a link means the files that it
leads to where a root owns these, else those below the link.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache

from ..bulk.folders import FolderIdentity
from ..bulk.places import absolute


class Roots:
    """known: the absolute paths of the folders that were indexed as wholes. more: those that are now, as spelled."""

    def __init__(self, known: Iterable[str], more: Iterable[str] = ()) -> None:
        self._known: dict[FolderIdentity, str] = {}
        self._names = cache(_names)
        self.folders: set[str] = set()
        for path in sorted(known, key=len):
            self._add(path)
        for path in sorted(more, key=lambda path: len(_without_dots(path))):  # what holds others comes first
            self._add(self._folder(path))
        self.folder = cache(self._folder)
        self._owner = cache(self._outermost)
        self._device = cache(lambda path: (_identity(path) or (None,))[0])

    def file(self, path: str) -> str:
        """The absolute path of a file; a link keeps its own name, as it does where its folder is looked through."""
        folder, name = os.path.split(path)
        folder = self.folder(folder or os.curdir)
        return os.path.join(folder, self._true_name(folder, name))

    def owner(self, file: str) -> tuple[str, str]:
        """The root of the file with this absolute path, and its path below it: "" where no folder owns it."""
        root = self._owner(os.path.dirname(file))
        return (file, "") if root is None else (root, file[len(root) :].lstrip(os.sep))

    def is_on_other_disk(self, root: str, state: os.stat_result | None) -> bool:
        """Whether a file with this state is on another disk than its root: one that may be away the next time."""
        device = self._device(root)
        return state is not None and bool(state.st_dev) and device is not None and state.st_dev != device

    def disk_is_away(self, root: str, file: str) -> str | None:
        """Of a file that is gone and was on another disk than its root: the folder that this disk is missing in."""
        there = next(above for above in folders_above(os.path.dirname(file)) if self._device(above) is not None)
        return there if self._device(there) == self._device(root) else None

    def _folder(self, path: str) -> str:
        """The absolute path of a folder, below its root if it has one."""
        real = absolute(path)
        return self._below_a_root(real) or self._below_a_root(_without_dots(path)) or real

    def _below_a_root(self, path: str) -> str | None:
        for above in reversed(list(folders_above(path))):
            root = self._known.get(_identity(above) or (0, 0))
            if root is not None:
                for name in path[len(above) :].split(os.sep):
                    root = os.path.join(root, self._true_name(root, name)) if name else root
                return root
        return None

    def _add(self, folder: str) -> None:
        self.folders.add(folder)
        if (identity := _identity(folder)) is not None:
            self._known.setdefault(identity, folder)

    def _true_name(self, folder: str, name: str) -> str:
        """As the folder lists it: on some systems other letters mean the same file."""
        names, path = self._names(folder), os.path.join(folder, name)
        if name in names or not os.path.lexists(path):
            return name
        return next(
            (other for other in names if os.path.samestat(os.lstat(os.path.join(folder, other)), os.lstat(path))), name
        )

    def _outermost(self, folder: str) -> str | None:
        found = [above for above in folders_above(folder) if above in self.folders]
        return found[-1] if found else None


class Below:
    """The paths that are one of `places`, or below one."""

    def __init__(self, places: Collection[str]) -> None:
        self.places = places
        self._has_folder = cache(lambda folder: any(above in places for above in folders_above(folder)))

    def __contains__(self, path: str) -> bool:
        return path in self.places or self._has_folder(os.path.dirname(path))


def folders_above(path: str) -> Iterator[str]:
    """The path itself, its folder, and so on up to the root of the file system."""
    while True:
        yield path
        path, below = os.path.dirname(path), path
        if path == below:
            return


def _without_dots(path: str) -> str:
    """Absolute, with the links that are on the way, but for those before a "..": that leads to where a link points."""
    full = os.path.join(os.getcwd(), path)
    parts = full.split(os.sep)
    if os.pardir in parts:
        last = len(parts) - parts[::-1].index(os.pardir)
        full = os.path.join(os.path.realpath(os.sep.join(parts[:last])), *parts[last:])
    return os.path.normpath(full)


def _identity(path: str) -> FolderIdentity | None:
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()
