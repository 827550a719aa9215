"""From the sources of a command to a store that is in step with them, and to what is said about it."""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from ..bulk.command import sources_of
from ..bulk.items import SourceItem, is_image_name, printable
from ..bulk.progress import Progress
from ..bulk.selection import Selection
from ..bulk.sources import Sources, expanded
from ..errors import InvalidSource, MissingSource
from ..settings import Settings
from .look import Look, StoreRows, look
from .model import StoreModel
from .options import SyncOptions
from .places import Scope, missing_scope, scope_of
from .report import last_line
from .roots import Below, Roots, folders_above
from .sync import Counts, Sync

SOME_FAILED = 3


@dataclass(frozen=True)
class Extent:
    """What is brought in step. items: may be gone through twice."""

    items: Iterable[SourceItem]
    scopes: Sequence[Scope]
    roots: Roots
    extra: dict[str, pa.DataType]


def sync_sources(options: SyncOptions, settings: Settings, model: StoreModel, only_news: bool = False) -> int:
    """One look at all sources, and what follows from it. The store is locked. Raises RunError, StartupError.

    only_news: say nothing where nothing has changed.
    """
    warnings.filterwarnings("ignore", module="PIL")  # they are about single images
    rows = StoreRows(model.existing)
    roots = rows.roots(options.source)
    there, missing = _sorted_out(options, roots)
    sources = sources_of(replace(options, source=there), settings)
    _join_types(sources, model)
    found = _look(rows, extent := _extent(sources, missing, roots), options)
    left_out = Counter(sources.left_out)
    _check_any(found, sources, options, missing)
    counts = bring_in_step(rows, found, extent, options, settings, model)
    for scope in found.silent:
        count = sum(row.place in Below({scope.path}) for row in rows.all)
        say(f"{printable(scope.source)}: missing or empty, so its {count:,} rows are kept (--forget removes them)")
    for folder, count in found.away.items():
        say(f"{printable(folder)}: its disk is not mounted, so its {count:,} rows are kept (--forget removes them)")
    if found.has_news or not only_news:
        print(last_line(counts, found, left_out, _noun(sources)), flush=True)
    if found.silent or found.away or missing:
        return 1
    return SOME_FAILED if found.failed + counts.failed else 0


def bring_in_step(
    rows: StoreRows, found: Look, extent: Extent, options: SyncOptions, settings: Settings, model: StoreModel
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
    if found.has_news:
        store.optimize()
    print_recall(store.build_index(options.exact_below))  # also where a run before this one was killed before it
    return sync.counts


def _join_types(sources: Sources, model: StoreModel) -> None:
    known = model.existing.kept_types() if model.existing is not None and sources.kept_types() else {}
    sources.join_types(known)
    for name, type in sources.kept_types().items():
        if type == pa.string() and known.get(name, type) not in (pa.null(), type):
            say(
                f"column {name!r} becomes text, as some values are not {known[name]}; "
                "with --column-type, those rows fail"
            )


def print_recall(recall: float | None) -> None:
    if recall is not None:
        print(f"IVF-PQ index, recall@10 {recall:.3f} against exact search")


def _look(rows: StoreRows, extent: Extent, options: SyncOptions) -> Look:
    return look(rows, extent.items, extent.scopes, extent.roots, retry_failed=options.retry_failed)


def _extent(sources: Sources, missing: Sequence[Scope], roots: Roots) -> Extent:
    scopes = dict.fromkeys(scope_of(source, roots) for source in sources.all)
    return Extent(sources, [*scopes, *missing], roots, sources.kept_types())


def _sorted_out(options: SyncOptions, roots: Roots) -> tuple[list[str], list[Scope]]:
    """The sources that are there, without those that others hold, and the places of those that are not there."""
    there, missing = [], []
    for argument in dict.fromkeys(options.source):
        try:
            expanded(argument)
            there.append(argument)
        except MissingSource:
            missing.append(missing_scope(argument, roots))
    folders = {roots.folder(argument): argument for argument in there if os.path.isdir(argument)}
    selection = Selection(options.exclude, options.hidden)
    inner = {argument for path, argument in folders.items() if _is_seen_from(path, folders, selection)}
    return [argument for argument in there if argument not in inner], missing


def _is_seen_from(path: str, folders: Collection[str], selection: Selection) -> bool:
    """Whether another one of the folders is looked through with this one in it."""
    return any(
        not selection.leaves_out_above(os.path.relpath(path, above).replace(os.sep, "/") + "/.")
        for above in list(folders_above(path))[1:]
        if above in folders
    )


def _check_any(found: Look, sources: Sources, options: SyncOptions, missing: Sequence[Scope]) -> None:
    """Raises InvalidSource where the sources hold nothing, and the store has nothing of them either."""
    if sources.damaged and len(sources.damaged) == found.total:
        raise InvalidSource(sources.damaged[0])
    if found.total or found.silent or found.kept or found.gone:
        return
    if missing:
        raise MissingSource(
            f"{printable(missing[0].source)}: no such file or folder, and no file matches it as a pattern"
        )
    raise InvalidSource(f"{', '.join(map(printable, options.source))}: nothing to embed in it")


def _noun(sources: Sources) -> str:
    only_images = all(os.path.isdir(path) or is_image_name(path) for path in sources.paths)
    return "images" if only_images else "items"


def say(message: str) -> None:
    print(f"openclip-api: {message}", file=sys.stderr)
