"""openclip-api duplicates --store NAME.lance"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from ..bulk.items import printable
from ..errors import InvalidSource, RequestError
from ..settings import Settings
from .command import folder_filter
from .duplicates import MAX_CONTENTS, Contents, Copy, contents_of, equal_groups, similar_groups, vectors_of
from .options import store_path
from .schema import file_of, name_on_disk
from .search_options import DuplicatesOptions
from .store import Store

LONG = 20_000  # contents from which progress is told


def duplicates(options: DuplicatesOptions, settings: Settings) -> int:
    """Lists the groups. 0, also where there is none. Raises StartupError, RunError."""
    store = Store(store_path(settings))
    try:
        filter = folder_filter(store, options.under)
    except RequestError as error:
        raise InvalidSource(error.message) from error
    contents = contents_of(store, filter)
    if options.equal:
        groups = equal_groups(contents)
    elif len(contents) > MAX_CONTENTS:
        raise InvalidSource(
            f"{len(contents):,} different contents are too many to compare (at most {MAX_CONTENTS:,}): "
            "choose a folder with --under, or use --equal"
        )
    else:
        groups = similar_groups(contents, vectors_of(store, filter, contents), options.similar, _progress)
    for group in groups:
        _print_json(group) if options.json else _print_list(group)
    if not options.json:
        print(_summary(groups, contents))
    return 0


def _progress(done: int, of: int) -> None:
    if of >= LONG and sys.stderr.isatty():
        print(f"\r{done:,} of {of:,} compared", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _print_list(group: Sequence[Copy]) -> None:
    for number, copy in enumerate(group):
        columns = copy.columns
        size = f"{columns['width']}x{columns['height']}" if columns["width"] else "-"
        told = "first " if number == 0 else "equal " if copy.cosine is None else f"{copy.cosine:.4f}"
        print(f"{told}  {size:>11}  {columns['bytes'] or 0:>12,}  {' '.join(_path(copy).splitlines())}")
    print()


def _print_json(group: Sequence[Copy]) -> None:
    """cosine: to the first; null where the content is equal to it."""
    names = ("id", "width", "height", "bytes")
    items = [
        {**{name: copy.columns[name] for name in names}, "path": _path(copy), "cosine": copy.cosine} for copy in group
    ]
    print(json.dumps({"items": items}, ensure_ascii=False))


def _summary(groups: Sequence[Sequence[Copy]], contents: Contents) -> str:
    rows = sum(map(len, contents))
    if not groups:
        return f"{rows:,} rows, no duplicates"
    spare = [copy.columns["bytes"] or 0 for group in groups for copy in group[1:]]
    return f"{rows:,} rows, {len(groups):,} groups: {len(spare):,} copies of {sum(spare) / 1e6:,.1f} MB"


def _path(copy: Copy) -> str:
    columns = copy.columns
    file = file_of(columns["root"], columns["path"], columns["entry"])
    return printable(file) if file is not None else columns["id"] or printable(name_on_disk(columns["path"]))
