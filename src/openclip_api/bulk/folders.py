"""The images below a folder, always in the same order."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .items import SourceItem, image_file_item, reason, unreadable_item
from .selection import Selection

LOOP = "a link that leads back into a folder above it"
FolderIdentity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class FolderScan:
    """Looks below `folder`, recursively and through links. What cannot be opened is an item that fails.

    An item's id is its path below the folder, with '/' between names. left_out: counts what is no image, by kind.
    """

    folder: str
    max_bytes: int
    selection: Selection
    left_out: Counter[str]

    def items(self, start: str = "") -> Iterator[SourceItem]:
        """start: the folder below `folder` to begin at."""
        above: list[_Open] = []
        here: str | None = start
        outside = _folders_above(os.path.join(self.folder, start))
        while here is not None or above:
            if here is not None:
                try:
                    above.append(self._opened(here))
                except OSError as error:
                    yield self._unreadable(here, reason(error), is_doubtful=True)
                here = None
                continue
            entry = next(above[-1].entries, None)
            if entry is None:
                above.pop()
                continue
            found = self._inspect(
                entry, f"{above[-1].path}{entry.name}", outside | {folder.identity for folder in above}
            )
            if isinstance(found, SourceItem):
                yield found
            else:
                here = found

    def _opened(self, path: str) -> _Open:
        folder = os.path.join(self.folder, path) if path else self.folder
        state = os.stat(folder)
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        return _Open(f"{path}/" if path else "", (state.st_dev, state.st_ino), iter(ordered))

    def _inspect(self, entry: os.DirEntry[str], id: str, above: set[FolderIdentity]) -> SourceItem | str | None:
        """An item, a folder to enter, or None for what is left out."""
        try:
            state = entry.stat()
            is_folder = stat.S_ISDIR(state.st_mode)
        except FileNotFoundError:
            if not entry.is_symlink():  # it is gone since the folder was listed
                return None
            # it may have been a folder, such as that of a disk which is not there now
            return None if self._leaves_out(id, True) else self._unreadable(id, "No such file or directory", True)
        except OSError as error:
            return None if self._leaves_out(id, True) else self._unreadable(id, reason(error), True)
        if self._leaves_out(id, is_folder):
            return None
        if not is_folder:
            return image_file_item(id, entry.path, self.max_bytes, source=self.folder, state=state)
        if entry.is_symlink():
            state = os.stat(entry.path)  # where Windows lists a folder it tells no inode
        if (state.st_dev, state.st_ino) in above:
            return self._unreadable(id, LOOP)
        return id

    def _leaves_out(self, id: str, is_folder: bool) -> bool:
        kind = self.selection.left_out(id, is_folder)
        if kind is not None:
            self.left_out[kind] += 1
        return kind is not None

    def _unreadable(self, id: str, reason: str, is_doubtful: bool = False) -> SourceItem:
        path = os.path.join(self.folder, id) if id else self.folder
        id = id or os.path.basename(os.path.normpath(path))
        return unreadable_item(id, path, "image", reason, source=self.folder, is_doubtful=is_doubtful)


def _folders_above(path: str) -> set[FolderIdentity]:
    """All that a path is in, by its name and by where its links lead: a link to one of them comes back to the path."""
    found = set()
    for above in {*Path(os.path.realpath(path)).parents, *Path(os.path.abspath(path)).parents}:
        with contextlib.suppress(OSError):
            state = above.stat()
            found.add((state.st_dev, state.st_ino))
    return found


class _Open(NamedTuple):
    """A folder that is being looked through."""

    path: str  # below the source, with a '/' at the end
    identity: FolderIdentity
    entries: Iterator[os.DirEntry[str]]
