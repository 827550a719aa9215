"""The flags of `openclip-api search` and `openclip-api duplicates` that are not settings. Imports no extra."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from ..bulk.options import positive

MAX_RESULTS = 1000  # of a search, those that are left out by an offset among them
SAME_PICTURE = 0.98  # the cosine from which two items count as near-duplicates


@dataclass(frozen=True)
class SearchOptions:
    words: list[str]
    image_file: Path | None
    like: str | None
    plus: list[str]
    minus: list[str]
    k: int
    offset: int
    min_score: float | None
    under: str | None
    filter: list[str]
    copies: bool
    json: bool
    open: bool


@dataclass(frozen=True)
class DuplicatesOptions:
    similar: float
    equal: bool
    under: str | None
    json: bool


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("words", nargs="*", metavar="TEXT", help="what to look for; several words need no quotes")
    add("--image", dest="image_file", type=Path, metavar="FILE", help="find what is similar to this image")
    add("--like", metavar="ID", help="find what is similar to this row of the store")
    part = "an image file or a text, with a weight after a star, as in 'people*0.5' (default 1); may be repeated"
    add("--plus", action="append", default=[], metavar="PART", help=f"and also: {part}")
    add("--minus", action="append", default=[], metavar="PART", help=f"but not: {part}")
    add("--k", type=_result_count, default=10, metavar="N", help="how many results (default 10)")
    add("--offset", type=_offset, default=0, metavar="N", help="how many of the first results to skip (default 0)")
    add("--min-score", type=_cosine, metavar="X", help="only results with at least this cosine")
    add("--under", metavar="FOLDER", help="only what is in this folder, or below it")
    add(
        "--filter",
        action="append",
        default=[],
        metavar="COND",
        help="column=value, with =, !=, <, <=, > or >=, such as 'taken>=2021-06' or 'price<10'; may be repeated",
    )
    add("--copies", action="store_true", help="show every copy, instead of one result with the number of copies")
    add("--json", action="store_true", help="print one JSON object per line instead of a table")
    add("--open", action="store_true", help="write a page of thumbnails and open it in the browser")


def add_duplicates_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--similar",
        type=_cosine,
        default=SAME_PICTURE,
        metavar="X",
        help=f"images with at least this cosine count as near-duplicates (default {SAME_PICTURE})",
    )
    add("--equal", action="store_true", help="only files with the same content, byte by byte")
    add("--under", metavar="FOLDER", help="only what is in this folder, or below it")
    add("--json", action="store_true", help="print one JSON object per group instead of a list")


def _result_count(text: str) -> int:
    return _at_most(positive(text))


def _offset(text: str) -> int:
    return 0 if text == "0" else _at_most(positive(text))


def _at_most(count: int) -> int:
    if count > MAX_RESULTS:
        raise argparse.ArgumentTypeError(f"at most {MAX_RESULTS}")
    return count


def _cosine(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not -1 <= number <= 1:
        raise argparse.ArgumentTypeError("a cosine is between -1 and 1")
    return number
