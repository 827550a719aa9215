"""openclip-api search --store NAME.lance TEXT"""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bulk.item_embedder import LoadModel
from ..bulk.items import read_file
from ..errors import InvalidSource, RequestError
from ..runtime.embedder import Embedder
from ..settings import Settings
from .filters import filter_expression, parse_conditions
from .options import SearchOptions, store_path
from .results_page import results_page
from .store import Result, Store


def search(options: SearchOptions, settings: Settings, load: LoadModel) -> int:
    """0 if something was found, else 1. Raises RunError, StartupError."""
    if (options.text is None) == (options.image_file is None):
        raise InvalidSource("name either a TEXT or --image FILE")
    store = Store(store_path(settings))
    try:
        filter = filter_expression(parse_conditions(options.filter, store.schema), store.schema)
        embedder = load(settings)
        store.check(embedder.info.fingerprint)
        results = store.search(_embedded_query(options, settings, embedder)[0], options.k, filter)
    except RequestError as error:
        raise InvalidSource(error.message) from error
    _print(results, options.json)
    if options.open:
        page = Path(tempfile.mkdtemp(prefix="openclip-search-")) / "results.html"
        query = options.text or str(options.image_file)
        page.write_text(results_page(query, results, settings.max_image_megapixels), "utf-8")
        print(page, file=sys.stderr)
        webbrowser.open(page.as_uri())
    return 0 if results else 1


def _embedded_query(options: SearchOptions, settings: Settings, embedder: Embedder) -> NDArray[np.float32]:
    """[1, E]"""
    if options.text is not None:
        return embedder.embed_texts([options.text])
    assert options.image_file is not None
    try:
        content = read_file(str(options.image_file), int(settings.max_body_mb * 1e6))
    except Exception as error:
        raise InvalidSource(f"{options.image_file}: {error}") from error
    return embedder.embed_images([content])


def _print(results: Sequence[Result], as_json: bool) -> None:
    if as_json:
        for row in results:
            print(json.dumps(row, default=str, ensure_ascii=False))
        return
    if not results:
        return
    names = ["score", *(name for name in results[0] if name != "score")]
    lines = [names, *([_cell(row[name]) for name in names] for row in results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())[:80]
