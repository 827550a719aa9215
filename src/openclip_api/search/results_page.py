"""An HTML page of search results, with thumbnails in it."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence

from .store import Result
from .thumbnails import file_thumbnail


def results_page(query: str, results: Sequence[Result], max_megapixels: float) -> str:
    figures = "".join(_figure(row, max_megapixels) for row in results)
    title = html.escape(query)
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title>"
        "<style>body{font:14px sans-serif;display:flex;flex-wrap:wrap;gap:12px}h1{width:100%;font-size:18px}"
        "figure{margin:0;width:256px}img{max-width:256px}figcaption{overflow-wrap:anywhere}</style>"
        f"<h1>{title}</h1>{figures}\n"
    )


def _figure(row: Result, max_megapixels: float) -> str:
    try:
        picture = b64encode(file_thumbnail(str(row["path"]), max_megapixels)).decode()
        image = f'<img src="data:image/jpeg;base64,{picture}" alt="">'
    except Exception:  # a text, or an image that is gone: the result is shown without a picture
        image = ""
    return f"<figure>{image}<figcaption>{row['score']:.4f} {html.escape(str(row['id']))}</figcaption></figure>"
