"""The flags of `openclip-api index` that are not settings. Imports no extra."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from ..bulk.options import SourceOptions, add_selection_arguments, add_source_arguments, positive
from ..errors import InvalidStore
from ..settings import Settings

EXACT_BELOW = 100_000  # rows


@dataclass(frozen=True)
class SyncOptions(SourceOptions):
    """How a store is brought in step with its sources."""

    keep_missing: bool
    retry_failed: bool
    exact_below: int


@dataclass(frozen=True)
class IndexOptions(SyncOptions):
    watch: bool
    embeddings: Path | None
    failures: bool
    roots: bool
    json: bool
    forget: list[str]
    delete: list[str]


@dataclass(frozen=True)
class PhotosOptions:
    folder: str
    exclude: list[str]
    hidden: bool
    no_browser: bool

    def sync_options(self) -> SyncOptions:
        """Those of `index FOLDER`."""
        return SyncOptions(
            source=[self.folder],
            path_column=None,
            url_column=None,
            image_column=None,
            text_column=None,
            id_column=None,
            keep=[],
            column_type=[],
            exclude=self.exclude,
            hidden=self.hidden,
            progress="auto",
            keep_missing=False,
            retry_failed=False,
            exact_below=EXACT_BELOW,
        )


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, "*")
    add = parser.add_argument
    add("--watch", action="store_true", help="keep running, and update the store after each change, until Ctrl-C")
    add("--keep-missing", action="store_true", help="keep the rows of files that are gone")
    add("--retry-failed", action="store_true", help="try failed files again, even if they have not changed")
    add("--failures", action="store_true", help="list the files that could not be read, and why")
    add("--roots", action="store_true", help="list the folders, tables and archives that the store is made from")
    add("--json", action="store_true", help="with --failures or --roots: one JSON object per line")
    add("--forget", action="append", default=[], metavar="ROOT", help="remove all rows of this root; may be repeated")
    add(
        "--delete",
        action="append",
        default=[],
        metavar="ID",
        help="remove this id, or all ids that match a pattern such as '2021/*'; may be repeated",
    )
    add("--embeddings", type=Path, metavar="OUT", help="add the vectors that openclip-api embed --out OUT made")
    add(
        "--exact-below",
        type=positive,
        default=EXACT_BELOW,
        metavar="N",
        help="with more rows than this, build an approximate index (IVF-PQ) for search (default 100000)",
    )


def add_photos_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="the folder with the photos")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, do not open the browser")
    add_selection_arguments(parser)


def store_path(settings: Settings) -> Path:
    """What --store or STORE names. Raises InvalidStore if there is neither, or it is no store's name."""
    if settings.store is None:
        raise InvalidStore("name the store: --store NAME.lance")
    check_name(settings.store)
    return settings.store


def check_name(store: Path) -> None:
    """Raises InvalidStore."""
    if store.suffix != ".lance":
        raise InvalidStore(f"{store}: a store's name ends in .lance: --store {store}.lance")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", store.stem):
        raise InvalidStore(f"{store}: a store's name has letters of a to z, digits, _ . and - only")
