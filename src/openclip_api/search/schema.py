"""The columns of a store, and how the names of files stand in them.

A row is an item of a source: a file below a folder, or an entry of a table, a text file or an archive. An item that
could not be read is a row too, with `error` and without a vector: one commit of the table changes all that is known.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping

import pyarrow as pa

from ..bulk.items import printable
from ..errors import InvalidStore

LAYOUT = b"2"  # of the columns; a store of another one is refused
COLUMN_NAME = re.compile(r"[^\W\d][\w-]*")  # Lance reads a dot as a way into a structure

OWN_COLUMNS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # unique; the name as users see it
        pa.field("root", pa.string(), nullable=False),  # the absolute path of the source, links resolved
        pa.field("path", pa.string(), nullable=False),  # below the root; for entries see `file_of`
        pa.field("entry", pa.string()),  # of a table, text file or archive; null where the file is the item
        pa.field("bytes", pa.int64()),  # of the file
        pa.field("modified", pa.timestamp("us", "UTC")),  # of the file
        pa.field("taken", pa.timestamp("us")),  # EXIF's DateTimeOriginal, in the camera's own time
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("stamp", pa.string()),  # while it stays the same, so does the content; "" asks for a new look
        pa.field("digest", pa.string()),  # of the content: equal contents have equal vectors
        pa.field("error", pa.string()),  # why there is no vector
    ]
)
INTERNAL = frozenset({"root", "entry", "stamp", "digest", "error", "vector"})  # not in the results of a search
FILE_COLUMNS = ["root", "path", "entry"]  # the arguments of `file_of`
_ESCAPED = re.compile("\0([0-9a-f]{4})")
_SURROGATE = re.compile("[\ud800-\udfff]")


def store_schema(embed_dim: int, extra: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a new store. extra: those of --keep. Raises InvalidStore for a name that it cannot have."""
    check_extra(extra)
    vector = pa.field("vector", pa.list_(pa.float32(), embed_dim))  # at unit length; null where `error` is not
    return pa.schema(
        [
            *OWN_COLUMNS,
            *(pa.field(name, pa.string() if type == pa.null() else type) for name, type in extra.items()),
            vector,
        ]
    )


def check_extra(names: Collection[str]) -> None:
    """Raises InvalidStore."""
    for name in names:
        if name in OWN_COLUMNS.names or name == "vector":
            raise InvalidStore(f"column {name!r}: a store has a column of its own by this name; rename it")
        if not COLUMN_NAME.fullmatch(name):
            raise InvalidStore(f"column {name!r} cannot be in a store: letters, digits, _ and - only; rename it")


def stored_name(path: str) -> str:
    """A file's name as a column of strings can hold it, without loss: bytes that are not UTF-8 become NUL and a number.

    No file's name holds a NUL, so `name_on_disk` knows which is which.
    """
    return _SURROGATE.sub(lambda match: f"\0{ord(match[0]):04x}", path)


def name_on_disk(stored: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), stored)


def file_of(root: str, path: str, entry: str | None) -> str | None:
    """The file on this machine that a row was made from; None for a text, a URL or what is inside another file.

    The row of a table that names image files has the absolute path of its image in `path`.
    """
    if entry is not None and not os.path.isabs(path):
        return None
    if not path:
        return name_on_disk(root)
    return os.path.join(name_on_disk(root), name_on_disk(path))


def free_id(root: str, path: str, entry: str | None, taken: Collection[str]) -> str:
    """The path below the root, or the entry's name; with a digest behind it where another row has that name."""
    natural = printable(name_on_disk(entry or path or os.path.basename(root)))
    if natural not in taken:
        return natural
    identity = "\0\0".join((root, path, entry or ""))
    return f"{natural}~{hashlib.blake2b(identity.encode(), digest_size=5).hexdigest()}"


def in_microseconds(rows: pa.Table) -> pa.Table:
    """Python's times have no nanoseconds."""
    for number, field in enumerate(rows.schema):
        type = field.type
        if pa.types.is_timestamp(type):
            coarser = pa.timestamp("us", type.tz)
        elif pa.types.is_duration(type):
            coarser = pa.duration("us")
        elif pa.types.is_time64(type):
            coarser = pa.time64("us")
        else:
            continue
        rows = rows.set_column(number, field.name, rows.column(number).cast(coarser, safe=False))
    return rows
