"""What became of items → rows of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..bulk.column_types import as_type
from ..bulk.items import printable
from .contents import Content
from .places import Found, stamp_of
from .schema import OWN_COLUMNS, stored_name


class Outcome(NamedTuple):
    """What became of an item: a vector [E] of unit length, or an error.

    size: width and height. copy_of: the id of the row whose vector it gets. is_transient: the item may be well the next
    time, though its file stays as it is.
    """

    found: Found
    content: Content | None = None
    vector: NDArray[np.float32] | None = None
    size: tuple[int | None, int | None] = (None, None)
    error: str | None = None
    copy_of: str | None = None
    is_transient: bool = False


def table_of(outcomes: Sequence[Outcome], ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    """The rows of a store with this schema."""
    rows = [_own_columns(outcome, id) for outcome, id in zip(outcomes, ids, strict=True)]
    columns = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in OWN_COLUMNS}
    for name in (name for name in schema.names if name not in columns and name != "vector"):
        type = schema.field(name).type
        values = [outcome.found.item.extra.get(name) for outcome in outcomes]
        columns[name] = pa.array(
            [_printable(as_type(value, type) if type == pa.string() else value) for value in values], type
        )
    columns["vector"] = _vectors(outcomes, schema.field("vector").type.list_size)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _own_columns(outcome: Outcome, id: str) -> dict[str, object]:
    found, content = outcome.found, outcome.content
    row: dict[str, object] = {
        "id": id,
        "root": stored_name(found.root),
        "path": stored_name(found.path),
        "entry": None if found.item.entry is None else stored_name(found.item.entry),
        "stamp": "" if outcome.is_transient else found.stamp,
        "width": outcome.size[0],
        "height": outcome.size[1],
        "error": outcome.error,
    }
    row = dict.fromkeys(OWN_COLUMNS.names) | row
    if content is None:
        return row
    if content.state is not None:
        row |= {"stamp": stamp_of(found.item, content.state, found.disk), "bytes": content.state.st_size}
    return row | {"modified": content.modified, "taken": content.taken, "digest": content.digest}


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def _vectors(outcomes: Sequence[Outcome], size: int) -> pa.Array:
    matrix = np.zeros((len(outcomes), size), np.float32)
    for index, outcome in enumerate(outcomes):
        if outcome.vector is not None:
            matrix[index] = outcome.vector
    missing = pa.array([outcome.vector is None for outcome in outcomes])
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), size, mask=missing)
