"""From the sources of a command to a store that is in step with them, and to what is said about it."""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from ..bulk.command import sources_of
from ..bulk.items import SourceItem, is_image_name, printable
from ..bulk.progress import Progress
from ..bulk.sources import Sources, expanded
from ..errors import InvalidSource, MissingSource
from ..settings import Settings
from .look import Look, StoreRows, look
from .model import StoreModel
from .options import IndexOptions
from .places import Below, Scope, missing_scope, scope_of
from .report import last_line
from .sync import Counts, Sync

SOME_FAILED = 3


@dataclass(frozen=True)
class Extent:
    """What is brought in step. items: may be gone through twice. folders: those that are indexed as a whole."""

    items: Iterable[SourceItem]
    scopes: Sequence[Scope]
    folders: Iterable[str]
    extra: dict[str, pa.DataType]


def sync_sources(options: IndexOptions, settings: Settings, model: StoreModel) -> int:
    """One look at all sources, and what follows from it. The store is locked. Raises RunError, StartupError."""
    warnings.filterwarnings("ignore", module="PIL")  # they are about single images
    there, missing = _sorted_out(options.source)
    sources = sources_of(replace(options, source=there), settings)
    rows = StoreRows(model.existing)
    found = _look(rows, extent := _extent(sources, missing), options)
    left_out = Counter(sources.left_out)
    _check_any(found, sources, options, missing)
    counts = bring_in_step(rows, found, extent, options, settings, model)
    for scope in found.silent:
        count = sum(row.place in Below({scope.path}) for row in rows.all)
        _say(f"{printable(scope.source)}: not there or empty, so its {count:,} rows stay (--forget removes them)")
    print(last_line(counts, found, left_out, _noun(sources)))
    if found.silent or missing:
        return 1
    return SOME_FAILED if found.failed + counts.failed else 0


def bring_in_step(
    rows: StoreRows, found: Look, extent: Extent, options: IndexOptions, settings: Settings, model: StoreModel
) -> Counts:
    """Do what a look found to be done. The model is loaded if something is to be embedded."""
    store = model.store(extent.extra) if found.wanted or model.existing is None else model.existing
    sync = Sync(store, rows, found, int(settings.max_body_mb * 1e6))
    sync.move()
    if found.wanted:
        with Progress(options.progress, len(found.wanted), 0, 0) as progress:
            sync.embed(extent.items, model.embedder, progress)
            progress.finished()
    store.delete([row.id for row in found.doubles])
    sync.remove([] if options.keep_missing else found.gone)
    if options.keep_missing:
        found.kept += len(found.gone)
    if found.wanted or found.moved or found.gone or found.doubles:
        store.optimize()
        print_recall(store.build_index(options.exact_below))
    return sync.counts


def print_recall(recall: float | None) -> None:
    if recall is not None:
        print(f"IVF-PQ index, recall@10 {recall:.3f} against exact search")


def _look(rows: StoreRows, extent: Extent, options: IndexOptions) -> Look:
    return look(rows, extent.items, extent.scopes, extent.folders, retry_failed=options.retry_failed)


def _extent(sources: Sources, missing: Sequence[Scope]) -> Extent:
    scopes = dict.fromkeys(map(scope_of, sources.all))
    folders = [scope.path for scope in scopes if os.path.isdir(scope.path) and not scope.is_partial]
    return Extent(sources, [*scopes, *missing], folders, sources.kept_types())


def _sorted_out(arguments: Sequence[str]) -> tuple[list[str], list[Scope]]:
    """The sources that are there, and the places of those that are not."""
    there, missing = [], []
    for argument in arguments:
        try:
            expanded(argument)
            there.append(argument)
        except MissingSource:
            missing.append(missing_scope(argument))
    return there, missing


def _check_any(found: Look, sources: Sources, options: IndexOptions, missing: Sequence[Scope]) -> None:
    """Raises InvalidSource where the sources hold nothing, and the store has nothing of them either."""
    if sources.damaged and len(sources.damaged) == found.total:
        raise InvalidSource(sources.damaged[0])
    if found.total or found.silent or found.kept:
        return
    if missing:
        raise MissingSource(
            f"{printable(missing[0].source)}: no such file or folder, and no file that it fits as a pattern"
        )
    raise InvalidSource(f"{', '.join(map(printable, options.source))}: nothing to embed in it")


def _noun(sources: Sources) -> str:
    only_images = all(os.path.isdir(path) or is_image_name(path) for path in sources.paths)
    return "images" if only_images else "items"


def _say(message: str) -> None:
    print(f"openclip-api: {message}", file=sys.stderr)
