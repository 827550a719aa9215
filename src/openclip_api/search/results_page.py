"""An HTML page of search results, with thumbnails in it that lead to the files."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from .ranking import Row
from .shown_rows import name_and_folder, row_file
from .thumbnails import file_thumbnail

STYLE = (
    "body{font:14px sans-serif;display:flex;flex-wrap:wrap;gap:12px}"
    "h1{width:100%;font-size:18px;overflow-wrap:anywhere}"
    "figure{margin:0;width:256px}img{max-width:256px}figcaption{overflow-wrap:anywhere}"
)


def results_page(query: str, rows: Sequence[Row], max_megapixels: float) -> str:
    figures = "".join(_figure(row, max_megapixels) for row in rows)
    title = html.escape(query)
    return (
        '<!doctype html><html lang="en"><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{figures}\n"
    )


def _figure(row: Row, max_megapixels: float) -> str:
    file = row_file(row)
    name, folder = name_and_folder(row.columns)
    copies = f" +{row.copies}" if row.copies else ""
    caption = f"{row.score:.4f}{copies} {html.escape(name)}<br>{html.escape(folder)}"
    if file is None:  # a text, a URL or what is inside another file
        return f"<figure><figcaption>{caption}</figcaption></figure>"
    try:
        picture = b64encode(file_thumbnail(file, max_megapixels)).decode()
        image = f'<img src="data:image/jpeg;base64,{picture}" alt="">'
    except Exception:  # it is gone: the result is shown without a picture
        image = ""
    link = html.escape(Path(file).as_uri())
    return f'<figure><a href="{link}">{image}<figcaption>{caption}</figcaption></a></figure>'
