"""A row as its readers see it: the owner at the command line, and whoever may ask the server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..bulk.items import printable
from .ranking import Row
from .schema import FILE_COLUMNS, INTERNAL, file_of, name_on_disk


def owners_row(row: Row, with_copies: bool) -> dict[str, Any]:
    """With the whole path of the row's file, if it has one."""
    shown = {name: value for name, value in row.columns.items() if name not in INTERNAL}
    file = row_file(row)
    shown["path"] = printable(file if file is not None else name_on_disk(shown["path"]))
    return shown | {"score": row.score} | ({"copies": row.copies} if with_copies else {})


def clients_row(row: Row, with_copies: bool) -> dict[str, Any]:
    """Without where on this machine the file lies: its name, and its folder from the root on."""
    shown = {name: value for name, value in row.columns.items() if name not in INTERNAL | {"id", "path"}}
    name, folder = name_and_folder(row.columns)
    facts = {"id": row.columns["id"], "name": name, "folder": folder, "has_file": row_file(row) is not None}
    return facts | shown | {"score": row.score} | ({"copies": row.copies} if with_copies else {})


def row_file(row: Row) -> str | None:
    return file_of(*(row.columns[name] for name in FILE_COLUMNS)) if "root" in row.columns else None


def name_and_folder(columns: dict[str, Any]) -> tuple[str, str]:
    """A file's name, and its folder below the root, which is called by its own name. Of what is inside a table or an
    archive: the entry's name, and the name of that file.
    """
    if "root" not in columns:
        return columns["id"], ""
    root, path = name_on_disk(columns["root"]), name_on_disk(columns["path"])
    top = os.path.basename(root) or root
    if columns["entry"] is not None:
        is_file = os.path.isabs(path)
        return printable(os.path.basename(path) if is_file else name_on_disk(columns["entry"])), printable(top)
    if not path:
        return printable(top), printable(os.path.basename(os.path.dirname(root)))
    folder, name = os.path.split(path)
    return printable(name), printable(f"{top}/{folder}" if folder else top)


def root_names(roots: Iterable[str]) -> list[str]:
    """What clients may call them: each by its own name, without where it lies."""
    return sorted({printable(os.path.basename(name_on_disk(root))) for root in roots} - {""})
