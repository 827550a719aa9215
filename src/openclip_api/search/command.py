"""openclip-api search --store NAME.lance TEXT"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lancedb.expr import Expr

from ..bulk.item_embedder import LoadModel
from ..bulk.items import is_image_name, printable, read_file
from ..errors import InvalidSource, RequestError, StartupError
from ..runtime.embedder import Embedder
from ..settings import Settings
from .composed import MAX_PARTS, MAX_WEIGHT, composed
from .filters import all_of, conditions_expression
from .model import settings_of
from .options import store_path
from .ranking import Page, Wanted, page_of
from .results_page import results_page
from .search_options import MAX_RESULTS, SAME_PICTURE, SearchOptions
from .shown_rows import owners_row
from .store import Store, Vector
from .under import under, under_path

_WEIGHTED = re.compile(r"(.+)\*([0-9]+(?:\.[0-9]+)?)", re.DOTALL)


class Part(NamedTuple):
    """A text, the path of an image, or the id of a row."""

    kind: str
    value: str
    weight: float


def search(options: SearchOptions, settings: Settings, load: LoadModel) -> int:
    """0 if something was found, else 1. Raises RunError, StartupError."""
    parts = list(_parts(options))
    if options.offset + options.k > MAX_RESULTS:
        raise InvalidSource(f"--offset and --k: at most {MAX_RESULTS} together")
    store = Store(store_path(settings))
    try:
        filter = all_of([conditions_expression(options.filter, store.schema), folder_filter(store, options.under)])
        vector = _query(parts, store, settings, load)
        fold = None if options.copies else SAME_PICTURE
        page = page_of(store, vector, Wanted(options.k, options.offset, options.min_score, filter, fold))
    except RequestError as error:
        raise InvalidSource(error.message) from error
    _print(page, options)
    if options.open:
        sheet = Path(tempfile.mkdtemp(prefix="openclip-search-")) / "results.html"
        query = printable(" ".join(part.value if part.weight > 0 else f"-{part.value}" for part in parts))
        sheet.write_text(results_page(query, page.rows, settings.max_image_megapixels), "utf-8")
        print(sheet, file=sys.stderr)
        webbrowser.open(sheet.as_uri())
    return 0 if page.rows else 1


def folder_filter(store: Store, folder: str | None) -> Expr | None:
    """--under: a folder of this machine, or one below a root. Raises InvalidSource, InvalidInput."""
    if folder is None:
        return None
    if not folder:
        raise InvalidSource("--under is empty: name a folder")
    found = under_path(store, folder)
    if found is not None:
        return found
    if os.path.isabs(folder):
        raise InvalidSource(f"--under: the store has nothing from {printable(folder)}; index --roots lists its folders")
    return under(store, folder)


def _parts(options: SearchOptions) -> Iterator[Part]:
    """Raises InvalidSource."""
    given = [bool(options.words), options.image_file is not None, options.like is not None]
    if sum(given) > 1 or not (any(given) or options.plus):
        raise InvalidSource("say what to look for: a TEXT, --image FILE or --like ID")
    if options.words:
        yield Part("text", _filled(" ".join(options.words), "TEXT"), 1)
    if options.image_file is not None:
        yield Part("image", str(options.image_file), 1)
    if options.like is not None:
        yield Part("like", printable(_filled(options.like, "--like")), 1)
    if len(options.plus) + len(options.minus) >= MAX_PARTS:
        raise InvalidSource(f"--plus and --minus: at most {MAX_PARTS} parts together")
    for flag, sign, values in (("--plus", 1, options.plus), ("--minus", -1, options.minus)):
        for value in values:
            yield _signed_part(flag, sign, _filled(value, flag))


def _filled(text: str, flag: str) -> str:
    if not text.strip():
        raise InvalidSource(f"{flag} is empty: say what to look for")
    return text


def _signed_part(flag: str, sign: int, value: str) -> Part:
    """What is a file's name, or looks like an image's, is a file; everything else a text."""
    weight = 1.0
    if not os.path.exists(value) and (match := _WEIGHTED.fullmatch(value)):
        value, weight = match[1], float(match[2])
        if not 0 < weight <= MAX_WEIGHT:
            raise InvalidSource(f"{flag}: a weight is above 0 and at most {MAX_WEIGHT:g}")
    kind = "image" if os.path.isfile(value) or is_image_name(value) else "text"
    return Part(kind, value, sign * weight)


def _query(parts: Sequence[Part], store: Store, settings: Settings, load: LoadModel) -> Vector:
    """[E]. The model is loaded only if something has to be embedded."""
    embedder: Embedder | None = None
    vectors = []
    for part in parts:
        if part.kind == "like":
            vectors.append(_vector_of(store, part.value))
            continue
        if embedder is None:
            embedder = load(settings_of(store, settings))
            store.check(embedder.info.fingerprint)
        vectors.append(_embedded(part, settings, embedder))
    return composed(vectors, [part.weight for part in parts])


def _vector_of(store: Store, id: str) -> Vector:
    vector = store.vector_of(id)
    if vector is None:
        raise InvalidSource("--like: the store has no such id, or no vector for it")
    return vector


def _embedded(part: Part, settings: Settings, embedder: Embedder) -> Vector:
    """[E]"""
    if part.kind == "text":
        vector: Vector = embedder.embed_texts([part.value])[0]
        return vector
    try:
        content = read_file(part.value, int(settings.max_body_mb * 1e6))
        vector = embedder.embed_images([content])[0]
    except StartupError:
        raise
    except Exception as error:
        raise InvalidSource(f"{printable(part.value)}: {error}") from error
    return vector


def _print(page: Page, options: SearchOptions) -> None:
    rows = [owners_row(row, not options.copies) for row in page.rows]
    if options.json:
        for row in rows:
            print(json.dumps(row, default=str, ensure_ascii=False))
        return
    if not rows:
        print("nothing found", file=sys.stderr)
        return
    names = ["score", *(name for name in rows[0] if name not in ("score", "copies") and _is_told(name, rows))]
    if any(row.get("copies") for row in rows):
        names.insert(1, "copies")
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if page.more and sys.stderr.isatty():
        print(f"more with --offset {options.offset + options.k}", file=sys.stderr)


def _is_told(name: str, rows: Sequence[dict[str, Any]]) -> bool:
    return name == "id" or any(row.get(name) is not None for row in rows)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())[:80]
