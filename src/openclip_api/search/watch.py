"""index --watch: a store that follows its sources.

After a look at everything, each change of a file is a look at that file alone. Everything is looked at again where much
has changed at once, since the system drops what it cannot keep up with, and at a long interval.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Event

from watchfiles import watch

from ..bulk.command import sources_of
from ..bulk.items import SourceItem, image_file_item, is_image_name
from ..bulk.sources import Sources, expanded
from ..errors import CannotWrite, InvalidSource
from ..settings import Settings
from .look import StoreRows, look
from .model import StoreModel
from .options import SyncOptions
from .places import Scope, scope_of
from .report import last_line
from .roots import Below, Roots, folders_above
from .synchronize import Extent, bring_in_step, say, sync_sources

DEBOUNCE_MS = 400  # from the first change to the look, at most
QUIET_MS = 100  # without a change before the look
TIMEOUT_MS = 1000  # without a change before a look at the clock
MANY_CHANGES = 1000  # at once
FULL_LOOK_SECONDS = 600.0


def keep_in_step(
    options: SyncOptions,
    settings: Settings,
    model: StoreModel,
    lock: Callable[[], AbstractContextManager[None]],
    stop: Event | None = None,
) -> None:
    """Follow the sources until `stop` is set. lock: of the store, taken for each look only.

    Raises InvalidSource if there is nothing to watch, or the system cannot.
    """
    roots = StoreRows(model.existing).roots(options.source)
    scopes = Below({scope_of(source, roots).path for argument in options.source for source in expanded(argument)})
    folders = {roots.folder(path) for path in options.source if os.path.isdir(path)}
    last_full = -math.inf  # what changed while nobody watched yet
    for paths in _changes(_watched(scopes.places), stop):
        changed = {path for path in paths if path in scopes and path not in Below({str(model.path.resolve())})}
        is_due = time.monotonic() - last_full >= FULL_LOOK_SECONDS
        if not changed and not is_due:
            continue
        try:
            with lock():
                if is_due or len(changed) >= MANY_CHANGES or not _are_parts(changed, folders):
                    last_full = time.monotonic()
                    sync_sources(options, settings, model, only_news=True)
                else:
                    _sync_changed(changed, folders, roots, options, settings, model)
        except (InvalidSource, CannotWrite) as error:  # a source that is gone for now, a disk that is full for now
            say(str(error))


def _watched(places: Collection[str]) -> list[str]:
    """The folders to watch for these folders and files. Raises InvalidSource."""
    folders = {path if os.path.isdir(path) else os.path.dirname(path) for path in places}
    if there := sorted(path for path in folders if os.path.isdir(path)):
        return there
    raise InvalidSource("--watch: there is no folder to watch")


def _changes(folders: Sequence[str], stop: Event | None) -> Iterator[set[str]]:
    """The paths that changed; an empty set from time to time."""
    try:
        for changes in watch(
            *folders,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=QUIET_MS,
            stop_event=stop,
            rust_timeout=TIMEOUT_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            yield {path for _, path in changes}
    except (OSError, RuntimeError) as error:
        raise InvalidSource(f"--watch: the system cannot watch these folders: {error}") from error


def _are_parts(paths: Collection[str], folders: Collection[str]) -> bool:
    """Whether these are parts of watched folders, not the folders themselves, and all of these show something."""
    inner = Below(folders)
    return all(path in inner and path not in folders for path in paths) and all(map(_shows_something, folders))


def _shows_something(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _sync_changed(
    paths: Collection[str],
    folders: Collection[str],
    roots: Roots,
    options: SyncOptions,
    settings: Settings,
    model: StoreModel,
) -> None:
    changed = ChangedFiles(_outermost(paths), folders, sources_of(options, settings), int(settings.max_body_mb * 1e6))
    scopes = [Scope(path, path, is_source=False) for path in changed.paths]
    rows = StoreRows(model.existing)
    found = look(rows, changed, scopes, roots)
    if not (found.wanted or found.gone):
        return
    quiet = replace(options, progress="quiet")
    counts = bring_in_step(rows, found, Extent(changed, scopes, roots, {}), quiet, settings, model)
    print(last_line(counts, found, Counter(), "images"), flush=True)


def _outermost(paths: Collection[str]) -> list[str]:
    return sorted(path for path in paths if not any(above in paths for above in list(folders_above(path))[1:]))


@dataclass(frozen=True)
class ChangedFiles:
    """The items at these paths: files, or all below a folder. folders: the absolute paths of the sources."""

    paths: Sequence[str]
    folders: Collection[str]
    sources: Sources
    max_bytes: int

    def __iter__(self) -> Iterator[SourceItem]:
        for path in self.paths:
            is_folder = os.path.isdir(path)
            for root in (above for above in folders_above(path) if above in self.folders):
                scan = self.sources.scan(root)
                id = os.path.relpath(path, root).replace(os.sep, "/")
                if not (scan.selection.left_out(id, is_folder) or scan.selection.leaves_out_above(id)):
                    break
            else:
                continue
            if is_folder:
                yield from scan.items(id)
            elif os.path.isfile(path) and is_image_name(path):
                yield image_file_item(id, path, self.max_bytes, source=root)
