"""OUT/vectors.lance: one Lance table whose data files are the shards.

Shards are written one by one, as those of Parquet are. There is no table until the last step of a run names all of
them in the table's manifest, as Lance's distributed writing does (LanceOperation.Overwrite).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, LanceFragment

from ..errors import CannotWrite
from .durable import sync_folder

FILE_VERSION = "2.1"  # of Lance's format; fixed, so that an upgrade of the package in mid-run does not mix two

# Lance 14 does not always notice that a disk was too full for the end of a file, so sizes are checked here.
NOT_WHOLE = "what Lance wrote is not whole; is the disk full?"
ELSEWHERE = "set TMPDIR to another folder; it holds one shard at a time"

ShardFile = tuple[str, int, int]  # name, rows, bytes


def shard_bytes(table: pa.Table) -> bytes:
    """A data file of these rows. Raises CannotWrite."""
    return _written(table)[1]


def columns_of(path: Path, names: list[str]) -> pa.Table:
    return LanceFileReader(str(path), columns=names).read_all().to_table()


def write_table(root: Path, files: Iterable[ShardFile], row: pa.Table) -> None:
    """Make the files in ROOT/data one table, in this order, unless they are one already. Raises CannotWrite.

    row: any row of the table's schema. Lance writes it to a file and describes that file; the description is then
    used for all files, as their columns are the same.
    """
    template, _ = _written(row)
    fragments = [_fragment(template, number, *file) for number, file in enumerate(files)]
    wanted = [(file["path"], file["file_size_bytes"]) for fragment in fragments for file in fragment["files"]]
    listed = _listed(root)
    if listed == wanted:
        return
    if listed is None:  # no table yet, or a broken one after a power failure
        for name in ("_versions", "_transactions"):
            shutil.rmtree(root / name, ignore_errors=True)
    operation = LanceOperation.Overwrite(
        row.schema, [FragmentMetadata.from_json(json.dumps(fragment)) for fragment in fragments]
    )
    try:
        LanceDataset.commit(str(root), operation)
        for name in ("_transactions", "_versions", "."):
            sync_folder(root / name)
    except OSError as error:
        raise CannotWrite(f"{root}: {_reason(error)}; run the same command again to continue") from error
    if _listed(root) != wanted:
        raise CannotWrite(f"{root}: {NOT_WHOLE}; run the same command again to continue")


def _written(table: pa.Table) -> tuple[dict[str, Any], bytes]:
    """Lance's description of the file, and its bytes."""
    with tempfile.TemporaryDirectory(prefix="openclip-api-") as folder:
        try:
            fragment = LanceFragment.create(folder, table, mode="create", data_storage_version=FILE_VERSION)
            (file,) = Path(folder, "data").iterdir()
            content = file.read_bytes()
        except OSError as error:
            raise CannotWrite(f"{tempfile.gettempdir()}: {_reason(error)}; {ELSEWHERE}") from error
    if len(content) != fragment.files[0].file_size_bytes:
        raise CannotWrite(f"{tempfile.gettempdir()}: {NOT_WHOLE}; {ELSEWHERE}")
    return fragment.to_json(), content


def _fragment(template: dict[str, Any], number: int, name: str, rows: int, size: int) -> dict[str, Any]:
    file = {**template["files"][0], "path": name, "file_size_bytes": size}
    return {**template, "id": number, "files": [file], "physical_rows": rows}


def _listed(root: Path) -> list[tuple[str, int | None]] | None:
    """Name and bytes of the table's files; None where no table can be opened."""
    try:
        fragments = [fragment.metadata for fragment in LanceDataset(str(root)).get_fragments()]
    except (OSError, ValueError):
        return None
    return [(file.path, file.file_size_bytes) for fragment in fragments for file in fragment.files]


def _reason(error: OSError) -> str:
    """Without the place in Lance's source code that ends the messages of its own errors."""
    return error.strerror or str(error).splitlines()[0].rsplit(", /", 1)[0]
