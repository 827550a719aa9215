"""The flags of `openclip-api index` and `openclip-api search` that are not settings. Imports no extra."""

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
    delete: list[str]
    exact_below: int


@dataclass(frozen=True)
class SearchOptions:
    text: str | None
    image_file: Path | None
    k: int
    filter: list[str]
    json: bool
    open: bool


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, "*")
    parser.add_argument(
        "--embeddings", type=Path, metavar="OUT", help="take the vectors of openclip-api embed --out OUT"
    )
    parser.add_argument("--delete", action="append", default=[], metavar="ID", help="remove this id; may be repeated")
    parser.add_argument(
        "--exact-below",
        type=positive,
        default=EXACT_BELOW,
        metavar="N",
        help="rows up to which search compares with each; more get an IVF-PQ index (default 100000)",
    )


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to look for")
    parser.add_argument(
        "--image", dest="image_file", type=Path, metavar="FILE", help="look for what is like this image"
    )
    parser.add_argument("--k", type=positive, default=10, metavar="N", help="how many results (default 10)")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="COND",
        help="column=value, with =, !=, <, <=, > or >=; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--open", action="store_true", help="write a page of thumbnails and open it in the browser")


def store_path(settings: Settings) -> Path:
    """What --store or STORE names. Raises InvalidStore if there is neither."""
    if settings.store is None:
        raise InvalidStore("name the store: --store NAME.lance")
    return settings.store
