"""Which files below a folder are looked at, and a count of what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pathspec

from ..errors import InvalidSource
from .items import is_image_name, printable

# What NAS boxes, file managers and systems leave beside people's pictures. A name with a dot in front is hidden.
SYSTEM_NAMES = frozenset(
    {
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "__macosx",
        "lost+found",
        "system volume information",
        "recycler",
        "ehthumbs.db",
        "thumbs.db",
        "desktop.ini",
    }
)
LONGEST_KIND = 12
HIDDEN, EXCLUDED = "hidden", "excluded"


class Selection:
    """exclude: patterns as in a .gitignore, from the source's folder. Raises InvalidSource for one that is none."""

    def __init__(self, exclude: Sequence[str] = (), hidden: bool = False) -> None:
        self._hidden = hidden
        try:
            # A pattern for a folder, such as "!raw/", is also for all below it: right for a file, as its folders were
            # looked at before, and wrong for a folder. There the last pattern that fits the folder itself counts.
            self._exclude = {
                False: pathspec.GitIgnoreSpec.from_lines(exclude),
                True: pathspec.PathSpec.from_lines("gitignore", exclude),
            }
        except Exception as error:  # its own errors have no common class
            raise InvalidSource("--exclude: not a pattern as in a .gitignore") from error
        self._excludes = bool(exclude)

    def left_out(self, path: str, is_folder: bool) -> str | None:
        """The kind of what is left out, else None. path: below the source's folder, '/' between names."""
        name = path.rpartition("/")[2]
        is_store = is_folder and name.endswith(".lance")
        if not self._hidden and (name.startswith(".") or name.lower() in SYSTEM_NAMES or is_store):
            return HIDDEN
        if self._excludes and self._exclude[is_folder].match_file(f"{path}/" if is_folder else path):
            return EXCLUDED
        return None if is_folder or is_image_name(name) else _kind(name)

    def leaves_out_above(self, path: str) -> bool:
        """Whether a folder on the way to this path is left out."""
        folders = path.split("/")[:-1]
        return any(self.left_out("/".join(folders[: depth + 1]), True) for depth in range(len(folders)))


def told(left_out: Counter[str], most: int = 6) -> str:
    """31 left out (28 .svg, 3 .mov)"""
    kinds = left_out.most_common(most)
    if others := left_out.total() - sum(count for _, count in kinds):
        kinds.append(("others", others))
    return f"{left_out.total():,} left out ({', '.join(f'{count:,} {kind}' for kind, count in kinds)})"


def _kind(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()
    if not suffix.isprintable() or " " in suffix or len(suffix) > LONGEST_KIND:
        return "others"
    return printable(suffix) or "without suffix"
