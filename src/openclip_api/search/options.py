"""The flags of `openclip-api index` that are not settings. Imports no extra."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..bulk.options import SourceOptions, add_source_arguments, positive
from ..errors import InvalidStore
from ..settings import Settings

EXACT_BELOW = 100_000  # rows


@dataclass(frozen=True)
class IndexOptions(SourceOptions):
    embeddings: Path | None
    keep_missing: bool
    retry_failed: bool
    failures: bool
    roots: bool
    json: bool
    forget: list[str]
    delete: list[str]
    exact_below: int


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, "*")
    add = parser.add_argument
    add("--keep-missing", action="store_true", help="remove nothing, whatever is gone")
    add("--retry-failed", action="store_true", help="read again what could not be read, though its file is the same")
    add("--failures", action="store_true", help="list what could not be read, and why")
    add("--roots", action="store_true", help="list the folders, tables and archives that the store is made from")
    add("--json", action="store_true", help="with --failures or --roots: one JSON object a line")
    add("--forget", action="append", default=[], metavar="ROOT", help="remove all of this root; may be repeated")
    add(
        "--delete",
        action="append",
        default=[],
        metavar="ID",
        help="remove this id, or those that fit a pattern as '2021/*'; may be repeated",
    )
    add("--embeddings", type=Path, metavar="OUT", help="take the vectors of openclip-api embed --out OUT")
    add(
        "--exact-below",
        type=positive,
        default=EXACT_BELOW,
        metavar="N",
        help="rows up to which search compares with each; more get an IVF-PQ index (default 100000)",
    )


def store_path(settings: Settings) -> Path:
    """What --store or STORE names. Raises InvalidStore if there is neither, or it is no store's name."""
    if settings.store is None:
        raise InvalidStore("name the store: --store NAME.lance")
    if settings.store.suffix != ".lance":
        raise InvalidStore(f"{settings.store}: a store's name ends in .lance: --store {settings.store}.lance")
    return settings.store
