"""Which rows are below a folder."""

from __future__ import annotations

import operator
import os
from functools import reduce

from lancedb.expr import Expr, col, lit

from ..errors import InvalidInput
from .roots import Roots
from .schema import name_on_disk, stored_name
from .store import Store


def under(store: Store, folder: str) -> Expr:
    """folder: below a root, as "2021/beach", or with the root's own name before it, as "photos/2021".

    Raises InvalidInput if it is the folder of nobody's row.
    """
    wanted = os.path.normpath(folder) if folder else ""
    if not wanted or os.path.isabs(wanted) or wanted.split("/")[0] == "..":
        raise InvalidInput("under: name a folder below a root, such as 2021/beach", "under")
    parts = []
    for root in store.roots():
        top = os.path.basename(name_on_disk(root))
        parts.append((root, stored_name(wanted)))
        if wanted == top:
            parts.append((root, ""))
        elif wanted.startswith(f"{top}/"):
            parts.append((root, stored_name(wanted[len(top) + 1 :])))
    return _any_of(parts)


def under_path(store: Store, folder: str) -> Expr | None:
    """folder: on this machine, however it is spelled. None if there is no root above or below it."""
    tops = [name_on_disk(root) for root in store.roots()]
    wanted = Roots(tops).folder(folder)
    parts = []
    for root, top in zip(store.roots(), tops, strict=True):
        if _is_below(top, wanted):
            parts.append((root, ""))
        elif _is_below(wanted, top):
            parts.append((root, stored_name(wanted[len(top) :].lstrip("/"))))
    return _any_of(parts) if parts else None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _any_of(parts: list[tuple[str, str]]) -> Expr:
    """The rows of these roots whose path is below the folder beside the root; "" is the root itself."""
    never = col("id") != col("id")
    return reduce(operator.or_, [_one(root, folder) for root, folder in parts], never)


def _one(root: str, folder: str) -> Expr:
    of_root = col("root") == lit(root)
    if not folder:
        return of_root
    # all that begins with "2021/": '0' is the character behind '/'
    return of_root & (col("path") >= lit(f"{folder}/")) & (col("path") < lit(f"{folder}0"))
