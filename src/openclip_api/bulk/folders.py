"""The images below a folder, always in the same order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from .items import SourceItem, image_file_item, is_image_name, reason, unreadable_item

LOOP = "a link that leads back into a folder above it"
FolderIdentity = tuple[int, int]  # device and inode


def folder_items(folder: str, max_bytes: int) -> Iterator[SourceItem]:
    """Files with an image's suffix, recursively and through links. What cannot be opened is an item that fails.

    An item's id is its path below the folder, with '/' between names.
    """
    above: list[tuple[FolderIdentity, Iterator[str]]] = []
    here: str | None = folder
    while here is not None or above:
        if here is not None:
            state, names = os.stat(here), _names(here)
            above.append(((state.st_dev, state.st_ino), iter(names)))
            here = None
        path = next(above[-1][1], None)
        if path is None:
            above.pop()
            continue
        found = _inspect(path, folder, max_bytes, {identity for identity, _ in above})
        if isinstance(found, SourceItem):
            yield found
        else:
            here = found


def _inspect(path: str, folder: str, max_bytes: int, above: set[FolderIdentity]) -> SourceItem | str | None:
    """An item, a folder to enter, or None for a file that is no image."""
    id = os.path.relpath(path, folder).replace(os.sep, "/")
    try:
        state = os.stat(path)
        if not stat.S_ISDIR(state.st_mode):
            return image_file_item(id, path, max_bytes) if is_image_name(path) else None
        if (state.st_dev, state.st_ino) in above:
            return unreadable_item(id, path, "image", LOOP)
        os.scandir(path).close()
    except OSError as error:
        return unreadable_item(id, path, "image", reason(error))
    return path


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((entry.path for entry in entries), key=os.fsencode)
